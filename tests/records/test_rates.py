"""Which learning rate is taken, from the records of a search and nothing else."""

from __future__ import annotations

import pytest
from support.params import training

from benchsuite.records import rates
from benchsuite.records.case import Case, Record, case_id
from benchsuite.records.params import TrainingParams

PLAIN = training(train={"lr": 0.003, "tokens": 100})
PARAMS = TrainingParams.read(PLAIN | {"learning_rate": {"2x": "c", "0.5x": "a", "1x": "b"}})


def records(**scores: float | str | None) -> dict[str, dict[int, Record]]:
    """Records of the searches by case; a text is the status of one that failed."""
    found = {}
    for case, score in scores.items():
        result = None if isinstance(score, str) else {"search": {"lr": 1.0, "tokens": 30, "bits_per_byte": score}}
        status = score if isinstance(score, str) else "ok"
        found[case] = {rates.SEED: Record(case, rates.SEED, status, result=result)}
    return found


@pytest.mark.parametrize(
    ("scores", "multiple", "at_edge"),
    [
        ({"a": 1.2, "b": 1.0, "c": 1.1}, 1.0, False),
        ({"a": 1.2, "b": 1.1, "c": 1.0}, 2.0, True),
        ({"a": 1.0, "b": 1.1, "c": 1.2}, 0.5, True),
        ({"a": 1.2, "b": 1.1, "c": None}, 1.0, False),  # it diverged
        ({"a": 1.2, "b": "oom", "c": "timeout"}, 0.5, True),
        ({"a": 1.1, "b": 1.1, "c": 1.1}, 1.0, False),  # of equals the shared one
    ],
)
def test_the_rate_that_reads_best_is_taken(scores: dict[str, float | None], multiple: float, at_edge: bool) -> None:
    choice = rates.chosen(PARAMS, records(**scores))
    assert choice is not None
    assert (choice.multiple, choice.at_edge) == (multiple, at_edge)
    assert rates.at(PARAMS, choice) == TrainingParams.read(training(train={"lr": 0.003 * multiple, "tokens": 100}))


def test_nothing_is_chosen_before_all_have_ended_or_where_none_has_a_score() -> None:
    assert rates.chosen(PARAMS, records(a=1.0, b=1.1)) is None
    assert rates.chosen(PARAMS, records(a=None, b="oom", c=None)) is None
    assert rates.chosen(TrainingParams.read(PLAIN), records(a=1.0)) is None


def test_at_the_shared_rate_a_case_is_the_one_that_had_no_search() -> None:
    case = Case("x", "quality", "x", PLAIN | {"learning_rate": PARAMS.learning_rate})
    assert rates.at_shared_rate(case) == case_id("quality", PLAIN)
    assert rates.plain(PARAMS) == TrainingParams.read(PLAIN)
