"""Choose the length of a round's turns from the noise within processes and the time that there is.

The first round of a group is a pilot with the `sample_s` of the suite. What a ratio errs by within a round
falls with the square root of the time that its turns take, while starting, building, checking and warming up cost the
same however long they are. So all further rounds of the group are longer by one factor, which brings that error down to
what `LEAST_ROUNDS` rounds need for an interval of the width that is asked for. The factor depends on scatter alone,
never on a ratio, so it biases nothing; and Student's interval stays valid for rounds of unequal variance, of which it
covers more than it says (Ibragimov and Müller 2010, "t-statistic based correlation and heterogeneity robust
inference").
"""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping

from benchsuite.stats.speed import LEAST_ROUNDS, stopped_width

LONGEST = 16.0  # times the pilot's turns


class Lengths:
    """The factors by group, and what the pilots showed."""

    def __init__(self, resolve: float) -> None:
        self._target = resolve / stopped_width(LEAST_ROUNDS)
        self._errors: dict[str, list[float]] = defaultdict(list)
        self._timed_s: dict[str, float] = defaultdict(float)
        self._others_s: dict[str, float] = defaultdict(float)
        self._factors: dict[str, float] = {}

    def of(self, group: str) -> float:
        """Return how many times `sample_s` the turns of each process take together."""
        return self._factors.get(group, 1.0)

    def pilot(self, group: str, errors: Iterable[float], timed_s: float, wall_s: float) -> None:
        """Learn from the first round of a ring of `group`: what its ratios err by, and the seconds of it that were
        turns."""
        self._errors[group] += errors
        self._timed_s[group] += timed_s
        self._others_s[group] += max(0.0, wall_s - timed_s)

    def settle(self, round_s: float | None) -> Mapping[str, float]:
        """Fix the factors of the groups that had a pilot, such that a round of all of them fits into `round_s` (None:
        without a limit); return those that are new."""
        wanted = {
            group: min(LONGEST, max(1.0, (statistics.median(errors) / self._target) ** 2)) if errors else 1.0
            for group, errors in ((group, self._errors[group]) for group in self._timed_s)
            if group not in self._factors
        }
        if round_s is not None:
            most = self._most(wanted, round_s)
            wanted = {group: min(most, factor) for group, factor in wanted.items()}
        self._factors.update(wanted)
        return wanted

    def _most(self, wanted: Mapping[str, float], round_s: float) -> float:
        """The largest factor with which a round of all groups takes `round_s`; at least 1."""
        low, high = 1.0, LONGEST
        for _ in range(20):
            middle = (low + high) / 2
            takes_s = sum(
                self._others_s[group] + self._timed_s[group] * min(middle, factor) for group, factor in wanted.items()
            )
            low, high = (middle, high) if takes_s <= round_s else (low, middle)
        return low
