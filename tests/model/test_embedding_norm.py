"""The embedding norm in its place: on the word alone, before positions are added, in every implementation and type."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import torch
from torch import Tensor, nn

from benchsuite import components
from benchsuite.components.position_modules import Learned, Position, Shape, Sinusoidal
from benchsuite.errors import UserError
from benchsuite.model.encoder_decoder import EncoderDecoder, build
from benchsuite.model.gpt import GPT
from benchsuite.model.spec import BESIDE_THE_EMBEDDING, ModelSpec, norm_place

SHAPE = {"layers": 1, "width": 48, "heads": 6, "vocab": 40, "seq": 12}
IMPLEMENTATIONS = ("eager", "sdpa", "folded", "fused")
LIMITS = {torch.float64: 1e-6, torch.float32: 1e-5, torch.bfloat16: 3e-2, torch.float16: 4e-3}  # of the largest value


def spec(position: str, architecture: str = "causal") -> ModelSpec:
    return ModelSpec(**SHAPE, position=position, embedding_norm="on", architecture=architecture)  # type: ignore[arg-type]


def shaken(model: GPT, dtype: torch.dtype) -> GPT:
    """Weights far from where they start: a norm of ones and zeros, or small positions, would hide where the norm is."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "embedding" in name or "position" in name:
                parameter.normal_(mean=float(name.endswith("norm.weight")), generator=generator)
    return model.to(dtype)


def formula(word: Tensor, weight: Tensor, bias: Tensor, position: Tensor | float) -> Tensor:
    centred = word - word.mean(-1, keepdim=True)
    return centred / (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt() * weight + bias + position


def added(position: Position, places: Tensor) -> tuple[Tensor | None, Tensor | float]:
    """The table of a position scheme, if it has one, and what it adds at `places`, in float64."""
    if isinstance(position, Learned):
        table = position.table.weight.detach().double().requires_grad_()
        return table, table[places]
    if isinstance(position, Sinusoidal):
        angles = places.double()[:, None] / 10_000 ** (torch.arange(0, 48, 2).double() / 48)
        return None, Sinusoidal.SCALE * torch.stack((angles.sin(), angles.cos()), -1).flatten(-2)
    return None, 0.0


def check(model: GPT, position: Position, stream: Tensor, tokens: Tensor, places: Tensor) -> None:
    """The stream before the first block, and the gradients of all that is in it, against the formula."""
    model.zero_grad()
    assert isinstance(model.embedding_norm, nn.LayerNorm)
    parameters = [model.embedding.weight, model.embedding_norm.weight, model.embedding_norm.bias]
    leaves = [p.detach().double().requires_grad_() for p in parameters]
    table, position_rows = added(position, places)
    if isinstance(position, Learned) and table is not None:
        parameters.append(position.table.weight)
        leaves.append(table)
    word, weight, bias = leaves[:3]
    want = formula(word[tokens], weight, bias, position_rows)
    grad = torch.randn(want.shape, generator=torch.Generator().manual_seed(1)).to(stream.dtype)
    found = [stream, *torch.autograd.grad(stream, parameters, grad, retain_graph=True)]
    exact = [want, *torch.autograd.grad(want, leaves, grad.double())]
    for number, (a, b) in enumerate(zip(found, exact, strict=True)):
        error = float(((a.double() - b).abs().max() / b.abs().max().clamp_min(1)).detach())
        assert error <= LIMITS[stream.dtype], f"tensor {number}: error {error:.2g}"


@contextmanager
def first_input(block: nn.Module) -> Iterator[list[Tensor]]:
    """The streams that a block is given."""
    seen: list[Tensor] = []
    handle = block.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    try:
        yield seen
    finally:
        handle.remove()


def tokens() -> Tensor:
    return torch.randint(40, (3, 12), generator=torch.Generator().manual_seed(2))


CASES = list(itertools.product(("learned", "sinusoidal", "rotary"), IMPLEMENTATIONS, LIMITS))


@pytest.mark.slow
@pytest.mark.parametrize(("position", "implementation", "dtype"), CASES, ids=str)
def test_the_word_is_normalised_and_then_the_position_added(
    position: str, implementation: str, dtype: torch.dtype
) -> None:
    model = shaken(GPT(spec(position), implementation), dtype)
    with first_input(model.blocks[0]) as seen:
        model.loss(tokens(), tokens())
    check(model, model.position, seen[0], tokens(), torch.arange(12))


@pytest.mark.parametrize("position", ["learned", "sinusoidal"])
def test_as_torch_compile_traces_it(position: str) -> None:
    model = shaken(GPT(spec(position), "eager"), torch.float32)
    embed: Callable[..., Tensor] = torch.compile(model.embed, backend="aot_eager", fullgraph=True)
    check(model, model.position, embed(tokens(), torch.arange(12)), tokens(), torch.arange(12))


@pytest.mark.slow
@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("position", ["learned", "sinusoidal"])
def test_both_halves_of_an_encoder_decoder_have_it_there(position: str, implementation: str) -> None:
    model = build(spec(position, "encdec"), implementation)
    assert isinstance(model, EncoderDecoder)
    shaken(model, torch.float32)
    with first_input(model.encoder_blocks[0]) as encoded, first_input(model.blocks[0]) as decoded:
        model.hidden(tokens(), prefix=torch.full((3,), 5))
    check(model, model.encoder_position, encoded[0], tokens()[:, :5], torch.arange(5))
    check(model, model.position, decoded[0], tokens()[:, 4:], torch.arange(4, 12))


@pytest.mark.slow
@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_positions_that_are_given_are_those_that_are_added(implementation: str) -> None:
    model = shaken(GPT(spec("learned"), implementation), torch.float32)
    places = torch.randint(12, (3, 12), generator=torch.Generator().manual_seed(3))
    check(model, model.position, model.embed(tokens(), places), tokens(), places)


@pytest.mark.parametrize("name", components.variants("position"))
def test_the_place_is_said_of_the_schemes_for_which_it_matters(name: str) -> None:
    module = components.get("position", name).build(Shape(48, 6, 12))
    adds = type(module).embed is not Position.embed
    assert (name not in BESIDE_THE_EMBEDDING) == adds
    assert norm_place("on", name) == ({"embedding_norm_place": "before positions"} if adds else {})
    assert norm_place("off", name) == {}


@pytest.mark.parametrize("position", ["learned", "sinusoidal"])
def test_a_model_with_the_norm_in_the_earlier_place_is_refused(position: str) -> None:
    told = spec(position).to_json()
    assert ModelSpec.from_json(told) == spec(position)
    del told["embedding_norm_place"]
    with pytest.raises(UserError, match=f"normalises the sum of word and position .{position} positions") as raised:
        ModelSpec.from_json(told)
    assert "train the model again" in str(raised.value.hint)


@pytest.mark.parametrize(("position", "norm"), [("alibi", "on"), ("rotary", "on"), ("learned", "off")])
def test_a_model_that_means_the_same_as_before_loads(position: str, norm: str) -> None:
    old = ModelSpec(**SHAPE, position=position, embedding_norm=norm)  # type: ignore[arg-type]
    told = {key: value for key, value in vars(old).items() if key != "learning_rule"}  # left out unless it is another
    assert old.to_json() == told
    assert ModelSpec.from_json(told) == old
