"""Find where a series of measurements changed its level: piecewise constant medians, as many as the data ask for.

The sum of absolute deviations from each piece's median is least (an L1 Potts fit, after asv's step detection), found by
dynamic programming; so an outlier is no step. The number of pieces is that of the least modified Bayesian criterion for
Laplace noise (Zhang and Siegmund 2007 on why a change point costs more than a parameter). A piece has two points at
least: one slow run is no alarm.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

MOST = 300  # of the youngest points; older ones are left out
LEAST = 2  # points of a piece
MOST_PIECES = 12
MOST_STEP = math.log(10.0)  # slowdowns beyond it are not asked about
NOISE_FLOOR = 0.002  # of log-times: without noise every rounding would be a step


@dataclass(frozen=True)
class Piece:
    """Points `start` to `end` (not included) at one `level`."""

    start: int
    end: int
    level: float


def pieces(values: Sequence[float]) -> list[Piece]:
    """The pieces of a series of positive values, oldest first. Raises ValueError for a value that is not positive."""
    if not all(value > 0 and math.isfinite(value) for value in values):
        raise ValueError("a history needs positive times")
    skipped = max(0, len(values) - MOST)
    x = np.log(np.asarray(values[skipped:], dtype=float))
    n = len(x)
    if n == 0:
        return []
    cost = _costs(x)
    most = max(1, min(MOST_PIECES, n // LEAST))
    # best[k][j]: the least cost of the first j points in k + 1 pieces; before[k][j]: where the last one starts.
    best = np.full((most, n + 1), np.inf)
    before = np.zeros((most, n + 1), dtype=int)
    best[0, 1:] = cost[0, 1:]
    for k in range(1, most):
        for j in range((k + 1) * LEAST, n + 1):
            starts = np.arange(k * LEAST, j - LEAST + 1)
            totals = best[k - 1, starts] + cost[starts, j]
            chosen = int(np.argmin(totals))
            best[k, j], before[k, j] = totals[chosen], starts[chosen]
    k, end = int(np.argmin([_score(best[k, n], n, k) for k in range(most)])), n
    found: list[Piece] = []
    while end > 0:
        start = int(before[k, end]) if k else 0
        found.append(Piece(start + skipped, end + skipped, math.exp(float(np.median(x[start:end])))))
        k, end = k - 1, start
    return found[::-1]


def change(found: Sequence[Piece], margin: float) -> tuple[float, int] | None:
    """The last change beyond `margin`: the last level over the youngest that differs from it by more, and the point
    where the change away from that one began; so small steps add up. None where all levels lie within the margin."""
    for before, after in zip(found[-2::-1], found[:0:-1], strict=True):
        ratio = found[-1].level / before.level
        if not 1 / (1 + margin) <= ratio <= 1 + margin:
            return ratio, after.start
    return None


def finds(values: Sequence[float], found: Sequence[Piece]) -> float | None:
    """The smallest change, as a ratio above 1, that would have been found if it had come in the middle of the last of
    the pieces `found`, upwards as well as downwards; one that came later or sooner must be larger. None where no change
    whatever would have been: two levels take two points each."""
    if not found or found[-1].end - found[-1].start < 2 * LEAST:
        return None
    x = np.log(np.asarray(values[found[0].start :], dtype=float))
    n, start = len(x), found[-1].start - found[0].start
    middle = (start + n) // 2
    rest = sum(_deviation(x[p.start - found[0].start : p.end - found[0].start]) for p in found[:-1])
    with_it = _score(rest + _deviation(x[start:middle]) + _deviation(x[middle:]), n, len(found))

    def unseen(step: float) -> bool:
        shifted = [np.concatenate([x[start:middle], x[middle:] + way * step]) for way in (1, -1)]
        return any(_score(rest + _deviation(one), n, len(found) - 1) <= with_it for one in shifted)

    low, high = 0.0, MOST_STEP
    if len(found) >= MOST_PIECES or unseen(high):
        return None
    while high - low > 1e-4:
        step = (low + high) / 2
        low, high = (step, high) if unseen(step) else (low, step)
    return math.exp(high)


def last_is_off(values: Sequence[float], found: Sequence[Piece], margin: float) -> float | None:
    """The last value over the level of its piece, where that is beyond `margin` and beyond every other value of the
    piece: perhaps the first of a change, which takes two. None elsewhere."""
    if not found or found[-1].end - found[-1].start < 2:
        return None
    off = [math.log(value / found[-1].level) for value in values[found[-1].start : found[-1].end]]
    if abs(off[-1]) > math.log1p(margin) and abs(off[-1]) > max(map(abs, off[:-1])):
        return math.exp(off[-1])
    return None


def _score(cost: float, n: int, steps: int) -> float:
    """The modified Bayesian criterion of a fit with so many steps; the least is best."""
    return 2 * n * math.log(cost / n + NOISE_FLOOR) + (3 * steps + 1) * math.log(max(n, 2))


def _deviation(x: np.ndarray) -> float:
    """The sum of absolute deviations from the median."""
    return float(np.abs(x - np.median(x)).sum())


def _costs(x: np.ndarray) -> np.ndarray:
    """cost[i, j]: the sum of absolute deviations of x[i:j] from their median."""
    n = len(x)
    cost = np.zeros((n + 1, n + 1))
    for i in range(n):
        ordered: list[float] = []
        for j in range(i, n):
            ordered.insert(int(np.searchsorted(ordered, x[j])), float(x[j]))
            half = len(ordered) // 2
            cost[i, j + 1] = sum(ordered[-half:]) - sum(ordered[:half]) if half else 0.0
    return cost
