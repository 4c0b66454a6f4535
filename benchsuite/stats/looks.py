"""Intervals and p-values that stay valid where seeds are added until a comparison is decided.

Who looks after every seed and stops when the interval excludes 1 stops at the luckiest moment: 95% intervals of Student
then cover 80% to 90%. Here the level of each look is chosen such that all looks together keep it (Pocock 1977, "Group
sequential methods in the design and analysis of clinical trials", with a constant nominal level): a score that is
normal with known variance crosses it at any of the looks with a chance of 5%. Student's quantiles at that level take
the place of normal ones, the significance-level approach of Jennison and Turnbull (2000, section 4.4). The number of
looks that may come is fixed when the run begins, and the interval after any of them holds, whatever made the run stop.

    looks = Looks(first=3, last=20)
    looks.confidence            # 0.990: of the interval at each look
    looks.p_value(0.004)        # 0.024: of a p-value of one look
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy.interpolate import PchipInterpolator
from scipy.optimize import brentq
from scipy.special import ndtr, ndtri

from benchsuite.stats.intervals import CONFIDENCE

POINTS = 200  # of the score's density between the boundaries
STEPS = 32  # at which the chance of crossing is computed
FARTHEST = 8.0  # standard deviations: p-values below 1e-15 are as good as 0


@dataclass(frozen=True)
class Looks:
    """Looks after `first`, `first` + 1, …, `last` seeds; one look where both are equal."""

    first: int
    last: int

    @property
    def confidence(self) -> float:
        """The level of each look's intervals, at which those of all looks cover together with `CONFIDENCE`."""
        return _confidence(self.first, self.last)

    def p_value(self, p: float) -> float:
        """Return the chance that a look shows a p-value as small as `p` where there is nothing."""
        if self.first == self.last or p >= 1:
            return p
        z = min(FARTHEST, float(-ndtri(p / 2)))
        return max(p, min(1.0, math.exp(_logs(self.first, self.last)(z))))


@cache
def _confidence(first: int, last: int) -> float:
    z = brentq(lambda z: crossed(z, first, last) - (1 - CONFIDENCE), 1.5, FARTHEST, xtol=1e-4)
    return float(1 - 2 * ndtr(-z))


@cache
def _logs(first: int, last: int) -> PchipInterpolator:
    """The log of `crossed` by z."""
    places = np.linspace(0, FARTHEST, STEPS + 1)
    return PchipInterpolator(places, np.log([max(crossed(z, first, last), 2 * ndtr(-z)) for z in places]))


def crossed(z: float, first: int, last: int) -> float:
    """Return the chance that |S_n| / sqrt(n) exceeds `z` for an n from `first` to `last`, where S_n is a sum of n
    standard normal values: Armitage, McPherson and Rowe's (1969) recursion over the density of sums that have not
    crossed, by Simpson's rule."""
    grid = np.linspace(-1, 1, POINTS + 1)
    rule = np.full(POINTS + 1, 2.0)
    rule[1::2], rule[[0, -1]] = 4.0, 1.0
    rule *= 2 / POINTS / 3
    edge = z * math.sqrt(first)
    places, density = edge * grid, _normal(z * grid) / math.sqrt(first)
    for n in range(first + 1, last + 1):
        following = z * math.sqrt(n)
        density = _normal(following * grid[:, None] - places[None, :]) @ (edge * rule * density)
        edge, places = following, following * grid
    return min(1.0, max(0.0, 1 - float(edge * rule @ density)))


def _normal(x: np.ndarray) -> np.ndarray:
    return np.asarray(np.exp(-x * x / 2) / math.sqrt(2 * math.pi))
