"""How far between two others: Fieller's interval covers the truth as often as it says, and refuses an unknown way."""

from __future__ import annotations

import numpy as np
import pytest

from benchsuite.stats.fraction import between


def test_the_interval_covers_the_truth_in_95_of_100() -> None:
    draw = np.random.default_rng(0)
    hits = 0
    for _ in range(2000):
        shared = draw.normal(size=5)  # of a seed: it moves all three
        start, middle, end = (level + shared + draw.normal(scale=0.15, size=5) for level in (0.0, 0.6, 1.0))
        found = between(start, middle, end)
        assert found is not None
        hits += found.low < 0.6 < found.high
    assert 0.935 < hits / 2000 < 0.965


def test_where_the_end_is_not_above_the_start_there_is_no_fraction() -> None:
    assert between([0.5, 0.6, 0.4], [0.5, 0.5, 0.5], [0.5, 0.4, 0.6]) is None
    assert between([1.0, 1.1, 0.9], [0.5, 0.5, 0.5], [0.0, 0.1, 0.0]) is None
    assert between([0.0], [0.5], [1.0]) is None


def test_beyond_the_end_is_above_1() -> None:
    found = between([0.0, 0.1, 0.05], [1.5, 1.62, 1.54], [1.0, 1.1, 1.07])
    assert found is not None
    assert 1 < found.low < found.estimate < found.high


def test_observations_that_are_not_paired() -> None:
    with pytest.raises(ValueError, match="not paired"):
        between([0.0], [0.0, 1.0], [1.0, 2.0])
