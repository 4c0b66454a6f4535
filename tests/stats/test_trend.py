"""Trends of token ratios over scales whose truth is known."""

import math

import numpy as np
import pytest

from benchsuite.stats.curve import Ratio
from benchsuite.stats.trend import trend

SCALES = (1e12, 1e13, 1e14)


def ratios(values, half=0.02):
    return [Ratio(value=v, low=v * math.exp(-half), high=v * math.exp(half)) for v in values]


@pytest.mark.parametrize(
    ("values", "half", "verdict"),
    [
        ((0.5, 0.6, 0.72), 0.02, "shrinks"),
        ((1.9, 1.6, 1.35), 0.02, "shrinks"),
        ((0.8, 0.64, 0.512), 0.02, "grows"),
        ((1.1, 1.21, 1.331), 0.02, "grows"),
        ((0.8, 1.0, 1.25), 0.02, "turns"),
        ((0.6, 0.6, 0.6), 0.02, "holds"),
        ((0.6, 0.6, 0.6), 0.2, "not resolved"),
        ((0.5, 0.9, 0.7), 0.02, "not resolved"),  # no line goes through them
    ],
)
def test_verdicts(values, half, verdict):
    assert trend(SCALES, ratios(values, half), margin=0.1).verdict == verdict


def test_the_factor_is_that_of_ten_times_the_compute():
    found = trend(SCALES, ratios((0.5, 0.6, 0.72)), margin=0.1)
    assert found.factor.value == pytest.approx(1.2)
    assert found.change.value == pytest.approx(1.44)
    assert found.ends == pytest.approx((0.5, 0.72))
    two = trend(SCALES[:2], ratios((0.5, 0.6)), margin=0.1)
    assert math.log(two.factor.high / two.factor.value) == pytest.approx(math.hypot(0.02, 0.02))


def test_intervals_that_are_wider_on_one_side_count_on_that_side():
    skewed = [Ratio(value=0.6, low=0.59, high=0.9), *ratios((0.6,))]
    found = trend(SCALES[:2], skewed, margin=0.1)
    down, up = (abs(math.log(end / found.change.value)) for end in (found.change.low, found.change.high))
    assert down > 5 * up, "a first ratio that may be larger makes the change smaller"


def test_the_interval_of_the_slope_covers():
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(400):
        truth = np.log([0.6, 0.66, 0.726])
        values = np.exp(truth + rng.normal(0, 0.05, 3))
        factor = trend(SCALES, ratios(values, 1.96 * 0.05), margin=0.1).factor
        hits += factor.low <= 1.1 <= factor.high
    assert 0.94 <= hits / 400 <= 0.99


def test_bounds_and_one_scale_have_no_trend():
    with pytest.raises(ValueError, match="only a bound"):
        trend(SCALES[:2], [Ratio(value=0.4, low=0.4, high=0.5, bound="<", low_open=True), *ratios((0.5,))], margin=0.1)
    with pytest.raises(ValueError, match="2 or more scales"):
        trend(SCALES[:1], ratios((0.5,)), margin=0.1)
