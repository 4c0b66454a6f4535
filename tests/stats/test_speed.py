"""Ratios by round: what a cycle of turns cancels, the verdicts, and coverage where rounds end when they are narrow."""

import math

import numpy as np
import pytest

from benchsuite.stats.speed import (
    FEWEST_ROUNDS,
    LEAST_ROUNDS,
    STOPPING,
    Timed,
    compare_speed,
    log_ratio,
    mean_ratio,
    paired_logs,
    resolved,
)


@pytest.mark.parametrize(
    ("ratios", "verdict"),
    [
        ([0.90, 0.91, 0.89, 0.90, 0.90], "slower"),
        ([1.10, 1.11, 1.09, 1.10, 1.12], "faster"),
        ([1.001, 0.999, 1.000, 1.002, 0.998], "same"),
        ([1.015, 1.015, 1.0151], "same"),  # resolved, but too small to matter
        ([0.8, 1.2, 1.0, 0.9, 1.1], "unclear"),
        ([1.019, 1.020, 1.022, 1.018], "unclear"),  # at the margin
        ([0.90, 0.91], "unclear"),  # two rounds allow no interval
        ([], "incomparable"),
    ],
)
def test_verdicts(ratios, verdict):
    assert compare_speed(np.log(ratios)).verdict == verdict if ratios else compare_speed([]).verdict == verdict


def test_swapping_the_sides_mirrors_the_answer():
    logs = np.log([0.90, 0.93, 0.91, 0.95])
    there, back = compare_speed(logs), compare_speed(-logs)
    assert there.ratio == pytest.approx(1 / back.ratio)
    assert there.low == pytest.approx(1 / back.high)
    assert (there.verdict, back.verdict) == ("slower", "faster")


def test_absurd_noise_does_not_overflow():
    result = compare_speed([690.0, -690.0, 0.0])
    assert math.isfinite(result.high)
    assert result.verdict == "unclear"


def test_a_cycle_cancels_a_drift_and_the_median_over_cycles_a_disturbance():
    """A B A B B A B A: the machine becomes slower by the same factor from turn to turn."""
    drift = 1.01 ** np.arange(40)
    first = np.tile([True, False, True, False, False, True, False, True], 5)
    a, b = 1.0 * drift[first], 2.0 * drift[~first]
    assert log_ratio(b, a) == pytest.approx(-math.log(2))
    b[4] *= 50  # something else ran in one turn
    assert log_ratio(b, a) == pytest.approx(-math.log(2))


def test_what_disturbs_half_of_the_turns_of_one_side_does_not_move_the_ratio():
    rng = np.random.default_rng(0)
    a, b = np.ones(20), np.ones(20)
    b[::2] *= 1 + rng.random(10)
    assert log_ratio(b, a) == 0


@pytest.mark.parametrize("bad", [[], [0.0], [math.nan, 1.0], [-1.0], [math.inf]])
def test_what_is_no_time_gives_no_ratio(bad):
    with pytest.raises(ValueError, match=r"turn|finite"):
        log_ratio(bad, [1.0] * len(bad))


def timed(round_, *times_s, turns=True, tokens=None):
    return Timed(round=round_, times_s=times_s, in_turns=turns, tokens=tokens)


def test_rounds_pair_and_tokens_count():
    variant = [timed(1, 1.0, 1.0, tokens=10), timed(2, 1.0, 1.0, tokens=10), timed(5, math.nan), timed(6, 1.0, 1.0)]
    baseline = [timed(2, 2.0, 2.0, tokens=40), timed(5, 1.0), timed(6, 3.0, 3.0), timed(7, 1.0)]
    assert paired_logs(variant, baseline) == pytest.approx([math.log(2 * 10 / 40), math.log(3)])


def test_what_took_no_turns_is_paired_by_its_median():
    mine, theirs = timed(0, 1.0, 9.0, 1.0), timed(0, 3.0, turns=False)
    assert paired_logs([mine], [theirs]) == pytest.approx([math.log(3)])


def test_resolved_needs_rounds_and_a_narrow_interval():
    narrow = [0.001, -0.001] * LEAST_ROUNDS
    assert resolved(narrow, 0.01)
    assert not resolved(narrow[: LEAST_ROUNDS - 1], 0.01)
    assert not resolved([0.1 * x for x in range(10)], 0.01)


def coverage(draw, width, most=40, runs=20_000):
    """Of runs that add rounds until half of the interval is within `width`, the share whose interval covers 0; by the
    formula of `stopped_interval`, over all runs at once."""
    from scipy import stats

    x = draw((runs, most))
    sums, squares = np.cumsum(x, 1), np.cumsum(x * x, 1)
    running, covers = np.ones(runs, bool), np.zeros(runs, bool)
    for n in range(LEAST_ROUNDS, most + 1):
        mean = sums[:, n - 1] / n
        deviation = np.sqrt(np.maximum(squares[:, n - 1] / n - mean**2, 0) * n / (n - 1))
        half = STOPPING * stats.t.ppf(0.975, n - 1) * deviation / math.sqrt(n)
        ends = running & ((half <= width) | (n == most))
        covers[ends] = np.abs(mean[ends]) <= half[ends]
        running &= ~ends
    return covers.mean()


NOISE = {
    "normal": lambda rng, shape: rng.standard_normal(shape),
    "t3": lambda rng, shape: rng.standard_t(3, shape),
    "Laplace": lambda rng, shape: rng.laplace(size=shape),
    "a tenth disturbed": lambda rng, shape: np.where(rng.random(shape) < 0.1, 10, 1) * rng.standard_normal(shape),
}


@pytest.mark.parametrize("noise", NOISE)
@pytest.mark.parametrize("width", [0.2, 0.5, 0.8, 1.2, 2.0, 4.0])
def test_adding_rounds_until_the_interval_is_narrow_costs_no_coverage(noise, width):
    rng = np.random.default_rng(1)
    assert coverage(lambda shape: NOISE[noise](rng, shape), width) >= 0.95


def test_student_s_own_interval_would_not_do(monkeypatch):
    """The simulation can fail: without the factor the interval covers 92%."""
    monkeypatch.setattr(f"{__name__}.STOPPING", 1.0)
    rng = np.random.default_rng(1)
    assert coverage(lambda shape: NOISE["normal"](rng, shape), 0.5) < 0.93


@pytest.mark.parametrize("n", [FEWEST_ROUNDS, 5, 10])
def test_coverage_and_false_alarms_with_noise_far_above_the_margin(n):
    rng = np.random.default_rng(n)
    results = [compare_speed(row) for row in rng.normal(0, 0.07, (1500, n))]
    assert np.mean([r.low <= 1 <= r.high for r in results]) >= 0.95
    assert np.mean([r.verdict in ("faster", "slower") for r in results]) < 0.05


def test_with_ordinary_noise_five_rounds_find_five_percent_and_raise_no_false_alarm():
    rng = np.random.default_rng(1)
    rows = rng.normal(0, 0.014, (1000, 5))
    assert np.mean([compare_speed(row).verdict in ("faster", "slower") for row in rows]) < 0.01
    assert np.mean([compare_speed(row - 0.05).verdict == "slower" for row in rows]) > 0.9


def skewed(rng, n):
    return rng.exponential(0.03, n) - rng.exponential(0.03, n)  # a process is sometimes much slower, never faster


def two_moded(rng, n):
    return 0.08 * ((rng.random(n) < 0.3) - 1.0 * (rng.random(n) < 0.3)) + rng.normal(0, 0.014, n)  # as page placement


@pytest.mark.slow
@pytest.mark.parametrize("noise", [skewed, two_moded])
@pytest.mark.parametrize("n", [5, 10])
def test_coverage_under_the_noise_of_real_machines(noise, n):
    rng = np.random.default_rng(n)
    found = [compare_speed(noise(rng, n) - 0.1) for _ in range(3000)]
    assert np.mean([one.low <= math.exp(-0.1) <= one.high for one in found]) >= 0.95


def test_the_mean_over_cases_of_one_case_is_its_comparison():
    logs = np.log([0.90, 0.93, 0.91, 0.95])
    one, alone = mean_ratio([logs]), compare_speed(logs)
    assert (one.ratio, one.low, one.high) == pytest.approx((alone.ratio, alone.low, alone.high))
    assert (one.verdict, one.rounds) == (alone.verdict, 4)


def test_the_mean_over_cases_counts_each_alike_and_needs_three_rounds_of_each():
    found = mean_ratio([np.log([2.0] * 3), np.log([8.0] * 9)])
    assert (found.ratio, found.low, found.high) == pytest.approx((4.0, 4.0, 4.0))
    assert mean_ratio([np.log([2.0] * 2), np.log([8.0] * 9)]).low is None
    assert mean_ratio([]).verdict == mean_ratio([[], [0.0]]).verdict == "incomparable"


def test_the_interval_of_a_mean_over_cases_covers():
    random = np.random.default_rng(0)
    spread = np.array([0.01, 0.03, 0.1])
    found = [mean_ratio(list(random.normal(0, spread[:, None], (3, 5)))) for _ in range(2000)]
    covered = np.mean([one.low <= 1 <= one.high for one in found])
    assert 0.95 <= covered <= 0.995
