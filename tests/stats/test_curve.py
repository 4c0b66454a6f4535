"""The claims of token ratios, checked on learning curves whose truth is known."""

import math

import numpy as np
import pytest

from benchsuite.stats.curve import Curve, Ratio, equal_tokens, layout_in_tokens, score, time_to_quality
from benchsuite.stats.layout import Layout
from benchsuite.studies.quality.tokens import World, holds, intervals

BUDGETS = (0.25, 0.5, 1.0, 2.0, 4.0)


def exact(value, seeds=2, documents=5):
    """The parts of a model without noise."""
    return [np.full((seeds, documents), float(value))]


def straight(tokens):
    return 1.0 - 0.1 * math.log(tokens)


def curve_of(law=straight, budgets=BUDGETS, better="lower"):
    return Curve(budgets, [exact(law(tokens)) for tokens in budgets], better)


CALM = Layout(residual_variance=1e-6, degrees_of_freedom=20)


@pytest.mark.parametrize("tokens", [0.25, 0.5, 0.7, 0.85, 1.0, 1.9, 4.0])
def test_the_baseline_on_some_tokens_comes_out_at_those_tokens(tokens):
    found = equal_tokens(exact(straight(tokens)), curve_of(), CALM)
    assert found.value == pytest.approx(tokens, rel=1e-9)
    assert found.low < tokens or found.low_open
    assert found.high > tokens or found.high_open
    assert found.bound == ""


def test_higher_is_better_for_graded_scores():
    found = equal_tokens(exact(-straight(0.7)), curve_of(lambda t: -straight(t), better="higher"), CALM)
    assert found.value == pytest.approx(0.7)


def test_beyond_the_ends_a_ratio_is_a_bound():
    better, worse = (equal_tokens(exact(straight(tokens)), curve_of(), CALM) for tokens in (9.0, 0.1))
    assert (better.value, better.bound, better.high_open) == (4.0, ">", True)
    assert (worse.value, worse.bound, worse.low_open) == (0.25, "<", True)
    needs = better.inverse()
    assert (needs.value, needs.bound, needs.low_open, needs.high_open) == (0.25, "<", True, False)


def test_noise_of_the_curve_widens_the_interval_as_the_variants_does():
    """Two equal variances add up at a budget; halfway between two the curve's has half the weight."""
    at, between = (equal_tokens(exact(straight(t)), curve_of(), CALM) for t in (1.0, math.sqrt(2.0)))
    ratio = math.log(between.high / between.low) / math.log(at.high / at.low)
    assert ratio == pytest.approx(math.sqrt((1 + 0.5) / (1 + 1)), rel=1e-3)


def test_a_bent_curve_of_few_budgets_is_known_less_well():
    def bent(tokens):
        return 0.3 + 0.1 * tokens**-1.5

    few, many = (equal_tokens(exact(bent(0.7)), curve_of(bent, budgets), CALM) for budgets in ((0.25, 1, 4), BUDGETS))
    assert math.log(few.high / few.low) > 1.5 * math.log(many.high / many.low)
    assert few.low < 0.7 < few.high
    assert many.low < 0.7 < many.high


def test_a_curve_that_rises_somewhere_by_noise_still_places():
    scores = [1.2, 1.0, 1.02, 0.8, 0.7]
    found = equal_tokens(exact(1.01), Curve(BUDGETS, [exact(s) for s in scores]), CALM)
    assert 0.5 < found.value < 1.0 + 1e-9
    assert found.low < found.value < found.high


@pytest.mark.parametrize(
    ("budgets", "law"),
    [
        ((1, 2), straight),
        ((1, 1, 2), straight),
        ((2, 1, 4), straight),
        ((1, 2, 4), lambda t: 1.0),
        ((1, 2, 4), math.log),
    ],
)
def test_what_is_no_learning_curve_is_refused(budgets, law):
    with pytest.raises(ValueError, match=r"curve needs|bring the baseline nothing"):
        curve_of(law, budgets)


def test_the_spread_in_tokens_is_that_of_the_models_whatever_their_budget():
    """Noise of 10% of the tokens is large in bits where the curve is steep, and small where it is flat."""
    rng = np.random.default_rng(0)

    def law(place):
        return 0.2 + 0.2 * np.exp(-place)

    places = {f"{b}": math.log(b) for b in BUDGETS}
    shifts = {m: rng.normal(0, 0.1, 400) for m in places}
    models = {m: [law(place + shifts[m])[:, None] * np.ones(2)] for m, place in places.items()}
    curve = Curve(BUDGETS, list(models.values()))
    cells = {(m, s): float(y) for m, parts in models.items() for s, y in enumerate(score(parts))}
    assert layout_in_tokens(curve, cells).residual_variance ** 0.5 == pytest.approx(0.1, rel=0.2)


@pytest.mark.parametrize("world", [World(seeds=2), World(law="shoulder"), World(felt=0.7), World(law="flattening")])
def test_coverage_of_controls_and_variants(world):
    """A small part of reports/quality-statistics: 40 runs of nine models each."""
    rng = np.random.default_rng(1)
    hits = [holds(truth, ratio) for _ in range(40) for truth, ratio in intervals(world, rng)]
    assert np.mean(hits) >= 0.93


def test_a_curve_whose_interpolation_is_trusted_blindly_covers_less(monkeypatch):
    """The bend is part of the interval for a reason."""
    world = World(law="shoulder", budgets=(0.35, 1.0, 3.0), seeds=5)
    share = {}
    for trust in (0.0, 0.5):
        monkeypatch.setattr("benchsuite.stats.curve.TRUST", trust)
        rng = np.random.default_rng(2)
        share[trust] = np.mean([holds(*found) for _ in range(20) for found in intervals(world, rng)])
    assert share[0.0] < share[0.5] - 0.1


def test_time_to_quality_holds_both_intervals():
    tokens = Ratio(value=0.62, low=0.55, high=0.70)
    speed = Ratio(value=0.97, low=0.95, high=0.99)
    found = time_to_quality(tokens, speed)
    assert found.value == pytest.approx(0.62 / 0.97)
    width = math.hypot(math.log(0.70 / 0.62), math.log(0.97 / 0.95))
    assert math.log(found.high / found.value) == pytest.approx(width)
    exact_speed = time_to_quality(tokens, Ratio(value=0.5, low=0.5, high=0.5))
    assert (exact_speed.low, exact_speed.high) == pytest.approx((1.1, 1.4))


def test_time_to_quality_covers():
    rng = np.random.default_rng(3)
    hits = []
    for _ in range(2000):
        t, s = rng.normal(math.log(0.6), 0.05), rng.normal(math.log(0.9), 0.02)
        tokens = Ratio(value=math.exp(t), low=math.exp(t - 0.098), high=math.exp(t + 0.098))
        speed = Ratio(value=math.exp(s), low=math.exp(s - 0.0392), high=math.exp(s + 0.0392))
        hits.append(holds(0.6 / 0.9, time_to_quality(tokens, speed)))
    assert np.mean(hits) == pytest.approx(0.95, abs=0.015)


def test_an_open_end_stays_open_in_time():
    tokens = Ratio(value=0.25, low=0.25, high=0.3, bound="<", low_open=True)
    found = time_to_quality(tokens, Ratio(value=0.5, low=0.4, high=0.6))
    assert (found.bound, found.low_open, found.high_open) == ("<", True, False)
