"""Estimate how far a value lies on the way from one to another, from paired observations of all three.

>>> found = between([0.0, 0.1, 0.0], [0.5, 0.6, 0.4], [1.0, 1.1, 0.9])
>>> round(found.estimate, 2), found.low < 0.5 < found.high
(0.5, True)
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy import special

from benchsuite.stats.intervals import CONFIDENCE, Interval


def between(start: Sequence[float], middle: Sequence[float], end: Sequence[float]) -> Interval | None:
    """mean(middle - start) / mean(end - start) with Fieller's (1954) interval for the ratio of two paired means; None
    where the data do not show that `end` is above `start`: a fraction of a way of unknown direction means nothing.

    The interval has 95% coverage for normal differences, whatever their correlation. Raises ValueError where the three
    are not of one length.
    """
    if not len(start) == len(middle) == len(end):
        raise ValueError("the observations are not paired")
    if len(start) < 2:
        return None
    part, whole = np.subtract(middle, start, dtype=float), np.subtract(end, start, dtype=float)
    n = len(part)
    t2 = float(special.stdtrit(n - 1, 0.5 + CONFIDENCE / 2)) ** 2
    (s_part, s_both), (_, s_whole) = np.cov(part, whole) / n
    a, b = float(part.mean()), float(whole.mean())
    below = b**2 - t2 * float(s_whole)
    if b <= 0 or below <= 0:
        return None
    middle_term = a * b - t2 * float(s_both)
    half = math.sqrt(max(0.0, middle_term**2 - below * (a**2 - t2 * float(s_part))))
    low, high = (middle_term - half) / below, (middle_term + half) / below
    return Interval(estimate=a / b, low=low, high=high)
