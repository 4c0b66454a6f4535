"""The loop: it learns, repeats itself to the bit, pairs seeds across variants, and says when it cannot go on."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch

from benchsuite.errors import UserError
from benchsuite.model.gpt import GPT
from benchsuite.model.spec import ModelSpec
from benchsuite.pretrain.trainer import TrainConfig, adamw, data_order, set_lr, train

SPEC = ModelSpec(layers=1, width=16, heads=2, vocab=16, seq=8)
CONFIG = TrainConfig(tokens=8_000, batch=8, lr=1e-2)
COUNTING = np.tile(np.arange(16, dtype=np.uint16), 40)  # 0 1 2 … 15 0 1 2 …: the next token is always known


def test_it_learns_to_count() -> None:
    _, log = train(SPEC, COUNTING, CONFIG, seed=0)
    assert log.curve[0][1] > 2.5
    assert log.final_loss < 0.5
    assert log.tokens == CONFIG.steps(8) * 64
    assert log.curve[-1][0] == log.tokens


def test_the_same_seed_gives_the_same_model_to_the_bit() -> None:
    first, _ = train(SPEC, COUNTING, CONFIG, seed=3)
    again, _ = train(SPEC, COUNTING, CONFIG, seed=3)
    other, _ = train(SPEC, COUNTING, CONFIG, seed=3, init_seed=4)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))
    assert not torch.equal(first.embedding.weight, other.embedding.weight)


def test_an_epoch_predicts_every_token_at_most_once_and_nearly_all() -> None:
    tokens = np.arange(1000, dtype=np.uint16)
    batches = data_order(tokens, 8, 4, seed=0)
    targets = torch.cat([next(batches)[:, 1:].flatten() for _ in range(30)])
    assert len(targets.unique()) == len(targets) == 960


def test_the_order_depends_on_the_seed_alone() -> None:
    tokens = np.arange(1000, dtype=np.uint16)
    first, again, other = (next(data_order(tokens, 8, 4, seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_too_little_text_is_said() -> None:
    with pytest.raises(UserError, match="less than one sequence"):
        train(SPEC, COUNTING[:8], CONFIG, seed=0)


def test_a_diverged_loss_stops_the_run() -> None:
    with pytest.raises(FloatingPointError, match="after"):
        train(SPEC, COUNTING, dataclasses.replace(CONFIG, lr=1e30, clip=math.inf), seed=0)


def test_the_learning_rate_warms_up_and_follows_a_cosine() -> None:
    optimizer = adamw(GPT(SPEC), CONFIG)
    config = TrainConfig(tokens=1, lr=1.0, warmup=0.1, min_lr=0.1)

    def at(step: int) -> float:
        set_lr(optimizer, config, step, 100)
        return float(optimizer.param_groups[0]["lr"])

    assert at(5) == pytest.approx(0.5)
    assert at(10) == 1.0
    assert at(55) == pytest.approx(0.55)
    assert at(100) == pytest.approx(0.1)


def test_progress_ends_at_one() -> None:
    seen: list[float] = []
    train(SPEC, COUNTING, CONFIG, seed=0, progress=seen.append)
    assert seen == sorted(seen)
    assert seen[-1] == 1.0
