import math

import numpy as np
import pytest
from scipy import stats

from benchsuite.stats.intervals import Interval, holm, minimum_detectable, student, t_interval


def test_t_interval_is_scipys():
    values = [0.91, 1.02, 0.97, 1.10]
    ours = t_interval(values)
    theirs = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high))
    assert ours.p_value() == pytest.approx(stats.ttest_1samp(values, 0).pvalue)


def test_one_value_has_no_interval():
    assert t_interval([1.5]) == Interval(estimate=1.5)
    assert t_interval([1.5]).p_value() is None


@pytest.mark.parametrize("values", [[], [1.0, math.nan], [math.inf]])
def test_no_interval_from_nothing_or_from_nan(values):
    with pytest.raises(ValueError, match="finite"):
        t_interval(values)


@pytest.mark.parametrize("n", [2, 3, 5, 10])
def test_t_interval_covers_the_truth_95_percent_of_the_time(n):
    rng = np.random.default_rng(n)
    intervals = [t_interval(row) for row in rng.normal(0.3, 2.0, (2000, n))]
    covered = np.mean([i.low <= 0.3 <= i.high for i in intervals])
    assert covered == pytest.approx(0.95, abs=0.015)


def test_zero_variance_gives_a_point():
    interval = t_interval([1.0, 1.0, 1.0])
    assert (interval.low, interval.high, interval.p_value()) == (1.0, 1.0, 0.0)
    assert t_interval([0.0, 0.0]).p_value() == 1.0


def test_minimum_detectable_delta_is_found_with_80_percent_power():
    rng = np.random.default_rng(0)
    n, sigma = 12, 1.0
    effect = minimum_detectable(sigma / math.sqrt(n), n - 1)
    samples = rng.normal(effect, sigma, (4000, n))
    found = np.mean(stats.ttest_1samp(samples, 0, axis=1).pvalue < 0.05)
    assert found == pytest.approx(0.80, abs=0.03)


def test_holm_against_the_definition():
    assert holm([]) == []
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9]) == [1.0, 1.0]


def test_student_takes_fractional_degrees_of_freedom():
    assert student(0, 1, 7.5).high == pytest.approx(stats.t.ppf(0.975, 7.5))
