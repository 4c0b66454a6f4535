"""Which tasks are in the index, and what a task can tell: on results whose truth is known."""

from __future__ import annotations

import json

import numpy as np
import pytest

from benchsuite.records.load import load
from benchsuite.records.results import Graded, TaskScore
from benchsuite.report.join import join
from benchsuite.report.render import render
from benchsuite.verdicts import task_index


def score(right: int, n: int = 200, chance: float = 0.25, questions: list[str] | None = None) -> TaskScore:
    """`right` of `n` documents answered, spread evenly."""
    hits = [int((i + 1) * right / n) > int(i * right / n) for i in range(n)]
    outcomes = "".join("01"[hit] for hit in hits)
    return TaskScore(acc=right / n, n=n, random_acc=chance, outcomes=outcomes, questions=questions)


@pytest.mark.parametrize(
    ("right", "expected"),
    [
        ([50, 52], "at chance"),
        ([60, 62], "at chance"),  # 30.5% are within 3 standard errors, of which one is 2 to 3%
        ([90, 96], None),
        ([190, 192], "saturated"),
        ([192, 192, 100], "saturated"),
        ([192, 100, 100], None),
        ([52, 190], "bimodal"),
        ([52, 100], None),
        ([10, 10], None),  # far below chance is no guessing
    ],
)
def test_the_rule_of_the_index(right: list[int], expected: str | None) -> None:
    assert task_index.state([score(n) for n in right]) == expected


@pytest.mark.parametrize(
    ("curve", "expected"),
    [([], "at chance"), ([[48, 50], [52, 54]], "at chance"), ([[48, 50], [150, 52]], None), ([[190, 192]], None)],
)
def test_what_the_baseline_learns_with_more_tokens_is_in_the_index(
    curve: list[list[int]], expected: str | None
) -> None:
    assert task_index.state([score(50), score(52)], [[score(n) for n in right] for right in curve]) == expected


def test_documents_that_ask_the_same_do_not_make_a_task_sure() -> None:
    """65 of 200 is beyond chance if all ask something else, and not if ten questions are asked twenty times."""
    assert task_index.state([score(75), score(75)]) is None
    outcomes = "1" * 75 + "0" * 125
    questions = [f"{i // 20}" for i in range(200)]
    one = TaskScore(acc=0.375, n=200, random_acc=0.25, outcomes=outcomes, questions=questions)
    assert task_index.state([one, one]) == "at chance"


def test_signal_to_noise_is_the_range_of_models_over_the_deviation_of_seeds() -> None:
    assert task_index.signal_to_noise([[0.1, 0.2], [0.5, 0.6]]) == pytest.approx(0.4 / 0.005**0.5)
    assert task_index.signal_to_noise([[0.1, 0.2], [0.5, None]]) is None
    assert task_index.signal_to_noise([[0.1], [0.5]]) is None
    assert task_index.signal_to_noise([[0.1, 0.1], [0.1, 0.1]]) == 0
    draws = np.random.default_rng(0).normal(size=(4000, 9, 3))
    ranges = np.ptp(draws.mean(axis=2), axis=1)
    assert task_index.equal_models(9, 3) == pytest.approx(ranges.mean(), rel=0.02)


def test_graded_scores_are_averaged_over_documents_and_seeds() -> None:
    graded = Graded(probability=[0.2, 0.4], bits_per_byte=[1.0, 2.0], margin=[-1.0, 3.0])
    one = TaskScore(acc=0.5, n=2, random_acc=0.5, outcomes="01", graded=graded)
    assert task_index.probability(one) == pytest.approx(0.3)
    assert task_index.probability(score(50)) is None


def test_the_headline_is_the_mean_over_the_index(small, edit) -> None:
    """A task on which the baseline is at chance is shown, and has no part in the delta."""

    def unlearned(rows):
        base = next(
            c["base_case"]
            for c in json.loads((small / "manifest.json").read_text())["comparisons"]
            if c["kind"] == "quality"
        )
        for row in rows:
            tasks = (row["result"] or {}).get("tasks")
            if tasks:
                guessing = row["case_id"] == base
                tasks["reading"]["outcomes"] = "1000" * 5 if guessing else "1" * 20
                tasks["cloze"]["outcomes"] = "1010" * 5
                tasks["cloze"]["random_acc"] = 0.1
                graded = {"probability": [0.375] * 20, "bits_per_byte": [1.5] * 20, "margin": [-0.5] * 20}
                tasks["cloze"] |= {"graded": graded, "questions": [f"{i // 2}" for i in range(20)]}

    document = join([edit(small, records=unlearned)])
    states = {entry["name"]: (entry["state"], entry["in_index"]) for entry in document["task_index"]}
    assert states == {"cloze": (None, True), "reading": ("at chance", False)}
    cloze = document["task_index"][0]
    assert (cloze["documents"], cloze["questions"]) == (20, 10)
    assert (cloze["probability"], cloze["bits_per_byte"], cloze["margin"]) == (0.375, 1.5, -0.5)
    row = next(row for row in document["rows"] if row["variant"] == "rotary")
    assert row["quality"]["delta"] == 0
    assert row["quality"]["tasks"]["reading"]["delta"] == pytest.approx(0.75)
    assert document["training"][0]["acc"] == pytest.approx(0.5)
    assert document["task_index_rule"] == task_index.RULE
    for name in ("md", "html"):
        page = render(document, name)
        assert "at chance" in page
        assert "37.5%" in page
        assert "within 3 standard errors" in page


def test_of_tasks_none_of_which_tells_all_stay(small, edit) -> None:
    def guess(rows):
        for row in rows:
            for task in ((row["result"] or {}).get("tasks") or {}).values():
                task["outcomes"], task["random_acc"] = "1000" * 5, 0.25

    edit(small, records=guess)
    assert task_index.index(load(small)) == ("cloze", "reading")


def test_seeds_are_compared_with_their_own(small, edit, monkeypatch) -> None:
    """A variant that answers as the baseline does, seed by seed, differs from it nowhere."""
    from benchsuite.verdicts import quality

    def copied(rows):
        comparisons = json.loads((small / "manifest.json").read_text())["comparisons"]
        pair = next((c["case"], c["base_case"]) for c in comparisons if c.get("variant") == "rotary" and "source" in c)
        of_base = {row["replicate"]: row["result"] for row in rows if row["case_id"] == pair[1]}
        assert of_base[0]["tasks"]["cloze"]["outcomes"] != of_base[1]["tasks"]["cloze"]["outcomes"]
        for row in rows:
            if row["case_id"] == pair[0]:
                row["result"] = of_base[row["replicate"]]

    seen = []
    judged = quality.compare_quality

    def compare(differences, *args, **options):
        seen.append(max(float(np.abs(array).max()) for array in differences))
        return judged(differences, *args, **options)

    models = quality.models_of(load(edit(small, records=copied)))
    judge = quality.QualityRows(models)
    comparison = next(c for c in models.run.manifest.comparisons if c.kind == "quality" and c.variant == "rotary")
    monkeypatch.setattr(quality, "compare_quality", compare)
    judge.compare(comparison)
    assert seen
    assert max(seen) == 0
