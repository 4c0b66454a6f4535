"""The trend of a token ratio over scales: does an advantage shrink, hold or grow where there is more compute?

    found = trend(flops, ratios, margin=0.1)
    found.verdict                 # "shrinks", "holds", "grows", "turns" or "not resolved"
    found.factor.value            # what the ratio is multiplied with for ten times the compute

Line: log ratio = a + b log10(FLOPs), by weighted least squares, the weights one over the squared widths of the
ratios' intervals. The slope is a sum of the ratios with known coefficients, so its interval follows from theirs (Zou
and Donner 2008, MOVER), which hold the noise of seeds, documents and curves; rungs are trained apart. Where the ratios
scatter more about the line than their intervals allow, the slope's interval is widened by the root of the reduced chi
square (Birge 1932): a line is then no good account of them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from benchsuite.stats.curve import Ratio
from benchsuite.stats.intervals import CONFIDENCE

FEWEST_SCALES = 2
DECADE = math.log(10)


@dataclass(frozen=True, kw_only=True)
class Trend:
    """factor  of the ratio for ten times the compute. change  of the ratio from the smallest scale to the largest.
    ends  the fitted ratios there. within  the largest change, up or down, that the interval of `change` holds, as a
    fraction: 0.08 is 8%."""

    factor: Ratio
    change: Ratio
    ends: tuple[float, float]
    within: float
    verdict: str


def trend(scales: Sequence[float], ratios: Sequence[Ratio], margin: float) -> Trend:
    """Fit the line through `ratios` at `scales` (FLOPs of the baseline's training). Verdicts:

    `holds`          the ratio changes by less than `margin` over the range that was measured, whatever the truth within
                     the interval
    `shrinks`, `grows`  the slope's interval excludes 0, and the fitted ratio at the largest scale is nearer to 1, or
                     farther from it, than at the smallest
    `turns`          the slope's interval excludes 0, and the line crosses 1: what was an advantage is none any more
    `not resolved`   otherwise

    Raises ValueError for fewer than `FEWEST_SCALES` different scales, and for ratios of which only a bound is known.
    """
    if len(scales) != len(ratios) or len(set(scales)) < FEWEST_SCALES:
        raise ValueError(f"a trend needs token ratios at {FEWEST_SCALES} or more scales")
    if any(ratio.bound for ratio in ratios):
        raise ValueError("at one scale the token ratio is only a bound")
    x = np.log(np.asarray(scales, dtype=float)) / DECADE
    y, low, high = (np.log([getattr(ratio, name) for ratio in ratios]) for name in ("value", "low", "high"))
    spread = np.maximum(high - low, 1e-9)
    weights = spread**-2 / (spread**-2).sum()
    centre = float(weights @ x)
    coefficients = weights * (x - centre) / float(weights @ (x - centre) ** 2)
    slope, level = float(coefficients @ y), float(weights @ y)
    below = np.where(coefficients > 0, y - low, high - y)
    above = np.where(coefficients > 0, high - y, y - low)
    wider = _wider(x, y, spread, level + slope * (x - centre))
    ends = slope - wider * math.hypot(*(coefficients * below)), slope + wider * math.hypot(*(coefficients * above))
    fitted = tuple(math.exp(level + slope * (end - centre)) for end in (x.min(), x.max()))
    factor, change = (
        Ratio(value=math.exp(slope * by), low=math.exp(ends[0] * by), high=math.exp(ends[1] * by))
        for by in (1.0, float(np.ptp(x)))
    )
    within = max(1 / change.low, change.high) - 1
    return Trend(
        factor=factor,
        change=change,
        ends=(fitted[0], fitted[1]),
        within=within,
        verdict=_verdict(change, math.log(fitted[0]), math.log(fitted[1]), within, margin),
    )


def _wider(x: np.ndarray, y: np.ndarray, spread: np.ndarray, fitted: np.ndarray) -> float:
    freedom = len(x) - 2
    if freedom < 1:
        return 1.0
    deviations = spread / 2 / float(ndtri(0.5 + CONFIDENCE / 2))
    return max(1.0, math.sqrt(float((((y - fitted) / deviations) ** 2).sum()) / freedom))


def _verdict(change: Ratio, first: float, last: float, within: float, margin: float) -> str:
    if within <= margin:
        return "holds"
    if not change.resolved:
        return "not resolved"
    if first * last < 0:
        return "turns"
    return "shrinks" if abs(last) < abs(first) else "grows"
