"""Token ratios: place a variant's score on the learning curve of the baseline.

The baseline is trained on several budgets; the curve goes through its mean scores by monotone cubics in the logarithm
of the tokens (PCHIP, Fritsch and Carlson 1980). A variant whose score the baseline reaches at X tokens, and which took
T, needs T / X of the tokens for equal quality. The interval holds

    the noise of the variant and of the curve    seeds, which pair, and documents (benchsuite.stats.quality)
    the noise of the interpolation               the distance of the cubics from straight lines, `TRUST` of it one sd

Beyond the curve's ends nothing is extrapolated: the ratio is then a bound, and so are ends of the interval.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.interpolate import PchipInterpolator
from scipy.optimize import isotonic_regression
from scipy.special import stdtrit

from benchsuite.stats.intervals import CONFIDENCE
from benchsuite.stats.layout import Layout, fit
from benchsuite.stats.quality import variance_of_mean

FEWEST_BUDGETS = 3  # two points do not tell how bent a curve is
TRUST = 0.5
FLATTEST = 0.05  # of the mean slope: flatter parts of a curve are as steep as this when noise is turned into tokens
GRID = 200  # points between two budgets

Parts = Sequence[np.ndarray]  # of one model: (S, n_k) a task, what each seed and document contributes to the score


@dataclass(frozen=True, kw_only=True)
class Ratio:
    """A ratio with a 95% interval. `bound` is "<" or ">" where only a bound is known; an open end is one as well: the
    truth may lie beyond the number that stands there."""

    value: float
    low: float
    high: float
    bound: str = ""
    low_open: bool = False
    high_open: bool = False

    @property
    def resolved(self) -> bool:
        """True if the interval excludes 1."""
        return self.low > 1 or self.high < 1

    def over(self, value: float) -> Ratio:
        """Return this ratio divided by a constant."""
        return replace(self, value=self.value / value, low=self.low / value, high=self.high / value)

    def inverse(self) -> Ratio:
        """Return 1 over this ratio."""
        return Ratio(
            value=1 / self.value,
            low=1 / self.high,
            high=1 / self.low,
            bound={"<": ">", ">": "<", "": ""}[self.bound],
            low_open=self.high_open,
            high_open=self.low_open,
        )


class Curve:
    """The baseline's scores at several budgets.

    tokens  (B,), rising. parts  of the model of each budget, all with the same seeds and documents. better  "lower"
    (bits per byte) or "higher" (graded scores). Raises ValueError for fewer than `FEWEST_BUDGETS`, budgets that do not
    rise, and a curve on which more tokens bring nothing.
    """

    def __init__(self, tokens: Sequence[float], parts: Sequence[Parts], better: str = "lower") -> None:
        self.log_tokens = np.log(np.asarray(tokens, dtype=float))
        if len(tokens) < FEWEST_BUDGETS or len(tokens) != len(parts) or (np.diff(self.log_tokens) <= 0).any():
            raise ValueError(f"a curve needs {FEWEST_BUDGETS} or more budgets, rising, and the scores of each")
        self.parts, self.sign = parts, 1.0 if better == "lower" else -1.0
        self.means = self.sign * np.array([np.mean(score(part)) for part in parts])
        self.falling = isotonic_regression(self.means, increasing=False).x
        slopes = -np.gradient(self.falling, self.log_tokens)
        overall = (self.falling[0] - self.falling[-1]) / (self.log_tokens[-1] - self.log_tokens[0])
        if not overall > 0:
            raise ValueError("more tokens bring the baseline nothing, so a score says nothing about tokens")
        self.slopes = np.maximum(slopes, FLATTEST * overall)
        self.grid = np.linspace(self.log_tokens[0], self.log_tokens[-1], GRID * (len(tokens) - 1) + 1)
        self.cubic = PchipInterpolator(self.log_tokens, self.falling)(self.grid)

    def place(self, value: float) -> float:
        """Return the log of the tokens at which the curve has this (signed) score, or its nearer end's."""
        return self._at(value, self.grid, self.cubic)

    def slope(self, place: float) -> float:
        """Return how much the score falls there for each unit of log tokens."""
        return float(np.interp(place, self.log_tokens, self.slopes))

    def weights(self, place: float) -> np.ndarray:
        """Return what each budget counts for there, (B,): the two nearest share 1."""
        identity = np.eye(len(self.log_tokens))
        return np.array([np.interp(place, self.log_tokens, row) for row in identity])

    def bend(self, value: float) -> float:
        """Return how far the cubics are from straight lines at this score, in log tokens."""
        return abs(self.place(value) - self._at(value, self.log_tokens, self.falling))

    @staticmethod
    def _at(value: float, places: np.ndarray, falling: np.ndarray) -> float:
        # Where scores are equal, the middle of the places that have them.
        left = float(np.interp(-value, -falling, places, left=places[0], right=places[-1]))
        right = float(np.interp(value, falling[::-1], places[::-1], left=places[-1], right=places[0]))
        return (left + right) / 2


def score(parts: Parts) -> np.ndarray:
    """Return the score at each seed, (S,): the mean over tasks of the mean over documents."""
    return np.asarray(np.mean([part.mean(axis=1) for part in parts], axis=0))


def layout_in_tokens(curve: Curve, scores: Mapping[tuple[str, int], float]) -> Layout | None:
    """Return the spread between seeds in log tokens, from the scores of all models of all budgets.

    A model's scores are divided by the slope of the curve at their mean. In bits per byte a model that has seen little
    scatters ten times as much as one that has seen much; in log tokens they are alike.
    """
    models = {model for model, _ in scores}
    means = {m: float(np.mean([y for (name, _), y in scores.items() if name == m])) for m in models}
    slopes = {m: curve.slope(curve.place(curve.sign * mean)) for m, mean in means.items()}
    return fit({(m, s): y / slopes[m] for (m, s), y in scores.items()})


def equal_tokens(parts: Parts, curve: Curve, layout: Layout | None, confidence: float = CONFIDENCE) -> Ratio:
    """Return the tokens at which the baseline has the score of `parts`, with a 95% interval.

    parts  of the variant, with the seeds and documents of the curve's. layout  that of `layout_in_tokens`; without one
    the interval covers new documents only. confidence  see `benchsuite.stats.quality.compare_quality`.

    The difference of the variant from the two nearest budgets has a variance over seeds and documents, which the slope
    turns into one of log tokens; to it comes (`TRUST` x bend)^2. The ends are the places on the curve at which the
    score is half an interval better and worse, so that the interval is wider where the curve is flatter. Coverage:
    reports/quality-statistics.
    """
    value = curve.sign * float(np.mean(score(parts)))
    place = curve.place(value)
    weights, slope = curve.weights(place), curve.slope(place)
    differences = [
        (part - np.tensordot(weights, np.stack([point[task] for point in curve.parts]), axes=1)) / slope
        for task, part in enumerate(parts)
    ]
    variance, df = variance_of_mean(differences, layout, weight=1 + float((weights**2).sum()))
    half = float(stdtrit(df, 0.5 + confidence / 2)) * math.sqrt(variance + (TRUST * curve.bend(value)) ** 2)
    worst, best = float(curve.falling[0]), float(curve.falling[-1])
    worse, better = value + half * slope, value - half * slope
    bound = ">" if value < best else "<" if value > worst else ""
    return Ratio(
        value=math.exp(place),
        low=math.exp(curve.place(worse)),
        high=math.exp(curve.place(better)),
        bound=bound,
        low_open=worse > worst,
        high_open=better < best,
    )


def time_to_quality(tokens: Ratio, speed: Ratio) -> Ratio:
    """Return the token ratio over the speed ratio: below 1 the variant is there sooner.

    The two are measured apart, so their errors are independent: the ends are those of Zou and Donner (2008,
    "Construction of confidence limits about effect measures", MOVER) for a difference, here of logarithms.
    """
    t, s = ([math.log(v) for v in (r.value, r.low, r.high)] for r in (tokens, speed))
    middle = t[0] - s[0]
    return Ratio(
        value=math.exp(middle),
        low=math.exp(middle - math.hypot(t[0] - t[1], s[2] - s[0])),
        high=math.exp(middle + math.hypot(t[2] - t[0], s[0] - s[1])),
        bound=tokens.bound,
        low_open=tokens.low_open,
        high_open=tokens.high_open,
    )
