"""The model: counts against torch's own, implementations against one another, masks against what they mean."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchsuite import components
from benchsuite.components.position_modules import alibi_slopes
from benchsuite.errors import UserError
from benchsuite.model import flops, gpt
from benchsuite.model.gpt import GPT
from benchsuite.model.spec import ModelSpec

SHAPE = {"layers": 2, "width": 48, "heads": 6, "vocab": 40, "seq": 12}
POSITIONS = list(components.variants("position"))
SPECS = [
    ModelSpec(**SHAPE, activation=a, position=p, embedding_norm=e, matching=m)  # type: ignore[arg-type]
    for a, p, e, m in itertools.product(
        components.variants("activation"),
        POSITIONS,
        components.variants("embedding_norm"),
        ["iso-parameter", "iso-width"],
    )
]


def runs(spec: ModelSpec, implementation: str) -> bool:
    """Whether every part of the model has the implementation; that the others are refused is a test of its own."""
    return implementation != "fused" or all(
        "fused" in components.get(component, getattr(spec, component)).implementations
        for component in components.COMPONENTS
    )


WAYS = [
    (position, implementation)
    for position, implementation in itertools.product(POSITIONS, ["eager", "sdpa", "folded", "fused"])
    if runs(ModelSpec(**SHAPE, position=position), implementation)  # type: ignore[arg-type]
]
TRIED = [pytest.param(*way, marks=[pytest.mark.slow] * (way[1] == "fused")) for way in WAYS]  # fused has kernels


def tokens(batch: int = 3, seq: int = 12) -> torch.Tensor:
    return torch.randint(40, (batch, seq), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("spec", SPECS, ids=lambda s: f"{s.activation}-{s.position}-{s.embedding_norm}-{s.matching}")
def test_parameters_are_counted_exactly(spec: ModelSpec) -> None:
    assert flops.parameters(spec) == sum(p.numel() for p in GPT(spec).parameters())


@pytest.mark.slow
@pytest.mark.parametrize("spec", [s for s in SPECS if s.embedding_norm == "on"], ids=str)
def test_flops_are_those_that_torch_counts(spec: ModelSpec) -> None:
    model, x = GPT(spec, "eager"), tokens()
    with FlopCounterMode(display=False) as forward:
        model(x)
    assert flops.forward_flops(spec, 3, 12) == forward.get_total_flops()
    with FlopCounterMode(display=False) as step:
        model.loss(x, x).backward()
    assert flops.step_flops(spec, 3, 12) == step.get_total_flops()


@pytest.mark.parametrize("recompute", [False, True])
def test_flops_that_recomputation_does_are_those_that_torch_counts(recompute: bool) -> None:
    spec = ModelSpec(layers=3, width=32, heads=4, vocab=64, seq=16, activation="swiglu")
    model = GPT(spec, "eager").train()
    model.recompute = recompute
    tokens = torch.randint(spec.vocab, (2, spec.seq))
    with FlopCounterMode(display=False) as counted:
        model.loss(tokens, tokens).backward()
    assert flops.executed_flops(spec, 2, spec.seq, recompute=recompute) == counted.get_total_flops()
    assert (counted.get_total_flops() > flops.step_flops(spec, 2, spec.seq)) is recompute


def test_untied_embeddings_are_counted() -> None:
    spec = ModelSpec(**SHAPE, tied=False)  # type: ignore[arg-type]
    assert flops.parameters(spec) == sum(p.numel() for p in GPT(spec).parameters())


def test_the_published_baseline_has_its_published_size() -> None:
    """The original study's 1.3B model: 24 layers of width 2048, GPT-2's vocabulary, 2048 learned positions."""
    spec = ModelSpec(layers=24, width=2048, heads=16, vocab=50_257, seq=2048)
    assert flops.parameters(spec) == 1_315_723_264


def test_swiglu_at_the_published_width_is_iso_parameter() -> None:
    """2/3 of 8192 rounded to a multiple of 8 is 5464 by nearest rounding; the original script rounded down to 5456."""
    plain = ModelSpec(layers=1, width=2048, heads=16, vocab=50_304, seq=2048)
    gated = ModelSpec(layers=1, width=2048, heads=16, vocab=50_304, seq=2048, activation="swiglu")
    assert gated.d_ff == 5464
    assert abs(flops.ffn_parameters(gated) / flops.ffn_parameters(plain) - 1) < 2e-3


@pytest.mark.slow
@pytest.mark.parametrize(
    ("spec", "implementation"),
    [(spec, way) for spec, way in itertools.product(SPECS, ["sdpa", "folded", "fused"]) if runs(spec, way)],
    ids=lambda v: v if isinstance(v, str) else f"{v.activation}-{v.position}-{v.embedding_norm}-{v.matching}",
)
def test_every_implementation_gives_the_loss_and_the_gradients_of_eager(spec: ModelSpec, implementation: str) -> None:
    exact, model = GPT(spec, "eager").double(), GPT(spec, implementation)
    model.load_state_dict(exact.state_dict())
    inputs, targets = tokens(), tokens().flip(1)
    want, got = exact.loss(inputs, targets), model.loss(inputs, targets)
    torch.testing.assert_close(got.double(), want.double(), atol=1e-5, rtol=0)
    want.backward()
    got.backward()
    exact_gradients = [p.grad for p in exact.parameters() if p.grad is not None]
    largest = max(float(g.abs().max()) for g in exact_gradients)  # of all: some gradients are zero but for rounding
    assert len(exact_gradients) == len(list(model.parameters()))
    for (name, b), a in zip(model.named_parameters(), exact_gradients, strict=True):
        assert b.grad is not None, name
        torch.testing.assert_close(b.grad.double(), a, atol=2e-6 * largest + 1e-4 * float(a.abs().max()), rtol=0)


@pytest.mark.slow
def test_fused_and_folded_are_not_eager_in_disguise(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("the eager formula ran")

    spec = ModelSpec(**SHAPE, position="alibi", activation="swiglu", embedding_norm="on")  # type: ignore[arg-type]
    fused, folded = GPT(spec, "fused"), GPT(spec, "folded")
    for name in ("attend_eager", "attend_sdpa", "position_inputs"):
        monkeypatch.setattr(gpt, name, never)
    folded.loss(tokens(), tokens())
    for name in ("layer_norm", "embedding", "cross_entropy", "silu"):
        monkeypatch.setattr(torch.nn.functional, name, never)
    fused.loss(tokens(), tokens())


def test_an_implementation_that_a_variant_lacks_is_refused() -> None:
    @components.variant("activation", "test_only", summary="", source="")
    def build() -> object:
        return torch.nn.functional.mish

    try:
        spec = ModelSpec(**SHAPE, activation="test_only")  # type: ignore[arg-type]
        GPT(spec, "sdpa")
        with pytest.raises(ValueError, match="activation test_only has no implementation 'fused'"):
            GPT(spec, "fused")
        with pytest.raises(ValueError, match="unknown implementation 'fuse'"):
            GPT(spec, "fuse")
    finally:
        del components._registry["activation", "test_only"]


@pytest.mark.parametrize(("position", "implementation"), TRIED)
def test_no_token_sees_the_future(position: str, implementation: str) -> None:
    model = GPT(ModelSpec(**SHAPE, position=position), implementation)  # type: ignore[arg-type]
    x = tokens()
    changed = x.clone()
    changed[:, 7:] = (changed[:, 7:] + 1) % 40
    torch.testing.assert_close(model(x)[:, :7], model(changed)[:, :7], atol=1e-6, rtol=0)
    assert not torch.allclose(model(x)[:, 7:], model(changed)[:, 7:], atol=1e-3)


@pytest.mark.parametrize(("position", "implementation"), TRIED)
def test_a_tree_mask_scores_branches_as_if_each_stood_alone(position: str, implementation: str) -> None:
    """Two continuations of one context in one sequence, each with its own positions, give what two sequences give."""
    model = GPT(ModelSpec(**SHAPE, position=position), implementation)  # type: ignore[arg-type]
    context, left, right = tokens(1, 5), tokens(1, 8)[:, 5:], tokens(1, 9)[:, 7:]
    tree = torch.cat((context, left, right), dim=1)
    positions = torch.tensor([[0, 1, 2, 3, 4, 5, 6, 7, 5, 6]])
    mask = torch.ones(10, 10, dtype=torch.bool).tril()
    mask[8:, 5:8] = False
    together = model(tree, positions, mask[None, None])
    torch.testing.assert_close(together[:, 5:8], model(torch.cat((context, left), 1))[:, 5:], atol=1e-5, rtol=0)
    torch.testing.assert_close(together[:, 8:], model(torch.cat((context, right), 1))[:, 5:], atol=1e-5, rtol=0)


def test_only_positions_tell_order() -> None:
    """Without positions the last token sees a set: shuffling what came before changes nothing in a one-layer model."""
    shape = {**SHAPE, "layers": 1}
    x = tokens(1)
    shuffled = torch.cat((x[:, :-1].flip(1), x[:, -1:]), dim=1)
    for position in POSITIONS:
        model = GPT(ModelSpec(**shape, position=position))  # type: ignore[arg-type]
        same = torch.allclose(model(x)[:, -1], model(shuffled)[:, -1], atol=1e-6)
        assert same == (position == "none"), position


def test_learned_positions_end_and_the_others_do_not() -> None:
    for position in POSITIONS:
        model = GPT(ModelSpec(**SHAPE, position=position))  # type: ignore[arg-type]
        assert model.max_length == (12 if position == "learned" else None)
        if model.max_length is None:
            assert model(tokens(1, 40)).shape == (1, 40, 40)


def test_alibi_slopes_of_any_head_count() -> None:
    assert alibi_slopes(8).tolist() == [2.0**-i for i in range(1, 9)]
    assert alibi_slopes(6).tolist() == [0.25, 0.0625, 0.015625, 0.00390625, 0.5, 0.125]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"heads": 5}, "cannot be shared by 5 heads"),
        ({"layers": 0}, "model.layers is 0"),
        ({"activation": "gleu"}, "did you mean 'gelu'"),
        ({"matching": "iso"}, "unknown matching"),
    ],
)
def test_an_impossible_model_is_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        ModelSpec(**{**SHAPE, **change})  # type: ignore[arg-type]
