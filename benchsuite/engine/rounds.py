"""Decide how much is enough: rounds of speed comparisons, and seeds, of which whole rounds of all cases fit into the
time or none, so that what is compared stays paired."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from benchsuite import format
from benchsuite.limits import FIRST_LOOK
from benchsuite.suite.schema import Suite

SEEDS = FIRST_LOOK


@dataclass(frozen=True)
class Resolution:
    """When a comparison has had enough rounds: half of its interval is within `resolve` of the ratio, or it had `most`.
    `budget_s` ends the additions of the whole part (None: no limit)."""

    resolve: float = 0.01
    most: int = 20
    budget_s: float | None = None


def resolution_of(suite: Suite) -> Resolution:
    """Return what a suite says of it."""
    speed = suite.speed
    return Resolution(speed.resolve, speed.most_rounds, speed.budget_s) if speed else Resolution()


class Rounds:
    """The rounds of one phase, which has `seconds` from now (None: as long as it takes). The first `least` run whatever
    they take."""

    def __init__(self, seconds: float | None, least: int = SEEDS, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._least = clock, least
        self._end = None if seconds is None else clock() + seconds
        self._fits: dict[int, bool] = {}
        self._why = f"its round would have ended after the {format.seconds(seconds)} that there were"

    def refused(self, replicate: int, needed_s: Callable[[], float]) -> str | None:
        """Return why a job of this replicate is left out, if it is. `needed_s` estimates the whole round that begins
        now."""
        if self._end is None or replicate < self._least:
            return None
        if replicate not in self._fits:
            self._fits[replicate] = all(self._fits.values()) and self._clock() + needed_s() <= self._end
        return None if self._fits[replicate] else self._why
