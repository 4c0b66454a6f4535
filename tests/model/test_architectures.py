"""Prefix decoder and encoder-decoder: counts against torch's own, masks against what they mean, the loss of the
encoder-decoder against a plain one."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, models
from torch import Tensor
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from benchsuite import components
from benchsuite.components.position_modules import ALiBi, Shape, T5Relative
from benchsuite.errors import UserError
from benchsuite.model import checkpoint, flops
from benchsuite.model.encoder_decoder import EncoderDecoder, build
from benchsuite.model.gpt import GPT
from benchsuite.model.spec import ModelSpec

SHAPE = {"layers": 2, "width": 48, "heads": 6, "vocab": 40, "seq": 12}
POSITIONS = [name for name in components.variants("position") if name != "none"]
IMPLEMENTATIONS = ["eager", "sdpa", "folded", "fused"]


def spec(architecture: str, position: str = "t5", **options: object) -> ModelSpec:
    return ModelSpec(**{**SHAPE, "architecture": architecture, "position": position, **options})  # type: ignore[arg-type]


def tokens(batch: int = 3, seq: int = 12) -> Tensor:
    return torch.randint(40, (batch, seq), generator=torch.Generator().manual_seed(1))


def loud(model: GPT) -> GPT:
    """`model` with weights so large that a wrong mask is heard."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.2, generator=generator)
    return model.eval()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("architecture", "position", "tied"), itertools.product(("causal", "prefix", "encdec"), POSITIONS, (True, False))
)
def test_parameters_and_flops_are_those_that_torch_counts(architecture: str, position: str, tied: bool) -> None:
    model = build(spec(architecture, position, tied=tied, embedding_norm="on", activation="swiglu"), "eager")
    assert flops.parameters(model.spec) == sum(p.numel() for p in model.parameters())
    for prefix in (1, 5, 12):
        targets = tokens()
        targets[:, : prefix - 1] = -100
        with FlopCounterMode(display=False) as step:
            model.loss(tokens(), targets, prefix=torch.full((3,), prefix)).backward()
        assert flops.step_flops(model.spec, 3, 12, prefix) == step.get_total_flops()


def test_an_encoder_decoder_has_twice_the_parameters_at_the_flops_of_the_decoder() -> None:
    """The companion study's shape: 11.0B against 4.8B parameters (arXiv:2204.05832, section 3.1)."""
    shape = {"layers": 24, "width": 4096, "heads": 64, "vocab": 32_128, "seq": 626, "activation": "geglu"}
    decoder = ModelSpec(**shape, position="t5")  # type: ignore[arg-type]
    both = ModelSpec(**shape, position="t5", architecture="encdec")  # type: ignore[arg-type]
    assert flops.parameters(both) / flops.parameters(decoder) == pytest.approx(11.0 / 4.8, rel=0.01)
    for prefix in (100, 313, 512):
        work = [flops.step_flops(s, 1, 626, prefix) for s in (decoder, both)]
        assert 1.1 < work[1] / work[0] < 1.2, "cross-attention is what is more: four of some 24 squares of the width"


@pytest.mark.parametrize(
    ("position", "implementation"),
    [
        pytest.param(*way, marks=[pytest.mark.slow] * (way[1] == "fused"))  # which has kernels
        for way in itertools.product(POSITIONS, IMPLEMENTATIONS)
        if way != ("t5", "fused")  # which there is not
    ],
)
def test_a_prefix_is_seen_from_everywhere_and_the_future_from_nowhere(position: str, implementation: str) -> None:
    for architecture in ("prefix", "encdec"):
        model, x, prefix = loud(build(spec(architecture, position), implementation)), tokens(2), torch.tensor([5, 5])
        out = model.hidden(x, prefix=prefix)
        seen_from = 0 if architecture == "prefix" else 4
        for place in range(12):
            changed = x.clone()
            changed[:, place] = (changed[:, place] + 1) % 40
            moved = (model.hidden(changed, prefix=prefix) - out).abs().amax(dim=(0, 2)) > 1e-4
            first = seen_from if place < 5 else place
            assert moved.tolist() == [place_ >= first for place_ in range(12)], (architecture, place)


def test_a_causal_decoder_takes_no_notice_of_a_prefix() -> None:
    model = loud(build(spec("causal")))
    torch.testing.assert_close(model.hidden(tokens(), prefix=torch.tensor([5, 1, 9])), model.hidden(tokens()))


@pytest.mark.parametrize(("architecture", "position"), itertools.product(("prefix", "encdec"), POSITIONS))
def test_prefixes_of_many_lengths_in_a_batch_are_as_each_alone(architecture: str, position: str) -> None:
    model, x, lengths = loud(build(spec(architecture, position))), tokens(4), [1, 12, 5, 8]
    together = model.hidden(x, prefix=torch.tensor(lengths))
    at = torch.tensor([11, 23, 28, 35, 44])
    places = model.hidden(x, prefix=torch.tensor(lengths), at=at)
    torch.testing.assert_close(places, together.flatten(0, 1)[at], atol=1e-5, rtol=1e-4)
    for row, length in enumerate(lengths):
        alone = model.hidden(x[row : row + 1], prefix=torch.tensor([length]))
        torch.testing.assert_close(together[row, length - 1 :], alone[0, length - 1 :], atol=1e-5, rtol=1e-4)


def plain_loss(model: EncoderDecoder, row: list[int], prefix: int) -> Tensor:
    """The loss of one sequence, written out: no batches, no masks but loops' ends."""

    def norm(module: torch.nn.LayerNorm, x: Tensor) -> Tensor:
        return functional.layer_norm(x, x.shape[-1:], module.weight, module.bias, 1e-5)

    def attend(q: Tensor, k: Tensor, v: Tensor, near: list[list[int]], ahead: bool | None) -> Tensor:
        heads = []
        for h, (one, two, three) in enumerate(zip(q.chunk(6, -1), k.chunk(6, -1), v.chunk(6, -1), strict=True)):
            rows = []
            for i, seen in enumerate(near):
                scores = torch.stack([one[i] @ two[j] / math.sqrt(8) for j in seen])
                if ahead is not None:
                    scores = scores + torch.stack([table(ahead).weight[bucket(i - j, ahead), h] for j in seen])
                rows.append(scores.softmax(0) @ torch.stack([three[j] for j in seen]))
            heads.append(torch.stack(rows))
        return torch.cat(heads, -1)

    def table(ahead: bool) -> torch.nn.Embedding:
        return (model.encoder_position if ahead else model.position).table  # type: ignore[return-value]

    def bucket(distance: int, ahead: bool) -> int:
        """Distances here are below half of the buckets: each has its own."""
        return abs(distance) + (16 if ahead and distance < 0 else 0)

    def linear(module: torch.nn.Module, x: Tensor) -> Tensor:
        return x @ module.weight.T + module.bias  # type: ignore[operator, union-attr]

    def ffn(block: torch.nn.Module, x: Tensor) -> Tensor:
        return linear(block.ffn.down, functional.gelu(linear(block.ffn.up, x), approximate="tanh"))  # type: ignore[union-attr, arg-type]

    x = model.embedding.weight[row[:prefix]]
    everywhere = [list(range(prefix))] * prefix
    for block in model.encoder_blocks:
        q, k, v = linear(block.attention.qkv, norm(block.attention_norm, x)).chunk(3, -1)  # type: ignore[union-attr, arg-type]
        x = x + linear(block.attention.out, attend(q, k, v, everywhere, True))  # type: ignore[union-attr, arg-type]
        x = x + ffn(block, norm(block.ffn_norm, x))  # type: ignore[arg-type]
    memory = norm(model.encoder_norm, x)
    x = model.embedding.weight[row[prefix - 1 : -1]]
    before = [list(range(i + 1)) for i in range(len(x))]
    for block in model.blocks:
        q, k, v = linear(block.attention.qkv, norm(block.attention_norm, x)).chunk(3, -1)  # type: ignore[union-attr, arg-type]
        x = x + linear(block.attention.out, attend(q, k, v, before, False))  # type: ignore[union-attr, arg-type]
        q = linear(block.cross_attention.q, norm(block.cross_norm, x))  # type: ignore[union-attr, arg-type]
        k, v = linear(block.cross_attention.kv, memory).chunk(2, -1)  # type: ignore[union-attr, arg-type]
        seen = [list(range(prefix))] * len(x)
        x = x + linear(block.cross_attention.out, attend(q, k, v, seen, None))  # type: ignore[union-attr, arg-type]
        x = x + ffn(block, norm(block.ffn_norm, x))  # type: ignore[arg-type]
    logits = norm(model.final_norm, x) @ model.embedding.weight.T
    return -logits.log_softmax(-1)[range(len(x)), row[prefix:]].mean()


def test_the_encoder_decoder_s_loss_is_the_plain_one() -> None:
    model = loud(build(spec("encdec", seq=8))).double()
    assert isinstance(model, EncoderDecoder)
    row = tokens(1, 9)
    for prefix in (1, 4, 7):
        targets = row[:, 1:].clone()
        targets[:, : prefix - 1] = -100
        loss = model.loss(row[:, :-1], targets, prefix=torch.tensor([prefix]))
        torch.testing.assert_close(loss.double(), plain_loss(model, row[0].tolist(), prefix), atol=1e-5, rtol=0)


def test_positions_tell_before_from_behind_where_both_are_seen() -> None:
    around = torch.arange(-3, 4)
    both, back = T5Relative(Shape(12, 6, 8, bidirectional=True)), T5Relative(Shape(12, 6, 8))
    assert both.bucket(around).tolist() == [19, 18, 17, 0, 1, 2, 3]
    assert back.bucket(around).tolist() == [0, 0, 0, 0, 1, 2, 3]
    assert int(both.bucket(torch.arange(-1000, 1000)).max()) == 31
    bias = ALiBi(Shape(12, 6, 8, bidirectional=True)).bias(torch.arange(8))
    torch.testing.assert_close(bias, bias.mT)
    assert bool((bias <= 0).all())


@pytest.mark.parametrize("architecture", ["prefix", "encdec"])
def test_without_positions_there_is_no_order_to_learn(architecture: str) -> None:
    with pytest.raises(UserError, match="have no order"):
        spec(architecture, "none")
    with pytest.raises(UserError, match="unknown architecture"):
        spec("decoder")


def test_a_decoder_is_no_encoder_decoder() -> None:
    with pytest.raises(ValueError, match="no model of architecture 'encdec'"):
        GPT(spec("encdec"))


def test_an_encoder_decoder_is_saved_and_loaded(tmp_path: Path) -> None:
    model = loud(build(spec("encdec", fills=True)))
    checkpoint.save(model, tmp_path, Tokenizer(models.BPE()))
    again, _ = checkpoint.load(tmp_path)
    assert again.spec == model.spec
    prefix = torch.tensor([3, 4, 5])
    assert torch.equal(again.hidden(tokens(), prefix=prefix), model.hidden(tokens(), prefix=prefix))


@pytest.mark.parametrize("architecture", ["prefix", "encdec"])
def test_recomputation_changes_no_gradient(architecture: str) -> None:
    model, prefix = loud(build(spec(architecture))).train(), torch.tensor([3, 4, 5])
    targets = tokens().clone()
    targets[:, :4] = -100
    gradients = []
    for model.recompute in (False, True):
        model.zero_grad()
        model.loss(tokens(), targets, prefix=prefix).backward()
        gradients.append([p.grad.clone() for p in model.parameters() if p.grad is not None])
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b, atol=1e-6, rtol=1e-4)
