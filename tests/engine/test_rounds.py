"""A run with a budget: whole rounds, in any case as many as an interval needs, and what is left out is recorded."""

from __future__ import annotations

import pytest

from benchsuite.cli.options import seconds
from benchsuite.engine.rounds import Rounds
from benchsuite.errors import UserError


def test_a_round_runs_whole_or_not_at_all() -> None:
    now = 0.0
    rounds = Rounds(10.0, clock=lambda: now)
    assert rounds.refused(0, lambda: 99.0) is None
    assert rounds.refused(1, lambda: 99.0) is None, "one replicate has no interval"
    now = 4.0
    assert rounds.refused(2, lambda: 6.0) is None
    now = 9.0
    assert rounds.refused(2, lambda: 6.0) is None, "it has begun"
    assert rounds.refused(3, lambda: 2.0) == "its round would have ended after the 10.0 s that there were"
    assert rounds.refused(4, lambda: 0.0) is not None, "what comes later is left out too"


def test_as_many_run_in_any_case_as_an_interval_needs() -> None:
    rounds = Rounds(0.0, 3)
    assert [rounds.refused(replicate, lambda: 1.0) is None for replicate in range(5)] == [
        True,
        True,
        True,
        False,
        False,
    ]


def test_without_a_budget_all_rounds_run() -> None:
    assert Rounds(None).refused(1000, lambda: 1e9) is None


def test_words_of_time() -> None:
    assert [seconds(text) for text in ("90s", "10m", "1.5h", "2 H")] == [90, 600, 5400, 7200]
    for text in ("10", "m", "0m", "-1m", "10 days"):
        with pytest.raises(UserError, match="should be a time"):
            seconds(text)
