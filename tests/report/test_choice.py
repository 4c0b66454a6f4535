"""What the first screen says to choose, and how sure it says that it is."""

import copy

import pytest
from support.make_run import make_run

from benchsuite.report import choice
from benchsuite.report.join import join
from benchsuite.report.render import render
from benchsuite.report.sections import equal


@pytest.fixture(scope="module")
def document(tmp_path_factory):
    folder = tmp_path_factory.mktemp("choice") / "run"
    return join([make_run(folder, seeds=3, documents=20, tasks=["cloze"], curve=True)])


def of(document, component):
    return next(one for one in choice.choices(document) if one.component == component)


def changed(document, variants, **ratios):
    """The document where the time to quality of variants is another."""
    found = copy.deepcopy(document)
    for row in found["rows"]:
        if row["variant"] in variants and row["scope"] == "step":
            row["time"] |= ratios
    return found


def test_the_best_resolved_variant_is_chosen_with_its_interval_here_at_this_budget(document):
    position = of(document, "position")
    assert position.pick.row["variant"] in ("rotary", "alibi")
    assert position.clear
    assert "of the training time here, at this budget." in position.told
    assert "comes next" in position.sure or "come next" in position.sure
    assert [one.value for one in position.candidates if one.value] == sorted(
        one.value for one in position.candidates if one.value
    )


def test_what_is_unresolved_is_not_chosen_and_what_is_closest_is_said(document):
    open_ = {"ratio": 0.9, "low": 0.7, "high": 1.1, "verdict": "unresolved"}
    position = of(changed(document, ("rotary", "alibi", "none"), **open_), "position")
    assert position.pick is None
    assert not position.clear
    assert "nothing is shown to be better here, at this budget" in position.told
    assert "0.90x [0.70, 1.10] of the time, which is unresolved" in position.sure


def test_where_every_other_choice_is_worse_the_baseline_is_clear(document):
    corpus = of(document, "corpus")
    assert corpus.pick is None
    assert corpus.clear
    assert "every other choice is worse here, at this budget" in corpus.told


def test_the_order_of_two_whose_intervals_overlap_is_open(document):
    two = changed(document, ("rotary",), ratio=0.5, low=0.4, high=0.6, verdict="less")
    two = changed(two, ("alibi",), ratio=0.55, low=0.45, high=0.65, verdict="less")
    assert "the intervals overlap, so the order of the two is open" in of(two, "position").sure
    apart = changed(two, ("alibi",), ratio=0.8, low=0.7, high=0.9, verdict="less")
    assert "the intervals do not overlap" in of(apart, "position").sure


def test_the_headline_says_what_to_use_and_what_to_keep(document):
    told = choice.headline(document)
    assert told.startswith("On this machine, use ")
    assert "keep " in told
    assert "the curated corpus" in told
    assert choice.headline({**document, "rows": []}) == "This run compares nothing yet"


def test_what_is_better_by_one_way_of_comparing_alone_is_not_chosen(document):
    other = copy.deepcopy(document)
    for row in document["rows"]:
        if row["variant"] in ("rotary", "alibi") and row["scope"] == "step":
            worse = {**row["time"], "ratio": 1.3, "low": 1.2, "high": 1.4, "verdict": "more"}
            other["rows"].append({**row, "matching": "iso-width", "time": worse})
    position = of(other, "position")
    assert position.pick is None
    assert "compared in another way it is not resolved, or worse" in position.sure


def test_a_run_of_speeds_alone_recommends_nothing(document):
    nothing = {"delta": None, "tokens": None, "verdict": None}
    rows = [
        {**row, "quality": {**row["quality"], **nothing}, "time": {**row["time"], "ratio": None}}
        for row in document["rows"]
        if row["speed"]["ratio"] is not None
    ]
    assert choice.headline({**document, "rows": rows}).startswith("This run measured speed alone")


def test_runs_stand_side_by_side(document, tmp_path):
    folders = [
        make_run(tmp_path / name, seeds=2, documents=10, tasks=["cloze"], curve=True, seed=n)
        for n, name in enumerate("ab")
    ]
    both = join(folders)
    text = render(both, "md")
    assert "## Side by side" in text
    assert "| Time to quality (below it the cost of a step) | a | b |" in text
    assert "## Side by side" not in render(document, "md")


def test_a_slower_variant_meets_a_baseline_that_has_read_more(document):
    rows = {row["variant"]: row for row in document["rows"] if row["scope"] == "step"}
    slow = copy.deepcopy(rows["rotary"])
    slow["speed"] |= {"ratio": 0.5, "low": 0.49, "high": 0.51}
    even = copy.deepcopy(rows["rotary"])
    even["speed"] |= {"ratio": 1.0, "low": 0.99, "high": 1.01}
    tokens = slow["quality"]["bits_per_byte"]["delta"]
    assert equal.at_equal_time(document, even)[0] == pytest.approx(tokens, abs=1e-9)
    curve = dict(equal.baseline_curve(document, slow["run"]))
    double = curve[800_000.0] - curve[1_600_000.0]
    middle, low, high = equal.at_equal_time(document, slow)
    assert middle == pytest.approx(tokens + double)
    assert low < middle < high
    slow["speed"] |= {"ratio": 0.1, "low": 0.09, "high": 0.11}
    assert equal.at_equal_time(document, slow) == (None, None, None), "the curve does not reach so far"
