"""Looks at every seed: known boundaries, and coverage where who looks stops at the luckiest moment."""

import numpy as np
import pytest

from benchsuite.stats import layout
from benchsuite.stats.looks import Looks, crossed
from benchsuite.stats.quality import compare_quality

MODELS, MOST, FIRST = 9, 8, 2
UNEQUAL = np.array([1.0, 0.3, 0.35, 0.65, 0.9, 1.15, 1.4, 1.55, 1.6])  # as between nano's models


@pytest.mark.parametrize(("looks", "z"), [(1, 1.960), (2, 2.178), (5, 2.413), (10, 2.555), (20, 2.672)])
def test_the_levels_are_those_of_pocock_s_table(looks, z):
    """Jennison and Turnbull (2000), table 2.1, alpha 0.05."""
    assert crossed(z, 1, looks) == pytest.approx(0.05, abs=2e-4)


def test_a_p_value_of_one_look_becomes_one_of_all():
    looks = Looks(2, 10)
    assert looks.p_value(1 - looks.confidence) == pytest.approx(0.05, abs=1e-3)
    assert Looks(5, 5).p_value(0.03) == 0.03
    several = [looks.p_value(p) for p in (1e-20, 1e-4, 0.01, 0.05, 0.5, 1.0)]
    assert several == sorted(several)
    assert several[-1] == 1


def ever_wrong(confidences, worlds, rng, spreads):
    """For each level the share of comparisons whose interval excludes the true difference, 0, after any number of
    seeds: who stops there is wrong."""
    wrong = np.zeros((len(confidences), worlds, MODELS - 1), dtype=bool)
    for world in range(worlds):
        scores = spreads[:, None] * rng.normal(size=(MODELS, MOST)) + rng.normal(size=MOST)
        for seeds in range(FIRST, MOST + 1):
            fitted = layout.fit({(str(m), s): scores[m, s] for m in range(MODELS) for s in range(seeds)})
            for model in range(1, MODELS):
                difference = (scores[model, :seeds] - scores[0, :seeds])[:, None]
                p = compare_quality([difference], fitted).delta.p_value()  # the interval excludes 0 where it is small
                wrong[:, world, model - 1] |= [p < 1 - confidence for confidence in confidences]
    return wrong.mean(axis=(1, 2))


def test_the_interval_at_a_level_excludes_what_has_a_smaller_p_value():
    scores = np.random.default_rng(1).normal(0.8, 1, (2, 5))
    fitted = layout.fit({(str(m), s): scores[m, s] for m in range(2) for s in range(5)})
    difference = (scores[1] - scores[0])[:, None]
    p = compare_quality([difference], fitted).delta.p_value()
    for confidence in (1 - 1.01 * p, 1 - 0.99 * p):
        delta = compare_quality([difference], fitted, confidence=confidence).delta
        assert (delta.low > 0 or delta.high < 0) == (p < 1 - confidence)


@pytest.mark.slow
@pytest.mark.parametrize("spreads", [np.ones(MODELS), UNEQUAL], ids=["equal", "unequal"])
def test_intervals_cover_whenever_one_stops_and_those_of_one_look_do_not(spreads):
    looks = Looks(FIRST, MOST)
    ours, naive = ever_wrong((looks.confidence, 0.95), 100, np.random.default_rng(0), spreads)
    assert ours <= 0.05
    assert naive >= 0.10
