"""Warm-up and stopping, against clocks whose answer is known."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from benchsuite.timing.clock import CPUClock, FakeClock
from benchsuite.timing.sampler import SamplerConfig, median_interval_width, sample

CONFIG = SamplerConfig(block_s=0.001, warmup_budget_s=2.0, budget_s=2.0)


def nothing() -> None:
    pass


def test_a_steady_clock_stops_by_interval() -> None:
    result = sample(nothing, FakeClock(itertools.repeat(0.01)), CONFIG)
    assert result.stop == "interval"
    assert result.median_s == pytest.approx(0.01)
    assert result.warmup_stable
    assert len(result.samples_s) == CONFIG.min_samples


def test_a_slow_start_is_not_in_the_samples() -> None:
    times = [0.5, *np.linspace(0.05, 0.01, 40), *itertools.repeat(0.01, 1000)]
    result = sample(nothing, FakeClock(times), CONFIG)
    assert result.warmup_stable
    assert max(result.samples_s) < 0.0115


def test_a_noisy_clock_stops_by_budget_and_says_so() -> None:
    rng = np.random.default_rng(0)
    result = sample(nothing, FakeClock(rng.lognormal(np.log(0.01), 0.5, 10_000)), CONFIG)
    assert result.stop == "budget"
    assert sum(result.samples_s) == pytest.approx(CONFIG.budget_s, rel=0.1)


def test_what_warm_up_ended_with_is_not_measured_again() -> None:
    made = 0

    def call() -> None:
        nonlocal made
        made += 1

    result = sample(call, FakeClock(itertools.repeat(0.01)), CONFIG)
    assert result.warmup_stable
    assert made == result.calls == 1 + 2 * CONFIG.window + CONFIG.min_samples - CONFIG.window


def test_a_warm_up_that_did_not_settle_gives_no_samples() -> None:
    times = [*itertools.repeat(0.5, 4), *itertools.repeat(0.01, 1000)]
    result = sample(nothing, FakeClock(times), CONFIG)
    assert not result.warmup_stable
    assert set(result.samples_s) == {0.01}


def test_an_endless_drift_is_called_unstable() -> None:
    times = (0.01 * 1.02**i for i in itertools.count())
    result = sample(nothing, FakeClock(times), CONFIG)
    assert not result.warmup_stable


def test_a_step_during_warm_up_is_waited_for() -> None:
    times = [*itertools.repeat(0.02, 8), *itertools.repeat(0.01, 1000)]
    result = sample(nothing, FakeClock(times), CONFIG)
    assert result.warmup_stable
    assert set(result.samples_s) == {0.01}


def test_a_step_during_sampling_is_in_the_record() -> None:
    times = [*itertools.repeat(0.01, 40), *np.random.default_rng(0).lognormal(np.log(0.02), 0.2, 10_000)]
    noisy = SamplerConfig(block_s=0.001, warmup_budget_s=0.2, budget_s=2.0, min_samples=60)
    assert sample(nothing, FakeClock(times), noisy).drift > 0.3
    steady = sample(nothing, FakeClock(itertools.repeat(0.01)), CONFIG)
    assert steady.drift == pytest.approx(0)


@pytest.mark.parametrize(("period", "stable"), [(2, True), (10, False)])
def test_a_periodic_clock(period: int, stable: bool) -> None:
    """Shorter than a window of warm-up it is a spread about a median; as long as two, it never settles, and says so."""
    wave = [0.01] * (period // 2) + [0.02] * (period // 2)
    result = sample(nothing, FakeClock(itertools.cycle(wave)), CONFIG)
    assert result.warmup_stable is stable
    assert 0.01 <= result.median_s <= 0.02
    assert result.stop == "budget"


def test_short_calls_are_timed_in_blocks() -> None:
    calls = 0

    def call() -> None:
        nonlocal calls
        calls += 1

    result = sample(call, FakeClock(itertools.repeat(1e-6)), SamplerConfig(block_s=0.001, budget_s=0.1))
    assert result.calls_per_sample == 1024
    assert result.median_s == pytest.approx(1e-6)
    assert calls >= 1024 * len(result.samples_s)
    assert calls == result.calls, "what energy is divided by"


def test_the_interval_of_the_median_covers_it() -> None:
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(2000):
        draws = list(rng.exponential(1.0, 25))
        ordered = np.sort(draws)
        covered += ordered[2] <= np.log(2) <= ordered[-3]
        assert median_interval_width(draws) > 0
    assert covered > 0.95 * 2000
    assert median_interval_width([1.0] * 20) == 0


def test_the_cpu_clock_counts_what_it_calls() -> None:
    calls = []
    assert CPUClock().time_calls(lambda: calls.append(1), 7) > 0
    assert len(calls) == 7
