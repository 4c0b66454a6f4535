"""How long rounds last: as long as the noise of the pilot asks for, within the time that there is."""

from __future__ import annotations

import math

import numpy as np
import pytest

from benchsuite.engine.lengths import LONGEST, Lengths
from benchsuite.stats.speed import LEAST_ROUNDS, compare_speed, round_error, stopped_width


def target(resolve: float) -> float:
    return resolve / stopped_width(LEAST_ROUNDS)


def settled(errors: dict[str, list[float]], round_s: float | None = None, timed_s: float = 1.0) -> Lengths:
    lengths = Lengths(0.01)
    for group, found in errors.items():
        lengths.pilot(group, found, timed_s, 3 * timed_s)
    lengths.settle(round_s)
    return lengths


def test_a_group_is_as_long_as_its_noise_asks_for() -> None:
    lengths = settled({"quiet": [0.1 * target(0.01)], "noisy": [2 * target(0.01)] * 3, "wild": [1.0], "alone": []})
    assert [lengths.of(group) for group in ("quiet", "noisy", "wild", "alone", "never seen")] == pytest.approx(
        [1, 4, LONGEST, 1, 1]
    )


def test_one_wild_ratio_does_not_lengthen_its_group() -> None:
    assert settled({"g": [target(0.01), target(0.01), 10.0]}).of("g") == pytest.approx(1)


def test_all_groups_together_fit_into_the_time_of_a_round() -> None:
    """Two seconds of each group are no turns, whatever their length."""
    lengths = settled({"quiet": [0.0], "wild": [1.0], "wilder": [2.0]}, round_s=3 * 2 + 1 + 10)
    assert [lengths.of(group) for group in ("quiet", "wild", "wilder")] == pytest.approx([1, 5, 5], rel=1e-3)
    assert settled({"wild": [1.0]}, round_s=0.5).of("wild") == 1, "what does not fit at all is as long as its pilot"


def test_a_factor_is_settled_once() -> None:
    lengths = settled({"g": [2 * target(0.01)]})
    lengths.pilot("g", [1.0], 1.0, 3.0)
    assert lengths.settle(None) == {}
    assert lengths.of("g") == pytest.approx(4)


def test_the_error_of_a_round_is_that_of_its_ratio() -> None:
    rng = np.random.default_rng(0)
    times = np.exp(0.05 * rng.standard_normal((2000, 2, 40)))
    logs = [np.median(np.log(b.reshape(-1, 2).min(1) / a.reshape(-1, 2).min(1))) for a, b in times]
    errors = [round_error(a, b) for a, b in times]
    assert np.mean(errors) == pytest.approx(np.std(logs), rel=0.1)


@pytest.mark.parametrize(
    "times", [([], []), ([1.0] * 3, [1.0] * 3), ([1.0, math.nan] * 4, [1.0] * 8), ([0.0] * 4, [1.0] * 4)]
)
def test_no_error_without_two_cycles_of_times(times: tuple[list[float], list[float]]) -> None:
    assert round_error(*times) is None


@pytest.mark.parametrize("pilot", [1.0, 2.0, 4.0])
def test_a_shorter_pilot_costs_no_coverage(pilot: float) -> None:
    """Its ratio scatters more than those of the other rounds, in a way that says nothing of the ratio itself."""
    rng = np.random.default_rng(1)
    logs = 0.01 * rng.standard_normal((4000, 6))
    logs[:, 0] *= pilot
    found = [compare_speed(row) for row in logs]
    assert np.mean([one.low <= 1 <= one.high for one in found]) >= 0.95  # type: ignore[operator]
