"""The claims of the intervals, checked on worlds whose truth is known: outcomes are drawn with probability
base + effect of the model + shift of the seed + training noise + difficulty of the document (+ model by document)."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from benchsuite.stats import layout
from benchsuite.stats.quality import by_question, compare_quality, mcnemar, ratio_parts
from benchsuite.studies.quality import deltas, measure

MODELS, TASKS, DOCUMENTS = 10, 15, 300


def world(rng, *, seeds, training_sd, by_document, effect=0.02, tasks=TASKS):
    """Effects (models,) against model 0 and outcomes (models, seeds, tasks, documents)."""
    effects = np.r_[0, rng.normal(0, effect, MODELS - 1)]
    noise = rng.normal(0, training_sd, (MODELS, seeds, 1)) + rng.normal(0, training_sd, (MODELS, seeds, tasks))
    chance = 0.55 + effects[:, None, None] + rng.normal(0, 0.01, seeds)[:, None] + noise
    difficulty = rng.uniform(-0.2, 0.2, (tasks, DOCUMENTS))
    by_model = rng.uniform(-by_document, by_document, (MODELS, 1, tasks, DOCUMENTS))
    by_model[0] = 0
    outcomes = rng.random((MODELS, seeds, tasks, DOCUMENTS), dtype=np.float32)
    return effects, (outcomes < chance[..., None] + difficulty + by_model).astype(np.float32)


def compare_all(outcomes, missing=()):
    """Every model against model 0; `missing` (model, seed) cells never ran."""
    means = outcomes.mean((2, 3))
    cells = {(str(v), s): float(y) for (v, s), y in np.ndenumerate(means) if (v, s) not in missing}
    fitted = layout.fit(cells)
    for v in range(1, len(outcomes)):
        both = [s for s in range(outcomes.shape[1]) if (v, s) not in missing and (0, s) not in missing]
        difference = outcomes[v, both] - outcomes[0, both]
        yield compare_quality(list(difference.transpose(1, 0, 2)), fitted)


def covered(trials, seed, missing=(), **kwargs):
    rng = np.random.default_rng(seed)
    hits = []
    for _ in range(trials):
        effects, outcomes = world(rng, **kwargs)
        hits += [
            c.delta.low <= t <= c.delta.high for t, c in zip(effects[1:], compare_all(outcomes, missing), strict=True)
        ]
    return np.mean(hits)


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [2, 3, 5])
@pytest.mark.parametrize(("training_sd", "by_document"), [(0.0075, 0.1), (0.01, 0.2)])
def test_coverage_is_95_percent_for_new_seeds_and_new_documents(seeds, training_sd, by_document):
    share = covered(120, seeds, seeds=seeds, training_sd=training_sd, by_document=by_document)
    assert 0.93 <= share <= 0.98


@pytest.mark.slow
def test_coverage_does_not_suffer_from_missing_cells():
    share = covered(90, 7, missing={(0, 2), (3, 0), (5, 1)}, seeds=3, training_sd=0.01, by_document=0.1)
    assert share >= 0.93


@pytest.mark.slow
def test_coverage_is_at_least_95_percent_where_seeds_shift_nothing_but_answers():
    assert covered(60, 8, seeds=2, training_sd=0.0, by_document=0.0) >= 0.94


def test_counting_the_seed_by_document_noise_twice_would_be_wasteful():
    """What the subtraction of B buys: with it the interval is a fifth narrower, at the coverage tested above."""
    rng = np.random.default_rng(9)
    _, outcomes = world(rng, seeds=3, training_sd=0.005, by_document=0.0)
    difference = outcomes[1] - outcomes[0]
    fitted = layout.fit({(str(v), s): float(y) for (v, s), y in np.ndenumerate(outcomes.mean((2, 3)))})
    ours = compare_quality(list(difference.transpose(1, 0, 2)), fitted).delta.standard_error
    of_seeds, _ = fitted.of_mean(difference.mean((1, 2)))
    documents = sum(difference.mean(0).var(axis=1, ddof=1)) / DOCUMENTS / TASKS**2
    assert ours < 0.8 * (of_seeds + documents) ** 0.5


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [2, 5])
def test_a_against_a_is_called_different_one_time_in_twenty(seeds):
    rng = np.random.default_rng(seeds)
    calls = []
    for _ in range(90):
        _, outcomes = world(rng, seeds=seeds, training_sd=0.0075, by_document=0.0, effect=0.0)
        calls += [c.verdict != "unresolved" for c in compare_all(outcomes)]
    assert 0.01 <= np.mean(calls) <= 0.07


@pytest.mark.slow
def test_an_effect_of_the_minimum_detectable_size_is_found_four_times_in_five():
    rng = np.random.default_rng(11)
    found = []
    for _ in range(60):
        _, outcomes = world(rng, seeds=3, training_sd=0.0075, by_document=0.0, effect=0.0)
        size = next(compare_all(outcomes)).minimum_detectable
        _, outcomes = world(rng, seeds=3, training_sd=0.0075, by_document=0.0, effect=0.0)
        for c in compare_all(outcomes):
            found.append(abs(c.delta.estimate + size) > c.delta.high - c.delta.estimate)
    assert np.mean(found) == pytest.approx(0.8, abs=0.08)


def test_no_difference_seen_is_not_no_difference_possible():
    """The floor of one differing document, for outcomes; and it changes nothing where documents differ."""
    none = np.zeros((2, 40))
    fitted = layout.Layout(residual_variance=0.0, degrees_of_freedom=8)
    assert compare_quality([none], fitted).delta.standard_error == 0
    floored = compare_quality([none], fitted, step=1)
    assert floored.delta.standard_error == pytest.approx(1 / 80)
    assert floored.minimum_detectable > 0.02
    some = np.random.default_rng(0).integers(-1, 2, (2, 40)).astype(float)
    assert compare_quality([some], fitted, step=1) == compare_quality([some], fitted)


def test_one_seed_covers_documents_only_and_resolves_nothing():
    difference = np.ones((1, 50))
    difference[0, :5] = 0
    result = compare_quality([difference], None)
    assert result.delta.low > 0
    assert (result.verdict, result.covers_seeds, result.seeds) == ("unresolved", False, 1)


def test_one_model_pair_and_two_seeds_give_a_wide_interval_not_a_wrong_one():
    rng = np.random.default_rng(12)
    hits = []
    for _ in range(400):
        y = 0.5 + rng.normal(0, 0.02, (2, 2))
        fitted = layout.fit({(str(v), s): y[v, s] for v in range(2) for s in range(2)})
        difference = np.repeat((y[1] - y[0])[:, None], 4, axis=1)  # documents all alike: seeds are the only noise
        delta = compare_quality([difference], fitted).delta
        hits.append(delta.low <= 0 <= delta.high)
    assert np.mean(hits) == pytest.approx(0.95, abs=0.03)


def test_tasks_weigh_the_same_whatever_their_size():
    result = compare_quality(
        [np.ones((2, 10)), np.zeros((2, 1000))], layout.Layout(residual_variance=1e-6, degrees_of_freedom=8)
    )
    assert result.delta.estimate == 0.5
    assert result.verdict == "better"


def test_documents_that_ask_the_same_question_are_one_observation():
    """Thirty questions asked ten times know no more than thirty documents."""
    rng = np.random.default_rng(14)
    once = rng.integers(-1, 2, (3, 30)).astype(float)
    layout_ = layout.Layout(residual_variance=0.0, degrees_of_freedom=8)
    often = by_question(np.repeat(once, 10, axis=1), [f"q{n // 10:02}" for n in range(300)])
    assert compare_quality([often], layout_) == compare_quality([once], layout_)
    assert by_question(once, None) is once
    assert by_question(np.array([[1.0, 0.0, 1.0]]), ["a", "b", "a"]).tolist() == [[1.0, 0.0]]


@pytest.mark.parametrize(
    "name", ["spreads from 1.15 to 6.4 points, normal", "data of a seed (3 points) felt 0 to 2 times"]
)
def test_rows_are_covered_where_models_differ_in_their_spread(name):
    """A small part of reports/quality-statistics. One variance for all covers the worst rows below 90%."""
    rng = np.random.default_rng(15)
    world = replace(measure.DELTAS[name], seeds=3)
    ours, pooled = np.mean([deltas.covered(world, rng) for _ in range(120)], axis=0)
    assert ours.mean() >= 0.945
    assert ours.min() >= 0.9
    assert ours.min() > pooled.min()


@pytest.mark.parametrize("arrays", [[], [np.ones((2, 3)), np.ones((1, 3))], [np.ones((2, 0))]])
def test_wrong_shapes_are_refused(arrays):
    with pytest.raises(ValueError, match="array per task"):
        compare_quality(arrays, None)


def test_lower_is_better_for_bits_per_byte():
    fitted = layout.Layout(residual_variance=1e-6, degrees_of_freedom=8)
    assert compare_quality([np.full((2, 5), -0.1)], fitted, better="lower").verdict == "better"
    assert compare_quality([np.full((2, 5), 0.1)], fitted, better="lower").verdict == "worse"


def test_the_difference_of_ratios_is_exact_and_its_interval_covers():
    """Bits per byte of documents whose lengths vary: truth from the law, 95% coverage over documents."""
    rng = np.random.default_rng(13)
    hits = []
    for _ in range(500):
        sizes = rng.lognormal(4, 0.8, 80).round()
        variant = sizes * (1.1 + rng.normal(0, 0.1, (1, 80)))
        baseline = sizes * (1.0 + rng.normal(0, 0.1, (1, 80)))
        difference = ratio_parts(variant, sizes) - ratio_parts(baseline, sizes)
        assert difference.mean() == pytest.approx((variant.sum() - baseline.sum()) / sizes.sum())
        delta = compare_quality([difference], None, better="lower").delta
        hits.append(delta.low <= 0.1 <= delta.high)
    assert np.mean(hits) == pytest.approx(0.95, abs=0.035)


def test_mcnemar_of_one_seed_is_the_exact_binomial_test():
    difference = np.array([[1] * 12 + [-1] * 3 + [0] * 85])
    assert mcnemar(difference) == (12, 3, pytest.approx(stats.binomtest(12, 15).pvalue))


def test_mcnemar_counts_a_document_once_however_many_seeds():
    one = np.array([[1, 1, 1, 0, -1]])
    assert mcnemar(np.repeat(one, 4, axis=0)) == mcnemar(one)
    assert mcnemar(np.array([[1, -1], [-1, 1]])) == (0, 0, 1.0)
