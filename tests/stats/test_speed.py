import math

import numpy as np
import pytest

from benchsuite.stats.speed import compare_speed


def pairs(ratios):
    """Replicates whose ratios are as given, while the machine's own speed drifts."""
    baseline = {r: 1000.0 * (1 + 0.2 * r) for r in range(len(ratios))}
    return {r: baseline[r] * ratio for r, ratio in enumerate(ratios)}, baseline


@pytest.mark.parametrize(
    ("ratios", "verdict"),
    [
        ([0.90, 0.91, 0.89, 0.90, 0.90], "slower"),
        ([1.10, 1.11, 1.09, 1.10, 1.12], "faster"),
        ([1.001, 0.999, 1.000, 1.002, 0.998], "same"),
        ([1.015, 1.015, 1.0151], "same"),  # resolved, but too small to matter
        ([0.8, 1.2, 1.0, 0.9, 1.1], "unclear"),
        ([1.019, 1.020, 1.022, 1.018], "unclear"),  # at the margin
        ([0.90, 0.91], "unclear"),  # two pairs allow no interval
        ([], "incomparable"),
    ],
)
def test_verdicts(ratios, verdict):
    assert compare_speed(*pairs(ratios)).verdict == verdict


def test_swapping_the_sides_mirrors_the_answer():
    variant, baseline = pairs([0.90, 0.93, 0.91, 0.95])
    there, back = compare_speed(variant, baseline), compare_speed(baseline, variant)
    assert there.ratio == pytest.approx(1 / back.ratio)
    assert there.low == pytest.approx(1 / back.high)
    assert (there.verdict, back.verdict) == ("slower", "faster")


def test_only_shared_and_usable_replicates_count():
    variant = {0: 900.0, 1: 910.0, 2: math.nan, 3: 0.0, 4: 905.0, 7: 1.0}
    baseline = {0: 1000.0, 1: 1000.0, 2: 1000.0, 3: 1000.0, 4: math.inf, 5: 1000.0}
    result = compare_speed(variant, baseline)
    assert result.pairs == 2
    assert result.ratio == pytest.approx(math.sqrt(0.90 * 0.91))
    assert result.low is None
    assert compare_speed({0: math.nan}, {0: 1.0}).verdict == "incomparable"


def test_absurd_noise_does_not_overflow():
    result = compare_speed({0: 1e300, 1: 1e-300, 2: 1.0}, {0: 1.0, 1: 1.0, 2: 1.0})
    assert math.isfinite(result.high)
    assert result.verdict == "unclear"


def simulate(truth, sd, n, trials, seed):
    rng = np.random.default_rng(seed)
    logs = np.log(truth) + rng.normal(0, sd * math.sqrt(2), (trials, n))
    return [compare_speed(dict(enumerate(np.exp(row))), dict.fromkeys(range(n), 1.0)) for row in logs]


@pytest.mark.parametrize("n", [3, 5, 10])
def test_coverage_and_false_alarms_with_noise_far_above_the_margin(n):
    results = simulate(1.0, 0.05, n, 1500, n)
    assert np.mean([r.low <= 1 <= r.high for r in results]) == pytest.approx(0.95, abs=0.017)
    assert np.mean([r.verdict in ("faster", "slower") for r in results]) < 0.067


def test_with_ordinary_noise_five_pairs_find_five_percent_and_raise_no_false_alarm():
    assert np.mean([r.verdict in ("faster", "slower") for r in simulate(1.0, 0.01, 5, 1000, 1)]) < 0.01
    assert np.mean([r.verdict == "slower" for r in simulate(0.95, 0.01, 5, 1000, 2)]) > 0.97


def test_a_difference_of_twice_the_margin_is_hardly_ever_called_same():
    assert np.mean([r.verdict == "same" for r in simulate(1.04, 0.01, 5, 1000, 3)]) < 0.025


def skewed(rng, n):
    return rng.exponential(0.03, 2 * n)  # a process is never faster than undisturbed, sometimes much slower


def autocorrelated(rng, n):
    noise = np.empty(2 * n)
    level = rng.normal(0, 0.02)
    for i in range(2 * n):
        level = 0.8 * level + rng.normal(0, 0.02 * 0.6)  # the machine drifts from process to process
        noise[i] = level + rng.normal(0, 0.01)
    return noise


def two_moded(rng, n):
    return 0.08 * (rng.random(2 * n) < 0.3) + rng.normal(0, 0.01, 2 * n)  # as allocators and page placement do


@pytest.mark.parametrize("noise", [skewed, autocorrelated, two_moded])
@pytest.mark.parametrize("n", [5, 10])
def test_coverage_under_the_noise_of_real_machines(noise, n):
    """Processes one after the other, AB BA; the truth is a ratio of 0.9."""
    rng = np.random.default_rng(n)
    covered = 0
    for _ in range(4000):
        times = noise(rng, n)
        pairs = [(times[2 * r], times[2 * r + 1]) if r % 2 == 0 else (times[2 * r + 1], times[2 * r]) for r in range(n)]
        variant = {r: 0.9 * np.exp(-b) for r, (_, b) in enumerate(pairs)}
        found = compare_speed(variant, {r: np.exp(-a) for r, (a, _) in enumerate(pairs)})
        covered += found.low <= 0.9 <= found.high
    if noise is two_moded and n == 5:  # five pairs that are in one mode or the other allow no exact 95%
        assert 0.95 < covered / 4000 < 0.98
        return
    assert covered / 4000 == pytest.approx(0.95, abs=0.015)
