"""Every position scheme, implementation and type against a model of our own in float64, at far places."""

from __future__ import annotations

import copy
import math
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from benchsuite import components
from benchsuite.components.position_modules import ALiBi, Position, Shape, Sinusoidal, T5Relative
from benchsuite.model.encoder_decoder import build
from benchsuite.model.gpt import GPT, Attention, attention_inputs
from benchsuite.model.spec import ModelSpec

T, WIDTH, HEADS = 1280, 32, 2
IMPLEMENTATIONS = ("eager", "sdpa", "folded", "fused", "flex")
# The largest error of a state over the largest state: some roundings of the type, and in float32 those of an angle of
# 1280 radians.
LIMITS = {torch.float64: 2e-4, torch.float32: 2e-4, torch.bfloat16: 3e-2, torch.float16: 4e-3}
CASES = [
    (position, implementation)
    for position, variant in components.variants("position").items()
    for implementation in IMPLEMENTATIONS
    if implementation in variant.implementations or implementation in ("folded", "flex")
]


def positional(name: str) -> Position:
    return components.get("position", name).build(Shape(WIDTH, HEADS, T))


def exact(position: Position, name: str, attention: Attention, x: Tensor) -> Tensor:
    """The attention layer by the formulas of the papers, all of it in float64."""
    D = WIDTH // HEADS
    places = torch.arange(T, dtype=torch.float64)
    distance = places[None] - places[:, None]
    if name == "learned":
        x = x + position.table.weight.double()  # type: ignore[operator,union-attr]
    if name == "sinusoidal":
        angles = places[:, None] / 10_000 ** (torch.arange(0, WIDTH, 2, dtype=torch.float64) / WIDTH)
        x = x + Sinusoidal.SCALE * torch.stack((angles.sin(), angles.cos()), -1).flatten(1)
    qkv = nn.functional.linear(x, attention.qkv.weight.double(), attention.qkv.bias.double())
    q, k, v = qkv.view(T, 3, HEADS, D).permute(1, 2, 0, 3)
    if name == "rotary":
        turn = torch.polar(torch.ones(()).double(), places[:, None] * 10_000 ** (-torch.arange(0, D, 2).double() / D))
        q, k = (
            torch.view_as_real(torch.complex(*one.chunk(2, -1)) * turn).movedim(-1, -2).flatten(-2) for one in (q, k)
        )
    scores = q @ k.mT / math.sqrt(D)
    if name == "alibi":
        scores = scores + torch.tensor([2.0**-4, 2.0**-8]).double()[:, None, None] * distance
    if name == "t5":
        assert isinstance(position, T5Relative)
        scores = scores + position.bias(torch.arange(T)).double()
    y = (scores.masked_fill(distance > 0, -math.inf).softmax(-1) @ v).transpose(0, 1).flatten(1)
    return nn.functional.linear(y, attention.out.weight.double(), attention.out.bias.double())


class Layer(nn.Module):
    def __init__(self, name: str, implementation: str) -> None:
        super().__init__()
        self.position, self.implementation = positional(name), implementation
        spec = ModelSpec(layers=1, width=WIDTH, heads=HEADS, vocab=8, seq=T, position=name)
        self.attention = Attention(spec, implementation)

    def forward(self, x: Tensor) -> Tensor:
        places = torch.arange(T)
        x = self.position.embed(x, places)
        return self.attention(x, *attention_inputs(self.position, self.implementation, places, x))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:flex_attention called without")
@pytest.mark.parametrize("dtype", LIMITS)
@pytest.mark.parametrize(("name", "implementation"), CASES)
def test_a_layer_is_exact_at_far_places(name: str, implementation: str, dtype: torch.dtype) -> None:
    layer = Layer(name, implementation).to(dtype)
    x = torch.randn(1, T, WIDTH).to(dtype)
    with torch.no_grad():
        got, want = layer(x)[0].double(), exact(layer.position, name, layer.attention, x[0].double())
    assert got.dtype == torch.float64
    far = (got - want)[-256:].abs().max() / want[-256:].abs().max()
    assert far <= LIMITS[dtype], f"error {far:.2g}"


def states(model: GPT, tokens: Tensor) -> Tensor:
    with torch.no_grad():
        return model(tokens)[0, -64:].double()


@pytest.mark.slow
@pytest.mark.parametrize("name", components.variants("position"))
def test_every_way_to_sixteen_bits_gives_the_same(name: str, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    from benchsuite.model import transformers_model

    spec = ModelSpec(layers=1, width=WIDTH, heads=HEADS, vocab=50, seq=T, position=name, embedding_norm="on")
    model, tokens = GPT(spec, "sdpa").eval(), torch.randint(50, (1, T))
    transformers_model.wrap(model).save_pretrained(tmp_path)
    rounded = copy.deepcopy(model)
    rounded.load_state_dict({key: value.bfloat16().float() for key, value in model.state_dict().items()})
    want = states(rounded, tokens)
    torch.set_default_dtype(torch.bfloat16)
    try:
        made = GPT(spec, "sdpa").eval()
        made.load_state_dict(model.state_dict())
        of_a_default = states(made, tokens)
    finally:
        torch.set_default_dtype(torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        under_autocast = states(model, tokens)
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.bfloat16).eval()
    ways = {
        "to": states(copy.deepcopy(model).to(torch.bfloat16), tokens),
        "bfloat16": states(copy.deepcopy(model).bfloat16(), tokens),
        "default": of_a_default,
        "autocast": under_autocast,
        "there and back": states(copy.deepcopy(model).bfloat16().float(), tokens),
        "from_pretrained": states(loaded.gpt, tokens),
    }
    for way, got in ways.items():
        error = (got - want).std() / want.std()
        assert error < 2e-2, f"{way}: {error:.2g}"
    torch.testing.assert_close(ways["there and back"], want, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("architecture", ["causal", "prefix", "encdec"])
@pytest.mark.parametrize("name", components.variants("position"))
def test_no_model_has_a_buffer_that_a_cast_would_round(name: str, architecture: str) -> None:
    if name == "none" and architecture != "causal":
        return  # there is no such model
    spec = ModelSpec(layers=1, width=16, heads=2, vocab=8, seq=8, position=name, architecture=architecture)
    assert not list(build(spec).buffers())


@pytest.mark.slow
@pytest.mark.parametrize("name", ["rotary", "alibi", "sinusoidal", "t5"])
def test_compiled_and_exported_models_keep_float32_places(name: str) -> None:
    spec = ModelSpec(layers=1, width=16, heads=2, vocab=20, seq=600, position=name)
    model, tokens = GPT(spec, "sdpa").bfloat16().eval(), torch.randint(20, (1, 600))
    want = states(model, tokens)
    torch.testing.assert_close(
        torch.compile(model, backend="aot_eager")(tokens)[0, -64:].double().detach(), want, rtol=2e-2, atol=2e-2
    )
    exported = torch.export.export(model, (tokens,)).module()
    torch.testing.assert_close(exported(tokens)[0, -64:].double().detach(), want, rtol=2e-2, atol=2e-2)


def test_slopes_are_float32_wherever_they_are_asked_for() -> None:
    for heads in (1, 6, 12, 16):
        scheme = ALiBi(Shape(heads * 8, heads, 8)).half()
        assert scheme.inside(torch.arange(4))["slopes"].dtype == torch.float32
        assert scheme.bias(torch.arange(4)).dtype == torch.float32
