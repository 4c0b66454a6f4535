"""Where a series of measurements changed its level: piecewise constant medians, as many as the data ask for.

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
    scores = [2 * n * math.log(best[k, n] / n + NOISE_FLOOR) + (3 * k + 1) * math.log(max(n, 2)) for k in range(most)]
    k, end = int(np.argmin(scores)), n
    found: list[Piece] = []
    while end > 0:
        start = int(before[k, end]) if k else 0
        found.append(Piece(start + skipped, end + skipped, math.exp(float(np.median(x[start:end])))))
        k, end = k - 1, start
    return found[::-1]


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
