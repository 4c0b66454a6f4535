"""The loop: it learns, repeats itself to the bit, pairs seeds across variants, and says when it cannot go on."""

from __future__ import annotations

import dataclasses
import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from benchsuite.errors import UserError
from benchsuite.model.encoder_decoder import build
from benchsuite.model.gpt import GPT
from benchsuite.model.spec import ModelSpec
from benchsuite.pretrain.order import data_order
from benchsuite.pretrain.snapshots import Snapshots
from benchsuite.pretrain.step import adamw, set_lr
from benchsuite.pretrain.trainer import Diverged, train
from benchsuite.records.params import TrainConfig

pytestmark = pytest.mark.slow

SPEC = ModelSpec(layers=1, width=16, heads=2, vocab=16, seq=8)
CONFIG = TrainConfig(tokens=8_000, batch=8, lr=1e-2)
COUNTING = np.tile(np.arange(16, dtype=np.uint16), 40)  # 0 1 2 … 15 0 1 2 …: the next token is always known


def test_it_learns_to_count() -> None:
    _, log = train(SPEC, COUNTING, CONFIG, seed=0)
    assert log.curve[0][1] > 2.5
    assert log.final_loss < 0.5
    assert log.tokens == CONFIG.steps(8) * 64
    assert log.curve[-1][0] == log.tokens


@pytest.mark.parametrize(
    ("precision", "implementation"), [("float32", "sdpa"), ("float32", "fused"), ("bfloat16", "fused")]
)
def test_the_same_seed_gives_the_same_model_to_the_bit(precision: str, implementation: str) -> None:
    config = dataclasses.replace(CONFIG, precision=precision, implementation=implementation)
    first, _ = train(SPEC, COUNTING, config, seed=3)
    again, _ = train(SPEC, COUNTING, config, seed=3)
    other, _ = train(SPEC, COUNTING, config, seed=3, init_seed=4)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))
    assert not torch.equal(first.embedding.weight, other.embedding.weight)


def test_an_epoch_predicts_every_token_at_most_once_and_nearly_all() -> None:
    tokens = np.arange(1000, dtype=np.uint16)
    batches = data_order(tokens, 8, itertools.repeat(4), seed=0)
    targets = torch.cat([next(batches)[:, 1:].flatten() for _ in range(30)])
    assert len(targets.unique()) == len(targets) == 960


def test_the_order_depends_on_the_seed_alone() -> None:
    tokens = np.arange(1000, dtype=np.uint16)
    first, again, other = (next(data_order(tokens, 8, [4], seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_too_little_text_is_said() -> None:
    with pytest.raises(UserError, match="less than one sequence"):
        train(SPEC, COUNTING[:8], CONFIG, seed=0)


def test_a_diverged_loss_stops_the_run() -> None:
    with pytest.raises(Diverged, match="after") as caught:
        train(SPEC, COUNTING, dataclasses.replace(CONFIG, lr=1e30, clip=math.inf), seed=0)
    assert caught.value.stability["diverged_at"] > 0
    assert caught.value.stability["last"] is None


def test_the_learning_rate_warms_up_and_follows_a_cosine() -> None:
    optimizer = adamw(GPT(SPEC).parameters(), CONFIG)
    config = TrainConfig(tokens=1, lr=1.0, warmup=0.1, min_lr=0.1, batch=4)

    def at(step: int) -> float:
        set_lr(optimizer, config, 4 * step, 400)
        return float(optimizer.param_groups[0]["lr"])

    assert at(5) == pytest.approx(0.5)
    assert at(10) == 1.0
    assert at(55) == pytest.approx(0.55)
    assert at(100) == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("options", "objective"),
    [
        ({"embedding_norm": "on"}, "lm"),
        ({"position": "t5", "activation": "swiglu", "tied": False}, "lm"),
        ({"embedding_norm": "on", "architecture": "encdec"}, "prefix-lm"),
    ],
    ids=str,
)
def test_weights_of_matrices_and_embeddings_decay_and_norms_and_biases_do_not(
    options: dict[str, Any], objective: str
) -> None:
    """As Megatron-LM groups them for the original study. After one step with and without the decay, all else equal."""
    spec = dataclasses.replace(SPEC, **options)
    config = dataclasses.replace(CONFIG, tokens=64)
    plain, _ = train(spec, COUNTING, dataclasses.replace(config, weight_decay=0.0), seed=0, objective=objective)
    decayed, _ = train(spec, COUNTING, dataclasses.replace(config, weight_decay=0.5), seed=0, objective=objective)
    torch.manual_seed(0)
    before = dict(build(spec).named_parameters())
    after = dict(decayed.named_parameters())
    kinds = {module: set[str]() for module in (torch.nn.LayerNorm, torch.nn.Linear, torch.nn.Embedding)}
    for path, module in plain.named_modules():
        for kind, names in kinds.items():
            names |= {
                f"{path}.{name}" for name, _ in module.named_parameters(recurse=False) if isinstance(module, kind)
            }
    assert set(before) <= set().union(*kinds.values())
    for name, parameter in plain.named_parameters():
        difference = (parameter - after[name]).detach()
        if name in kinds[torch.nn.LayerNorm] or name.endswith(".bias"):
            assert not difference.any(), name
        else:
            torch.testing.assert_close(difference, config.lr * 0.5 * before[name].detach(), atol=1e-7, rtol=1e-3)
            assert difference.any(), name


def test_progress_ends_at_one() -> None:
    seen: list[float] = []
    train(SPEC, COUNTING, CONFIG, seed=0, progress=seen.append)
    assert seen == sorted(seen)
    assert seen[-1] == 1.0


def test_a_batch_that_ramps_up_ends_at_its_size_and_keeps_to_the_tokens() -> None:
    config = TrainConfig(tokens=100 * 8 * 8, batch=8, ramp_batch=2, ramp_tokens=8 * 60)
    sizes = config.sizes(8)
    assert sizes[:10] == [2] * 10, "three increments over sixty sequences"
    assert sorted(set(sizes)) == [2, 4, 6, 8]
    assert sizes == sorted(sizes)
    assert sizes.index(8) > sizes.index(6) > sizes.index(4)
    assert sum(sizes[: sizes.index(8)]) >= 60
    assert 800 - 8 < sum(sizes) <= 800
    assert dataclasses.replace(config, ramp_tokens=0).sizes(8) == [8] * 100
    assert TrainConfig(tokens=1, batch=8).sizes(8) == [8]


@pytest.mark.parametrize(
    "options", [{"micro_batch": 2}, {"recompute": True}, pytest.param({"compile": True}, marks=pytest.mark.long)]
)
def test_ways_to_save_memory_or_time_change_no_result(options: dict[str, Any]) -> None:
    config = dataclasses.replace(CONFIG, tokens=1_280)
    plain, log = train(SPEC, COUNTING, config, seed=0)
    other, other_log = train(SPEC, COUNTING, dataclasses.replace(config, **options), seed=0)
    np.testing.assert_allclose(other_log.curve, log.curve, rtol=1e-4)
    x = torch.arange(8)[None] % 16  # weights differ where their gradient is rounding error alone, as a key's bias's is
    torch.testing.assert_close(other(x), plain(x), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_sixteen_bits_learn_as_well(precision: str) -> None:
    _, log = train(SPEC, COUNTING, dataclasses.replace(CONFIG, precision=precision), seed=0)
    assert log.final_loss < 0.6
    exact, _ = train(SPEC, COUNTING, dataclasses.replace(CONFIG, tokens=640), seed=0)
    rough, _ = train(SPEC, COUNTING, dataclasses.replace(CONFIG, tokens=640, precision=precision), seed=0)
    assert not torch.equal(exact.embedding.weight, rough.embedding.weight)
    assert rough.embedding.weight.dtype == torch.float32


def test_the_fused_loss_takes_part_in_autocast(monkeypatch: pytest.MonkeyPatch) -> None:
    batch = torch.from_numpy(COUNTING[:36].astype(np.int64)).view(4, 9)
    asked: list[torch.dtype] = []

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if func is torch.ops.benchsuite.linear_cross_entropy.default:
                asked.append(args[0].dtype)
                assert args[1].dtype == args[0].dtype
            return func(*args, **(kwargs or {}))

    torch.manual_seed(0)
    model = GPT(SPEC, "fused")
    exact = model.loss(batch[:, :-1], batch[:, 1:])
    monkeypatch.setattr("benchsuite.cuda_ext.linear.products", lambda: "none")  # which take float32 as it is
    for dtype in (torch.bfloat16, torch.float16):
        with torch.autocast("cpu", dtype), Watch():
            rough = model.loss(batch[:, :-1], batch[:, 1:])
        rough.backward()
        assert rough.item() == pytest.approx(exact.item(), rel=1e-2)
    assert asked == [torch.bfloat16, torch.float16]
    assert model.embedding.weight.grad is not None
    assert model.embedding.weight.grad.dtype == torch.float32


def test_fused_training_ends_where_plain_training_does() -> None:
    config = dataclasses.replace(CONFIG, tokens=1_280)
    plain, log = train(SPEC, COUNTING, config, seed=0)
    fused, log_fused = train(SPEC, COUNTING, dataclasses.replace(config, implementation="fused"), seed=0)
    assert log_fused.final_loss == pytest.approx(log.final_loss, rel=1e-4)
    # Not weight by weight: no output depends on a key's bias, so that AdamW moves it by rounding alone.
    batch = torch.from_numpy(COUNTING[:32].astype(np.int64)).view(4, 8)
    with torch.no_grad():
        torch.testing.assert_close(fused(batch), plain(batch), rtol=1e-3, atol=1e-3)


def test_micro_batches_must_fit() -> None:
    with pytest.raises(UserError, match="batch of 8 sequences"):
        train(SPEC, COUNTING, dataclasses.replace(CONFIG, micro_batch=3), seed=0)


class _Stop(Exception):  # noqa: N818
    pass


@pytest.mark.parametrize(("precision", "implementation"), [("float16", "sdpa"), ("bfloat16", "fused")])
def test_an_interrupted_training_goes_on_to_the_bit(tmp_path: Path, precision: str, implementation: str) -> None:
    config = dataclasses.replace(CONFIG, tokens=2_560, precision=precision, implementation=implementation)
    whole, log = train(SPEC, COUNTING, config, seed=1)
    snapshots = Snapshots(tmp_path / "snapshots", every=7)

    def stop(done: float) -> None:
        if done > 0.6:
            raise _Stop

    with pytest.raises(_Stop):
        train(SPEC, COUNTING, config, seed=1, snapshots=snapshots, progress=stop)
    assert snapshots.steps()
    assert len(snapshots.steps()) <= 2
    (tmp_path / "snapshots" / "step-39.partial").mkdir()  # one that a crash cut short
    seen: list[float] = []
    again, log_again = train(SPEC, COUNTING, config, seed=1, snapshots=snapshots, progress=seen.append)
    assert seen[0] > 0.4, "it went on, and did not begin again"
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), again.parameters(), strict=True))
    assert log_again.curve == log.curve
    assert log_again.stability == log.stability


def test_another_training_s_snapshots_are_refused(tmp_path: Path) -> None:
    snapshots = Snapshots(tmp_path, every=2)
    train(SPEC, COUNTING, CONFIG, seed=1, snapshots=snapshots)
    with pytest.raises(UserError, match="another training: config, seed differ"):
        train(SPEC, COUNTING, dataclasses.replace(CONFIG, lr=1e-3), seed=2, snapshots=snapshots)
