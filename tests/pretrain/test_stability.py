"""What the losses and gradient norms of a training say: spikes, tails, divergence."""

from __future__ import annotations

import math

import numpy as np
import pytest

from benchsuite.pretrain.stability import WINDOW, spikes, summary

CALM = [3.0 + 0.01 * math.sin(step) for step in range(500)]


def test_a_spike_is_found_and_a_calm_series_has_none() -> None:
    assert spikes(CALM) == 0
    spiked = [*CALM]
    spiked[300] += 1.0
    assert spikes(spiked) == pytest.approx(1 / (len(CALM) - WINDOW))
    assert spikes([*CALM[:200], *(value - 2 for value in CALM[200:])]) == 0, "a fall is no spike"
    assert spikes(CALM[:WINDOW]) is None


def test_normal_noise_has_no_spikes() -> None:
    noise = np.random.default_rng(0).normal(size=20_000)
    assert spikes(noise.tolist()) == 0


def test_a_calm_training_is_told() -> None:
    norms = [1.0] * 495 + [10.0] * 5
    told = summary(CALM, norms, tokens_per_step=64)
    assert told["diverged_at"] is None
    assert told["start"] == CALM[0]
    assert told["last"] == pytest.approx(np.mean(CALM[-50:]))
    assert (told["norm_median"], told["norm_max"], told["skipped"]) == (1.0, 10.0, 0)
    assert 1.0 <= told["norm_p99"] <= 10.0


def test_divergence_is_told_with_what_came_before() -> None:
    losses = [*CALM[:200], math.nan, *CALM[201:]]
    told = summary(losses, [1.0] * 500, tokens_per_step=64)
    assert told["diverged_at"] == 200 * 64
    assert told["last"] is None
    assert told["loss_spikes"] == 0


def test_gradients_that_overflow_are_skipped_steps() -> None:
    told = summary(CALM, [math.inf, math.nan, *[1.0] * 498], tokens_per_step=1)
    assert told["skipped"] == 2
    assert told["norm_max"] == 1.0


def test_a_training_that_never_was_finite() -> None:
    told = summary([math.nan] * 3, [math.nan] * 3, tokens_per_step=8)
    assert told["diverged_at"] == 0
    assert told["start"] is told["last"] is told["norm_median"] is None
