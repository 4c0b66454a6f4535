"""Student intervals, the effect that a design can detect, and Holm's correction.

Everything here is two-sided at 95% unless it says otherwise.

>>> t_interval([0.9, 1.0, 1.1]).low < 1.0 < t_interval([0.9, 1.0, 1.1]).high
True
>>> [round(p, 3) for p in holm([0.01, 0.04, 0.03])]
[0.03, 0.06, 0.06]
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special  # `plan` and `run` wait for this import; that of scipy.stats takes longer

CONFIDENCE = 0.95
POWER = 0.80


@dataclass(frozen=True, kw_only=True)
class Interval:
    """An estimate with its standard error, the degrees of freedom behind that error, and the interval they give.

    All fields but `estimate` are None where the data allow no interval (one observation).
    """

    estimate: float
    low: float | None = None
    high: float | None = None
    standard_error: float | None = None
    degrees_of_freedom: float | None = None

    def p_value(self) -> float | None:
        """Two-sided p-value of "the true value is 0" by Student's t; None without a standard error."""
        if self.standard_error is None or self.degrees_of_freedom is None:
            return None
        if self.standard_error == 0:
            return 1.0 if self.estimate == 0 else 0.0
        return float(2 * special.stdtr(self.degrees_of_freedom, -abs(self.estimate) / self.standard_error))


def student(
    estimate: float, standard_error: float, degrees_of_freedom: float, confidence: float = CONFIDENCE
) -> Interval:
    """estimate -+ t(0.975, degrees_of_freedom) * standard_error (Student 1908), or at another `confidence`.

    Coverage 95% where the estimate is normal and its squared standard error an independent scaled chi-squared with
    those degrees of freedom, whole or fractional (Satterthwaite 1946).
    """
    half = float(special.stdtrit(degrees_of_freedom, 0.5 + confidence / 2)) * standard_error
    return Interval(
        estimate=estimate,
        low=estimate - half,
        high=estimate + half,
        standard_error=standard_error,
        degrees_of_freedom=degrees_of_freedom,
    )


def t_interval(values: Sequence[float]) -> Interval:
    """Student's interval for the mean of independent `values`: mean -+ t(0.975, n-1) * s / sqrt(n).

    Exact 95% coverage for normal values from n = 2 on. One value gives an estimate without an interval.
    Raises ValueError for no values, or where one is not finite.
    """
    array = np.asarray(values, dtype=float)
    if array.size == 0 or not np.isfinite(array).all():
        raise ValueError("an interval needs at least one value, all of them finite")
    mean = float(array.mean())
    if array.size == 1:
        return Interval(estimate=mean)
    return student(mean, float(array.std(ddof=1)) / math.sqrt(array.size), array.size - 1)


def minimum_detectable(standard_error: float, degrees_of_freedom: float, confidence: float = CONFIDENCE) -> float:
    """The true difference that a two-sided 5% test finds with 80% power: (t(0.975) + t(0.8)) * standard_error; at
    another `confidence` that of its test.

    The usual approximation to the noncentral t (Bloom 1995, "Minimum detectable effects"); slightly too large below 5
    degrees of freedom.
    """
    of_the_test, of_the_power = (float(special.stdtrit(degrees_of_freedom, p)) for p in (0.5 + confidence / 2, POWER))
    return (of_the_test + of_the_power) * standard_error


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's (1979) step-down adjusted p-values, in the order given: valid whatever the dependence between the tests.

    Rejecting where the adjusted value is below 0.05 keeps the chance of any false claim among them below 5%.
    """
    order = np.argsort(p_values, kind="stable")
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for rank, index in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = largest
    return adjusted
