"""Times of records by their rounds."""

from __future__ import annotations

from typing import Any

from benchsuite.records.case import Record
from benchsuite.stats.rounds import by_round, timed

TURNS: dict[str, Any] = {"time_s": 2.0, "samples_s": [1.0, 3.0], "stop": "turns", "tokens": 8}


def record(replicate: int, round_: int | None, status: str = "ok", **changes: Any) -> Record:
    return Record("a", replicate, status, None, "", 0.0, {**TURNS, **changes}, round=round_)


def test_each_round_gives_its_turns() -> None:
    [found] = timed([record(0, 4), record(1, 5, "error"), record(2, None)])
    assert (found.round, found.times_s, found.in_turns, found.tokens) == (4, [1.0, 3.0], True, 8)


def test_a_process_without_turns_gives_its_time() -> None:
    [found] = timed([record(0, 4, stop="interval")])
    assert (found.times_s, found.in_turns) == ([2.0], False)


def test_replicates_are_the_rounds_of_runs_from_before_there_were_rounds() -> None:
    assert [one.round for one in timed([record(0, None), record(3, None, "throttled")])] == [0, 3]


def test_what_is_no_time_is_no_round() -> None:
    bad = [record(n, n, time_s=time_s) for n, time_s in enumerate([0.0, -1.0, float("nan"), float("inf"), None])]
    assert by_round(bad) == {}
