"""Speed of a variant against its baseline: a ratio with an interval and a verdict.

The unit of replication is the process: replicate r of the variant ran right beside replicate r of the baseline, so
their log-ratio is one observation, and the samples inside a process only serve to make it precise. Samples of one
process share that process's offset; a test on them finds differences between identical programs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from benchsuite.stats.intervals import t_interval

MARGIN = 0.02
FEWEST_PAIRS = 3


@dataclass(frozen=True, kw_only=True)
class SpeedComparison:
    """Variant over baseline in tokens/s: above 1 is faster. `low` and `high` are None below three pairs."""

    ratio: float | None
    low: float | None
    high: float | None
    verdict: str  # faster | same | slower | unclear | incomparable
    pairs: int


def compare_speed(
    variant: Mapping[int, float], baseline: Mapping[int, float], *, margin: float = MARGIN
) -> SpeedComparison:
    """Compares tokens/s by replicate number.

    Formula: d_r = log(variant_r / baseline_r) over the replicates that both have; the ratio is exp(mean d), its
    interval exp(Student's 95% interval for the mean of d), so the coverage is 95% where log-ratios of process pairs are
    normal and independent. Below three pairs (`FEWEST_PAIRS`) there is no interval: t(0.975, 1) is 12.7, and nothing
    checks the noise. Values that are missing, not finite or not positive do not count.

    Verdicts, with margin m (2% by default):
    `faster` / `slower`  the interval excludes 1 on that side and the ratio lies beyond 1+m / 1/(1+m). The first half
             limits false alarms to 2.5% a side whatever the noise. The second keeps a difference too small to matter
             from being called one however precisely it is known; where the noise is small against m it also makes false
             alarms disappear. It is a claim about the direction, not that the true ratio is beyond the margin: that
             stricter claim, for which the whole interval must clear the margin, belongs to a gate that blocks changes.
    `same`   the interval lies inside [1/(1+m), 1+m]: equivalence, by two one-sided tests (Schuirmann 1987) at 2.5%.
    `unclear`  neither: too noisy, too few pairs, or a real difference of about the margin.
    `incomparable`  there is no pair.
    """
    shared = sorted(r for r in variant.keys() & baseline.keys() if _usable(variant[r]) and _usable(baseline[r]))
    if not shared:
        return SpeedComparison(ratio=None, low=None, high=None, verdict="incomparable", pairs=0)
    logs = t_interval([math.log(variant[r] / baseline[r]) for r in shared])
    ratio = math.exp(logs.estimate)
    if len(shared) < FEWEST_PAIRS or logs.low is None or logs.high is None:
        return SpeedComparison(ratio=ratio, low=None, high=None, verdict="unclear", pairs=len(shared))
    low, high = math.exp(logs.low), _exp(logs.high)
    return SpeedComparison(
        ratio=ratio, low=low, high=high, verdict=_verdict(ratio, low, high, margin), pairs=len(shared)
    )


def _verdict(ratio: float, low: float, high: float, margin: float) -> str:
    if low > 1 and ratio > 1 + margin:
        return "faster"
    if high < 1 and ratio < 1 / (1 + margin):
        return "slower"
    if low >= 1 / (1 + margin) and high <= 1 + margin:
        return "same"
    return "unclear"


def _usable(tokens_per_s: float) -> bool:
    return math.isfinite(tokens_per_s) and tokens_per_s > 0


def _exp(value: float) -> float:
    """exp without OverflowError: absurd noise gives a very wide interval, not a crash."""
    return math.exp(min(value, 700.0))
