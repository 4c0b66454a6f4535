"""Predict a gate on this machine: its false alarms and the slowdowns that it finds, from recorded A against A.

Pairs of one and the same program say how the machine scatters. Suites are drawn from them again and again: each pair
with replacement from its own case's, with a random sign, for the roles within a pair of equals can be swapped. A
slowdown is planted by shifting one case. The rule looks after every second pair, as the gate does. Drawing again makes
pairs exchangeable: what noise that stays from pair to pair does is not in these rates
(`benchsuite.stats.decisions.wandering` looks for it).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from benchsuite.stats.decisions import Rule, wealths

SLOWDOWNS = (0.03, 0.04, 0.05, 0.06, 0.08, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0)
POWER = 0.95
SUITES = 1000


@dataclass(frozen=True, kw_only=True)
class CaseNoise:
    """Of one case: the `spread` of its pairs' log-ratios (1.48 times the median deviation from 0) and the smallest of
    `SLOWDOWNS` that is found in 95% of suites; None where even the largest is not."""

    spread: float
    catches: float | None


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """Of a suite at so many `pairs`: alarms among simulated suites without any slowdown, with the exact 95% interval of
    their rate (Clopper and Pearson 1934), and each case's noise."""

    pairs: int
    suites: int
    alarms: int
    low: float
    high: float
    cases: Mapping[str, CaseNoise]


def calibrate(logs: Mapping[str, Sequence[float]], rule: Rule, pairs: int, *, suites: int = SUITES) -> Calibration:
    """Simulate `suites` gates of at most `pairs` pairs a case from A/A log-ratios. Raises ValueError where a case has
    fewer than two pairs."""
    if any(len(values) < 2 for values in logs.values()):
        raise ValueError("a calibration needs two pairs of every case")
    random = np.random.default_rng(0)
    margin = math.log1p(rule.margin)
    drawn = {case: _draw(random, values, suites, pairs) for case, values in logs.items()}
    alone = math.log(len(logs) / rule.false_alarm)  # what one alarm by itself takes
    # e-BH at every look: some k of the cases have cases / (level * k) each.
    ordered = -np.sort(-np.stack([_looks(x - margin) for x in drawn.values()]), axis=0)
    needed = alone - np.log(np.arange(1, len(logs) + 1))
    alarmed = (ordered >= needed[:, None, None]).any(axis=(0, 2))
    cases = {}
    for case, x in drawn.items():
        cases[case] = CaseNoise(
            spread=float(1.4826 * np.median(np.abs(logs[case]))),
            catches=next((s for s in SLOWDOWNS if _power(x + math.log1p(s) - margin, alone) >= POWER), None),
        )
    from scipy.stats import binomtest  # imported here: it takes long, and a calibration is rare

    exact = binomtest(int(alarmed.sum()), suites).proportion_ci(0.95, method="exact")
    return Calibration(
        pairs=pairs,
        suites=suites,
        alarms=int(alarmed.sum()),
        low=float(exact.low),
        high=float(exact.high),
        cases=cases,
    )


def _draw(random: np.random.Generator, values: Sequence[float], suites: int, pairs: int) -> np.ndarray:
    picked = random.choice(np.asarray(values, dtype=float), (suites, pairs))
    return picked * random.choice([-1.0, 1.0], (suites, pairs))


def _looks(x: np.ndarray) -> np.ndarray:
    """Log wealth after every second pair; (suites, pairs) to (suites, looks)."""
    return wealths(x)[:, 1::2]


def _power(x: np.ndarray, needed: float) -> float:
    return float((_looks(x) >= needed).any(axis=1).mean())
