"""Calibration against noise of known size."""

from __future__ import annotations

import numpy as np
import pytest

from benchsuite.stats.calibration import calibrate
from benchsuite.stats.decisions import Rule

RANDOM = np.random.default_rng(0)
QUIET, LOUD = list(RANDOM.normal(0, 0.005, 40)), list(RANDOM.normal(0, 0.1, 40))


def test_noise_is_told_and_the_slowdowns_that_it_hides() -> None:
    found = calibrate({"quiet": QUIET, "loud": LOUD}, Rule(), 40, suites=300)
    assert found.cases["quiet"].spread == pytest.approx(0.005, rel=0.5)
    assert found.cases["loud"].spread == pytest.approx(0.1, rel=0.5)
    assert found.cases["quiet"].catches is not None
    assert found.cases["quiet"].catches <= 0.04
    assert found.cases["loud"].catches is None or found.cases["loud"].catches >= 0.1
    assert found.alarms <= 3 + 0.01 * 300
    assert found.low <= found.alarms / 300 <= found.high


def test_more_pairs_catch_less() -> None:
    few, many = (calibrate({"loud": LOUD}, Rule(), pairs, suites=300).cases["loud"].catches for pairs in (20, 200))
    assert many is not None
    assert few is None or few > many


def test_too_few_pairs_for_any_alarm_catch_nothing() -> None:
    assert calibrate({"quiet": QUIET}, Rule(), 4, suites=50).cases["quiet"].catches is None


def test_one_pair_is_no_calibration() -> None:
    with pytest.raises(ValueError, match="two pairs"):
        calibrate({"a": [0.1]}, Rule(), 10)
