"""Speed of a variant against its baseline: a ratio with an interval and a verdict.

The unit of replication is the round: a set of fresh processes that were alive together and took turns. What a process
has of its own, such as where its memory lies, is the same for all its turns, so a test on them finds differences
between identical programs; each round gives one log-ratio, and the interval is taken over rounds.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchsuite.stats.intervals import student, t_interval

Floats = NDArray[np.float64]

MARGIN = 0.02
FEWEST_ROUNDS = 3  # for an interval: t(0.975, 1) is 12.7, and nothing checks the noise of two rounds
LEAST_ROUNDS = 5  # before the width of an interval may end the rounds
STOPPING = 1.2  # widens Student's interval for rounds that end when it is narrow; `stopped_interval` says why


@dataclass(frozen=True, kw_only=True)
class SpeedComparison:
    """Variant over baseline in tokens/s: above 1 is faster. `low` and `high` are None below three rounds."""

    ratio: float | None
    low: float | None
    high: float | None
    verdict: str  # faster | same | slower | unclear | incomparable
    rounds: int

    @property
    def half_width(self) -> float:
        """Half of the interval's width over the ratio; infinite without an interval."""
        if self.ratio is None or self.low is None or self.high is None:
            return math.inf
        return (self.high - self.low) / 2 / self.ratio


@dataclass(frozen=True, kw_only=True)
class Timed:
    """One process of a case in a round: seconds a call of each of its turns in order, or of the whole where it took
    none (`in_turns` false), and tokens a call."""

    round: int
    times_s: Sequence[float]
    in_turns: bool
    tokens: float | None = None


def paired_logs(variant: Iterable[Timed], baseline: Iterable[Timed]) -> list[float]:
    """Return the log of the variant's tokens/s over the baseline's for each round that both have, in the order of the
    variant's. Without tokens it is the log of the times' ratio. What has no finite and positive time does not count."""
    of_base = {timed.round: timed for timed in baseline}
    logs = []
    for mine in variant:
        theirs = of_base.get(mine.round)
        if theirs is None:
            continue
        turns = mine.in_turns and theirs.in_turns
        times = [one.times_s if turns else [float(np.median(one.times_s))] for one in (mine, theirs)]
        try:
            log = log_ratio(*times)
        except ValueError:
            continue
        logs.append(log + (math.log(mine.tokens / theirs.tokens) if mine.tokens and theirs.tokens else 0.0))
    return logs


def log_ratio(variant_s: Sequence[float], baseline_s: Sequence[float]) -> float:
    """Return the log of the baseline's time over the variant's in one round, from the times of their turns in order.

    In each cycle of turns (A B A B, then B A B A) both have two, of which the faster counts: what disturbs a turn only
    ever adds time. The result is the median over cycles of the log-ratio of these times, so a machine that is slower
    for some cycles, or a cycle in which both turns were disturbed, does not move it. Raises ValueError where there is
    no turn of both, or a time is not finite and positive.
    """
    turns = min(len(variant_s), len(baseline_s))
    if turns == 0:
        raise ValueError("there is no turn of both")
    return float(np.median(_cycle_logs(variant_s, baseline_s)))


def round_error(variant_s: Sequence[float], baseline_s: Sequence[float]) -> float | None:
    """Return the standard error that the scatter of its cycles gives `log_ratio` of one round; None below two cycles,
    or where a time is not finite and positive.

    Formula: 1.4826 MAD of the cycles' log-ratios, times 1.2533 / sqrt(cycles), the standard error of a median. It knows
    nothing of what a process has for all its turns.
    """
    if min(len(variant_s), len(baseline_s)) < 4:
        return None
    try:
        logs = _cycle_logs(variant_s, baseline_s)
    except ValueError:
        return None
    scatter = 1.4826 * np.median(np.abs(logs - np.median(logs)))
    return float(1.2533 * scatter / math.sqrt(len(logs)))


def _cycle_logs(variant_s: Sequence[float], baseline_s: Sequence[float]) -> Floats:
    """Return the log of the baseline's time over the variant's in each cycle of two turns; of a single turn, of that.
    Raises ValueError where a time is not finite and positive."""
    turns = min(len(variant_s), len(baseline_s))
    times = np.asarray([variant_s[:turns], baseline_s[:turns]], dtype=float)
    if not (np.isfinite(times).all() and (times > 0).all()):
        raise ValueError("a time is not finite and positive")
    if turns > 1:
        times = times[:, : turns // 2 * 2].reshape(2, -1, 2).min(axis=2)
    variant, baseline = np.log(times)
    logs: Floats = baseline - variant
    return logs


def stopped_width(rounds: int) -> float:
    """Return half of the width of `stopped_interval` after `rounds`, in standard deviations of a round's log-ratio."""
    high = student(0.0, 1.0 / math.sqrt(rounds), rounds - 1).high
    assert high is not None
    return STOPPING * high


def stopped_interval(logs: Sequence[float]) -> tuple[float, float, float]:
    """Return the mean of `logs`, one a round, and the ends of its 95% interval, which stays valid where rounds were
    added until it was narrow.

    Formula: mean -+ 1.2 t(0.975, n-1) s / sqrt(n). For normal log-ratios the mean is independent of all the standard
    deviations before it, so a rule that looks at widths alone biases nothing; but it stops where s is by chance small,
    and Student's own interval then covers 92%. Widened by a fifth, it covers at least 95% whatever the width asked for,
    from `LEAST_ROUNDS` on (`tests/stats/test_speed.py` simulates it, with heavy tails too). The ends are infinite below
    `FEWEST_ROUNDS`. Raises ValueError for no value, or one that is not finite.
    """
    found = t_interval(logs)
    if len(logs) < FEWEST_ROUNDS or found.low is None or found.high is None:
        return found.estimate, -math.inf, math.inf
    half = STOPPING * (found.high - found.low) / 2
    return found.estimate, found.estimate - half, found.estimate + half


def compare_speed(logs: Sequence[float], *, margin: float = MARGIN) -> SpeedComparison:
    """Compare a variant with its baseline by the log-ratios of their tokens/s, one a round (`log_ratio`).

    The ratio is exp(mean), its interval that of `stopped_interval`. Verdicts, with margin m (2% by default):

    `faster` / `slower`  the interval excludes 1 on that side and the ratio lies beyond 1+m / 1/(1+m). The first half
             limits false alarms to 2.5% a side whatever the noise. The second keeps a difference too small to matter
             from being called one however precisely it is known. It is a claim about the direction, not that the true
             ratio is beyond the margin: that stricter claim belongs to a gate that blocks changes.
    `same`   the interval lies inside [1/(1+m), 1+m]: equivalence, by two one-sided tests (Schuirmann 1987) at 2.5%.
    `unclear`  neither: too noisy, too few rounds, or a real difference of about the margin.
    `incomparable`  there is no round.
    """
    if len(logs) == 0:
        return SpeedComparison(ratio=None, low=None, high=None, verdict="incomparable", rounds=0)
    estimate, low, high = stopped_interval(logs)
    ratio = math.exp(estimate)
    if math.isinf(low):
        return SpeedComparison(ratio=ratio, low=None, high=None, verdict="unclear", rounds=len(logs))
    ends = _exp(low), _exp(high)
    return SpeedComparison(
        ratio=ratio, low=ends[0], high=ends[1], verdict=_verdict(ratio, *ends, margin), rounds=len(logs)
    )


def mean_ratio(several: Sequence[Sequence[float]], *, margin: float = MARGIN) -> SpeedComparison:
    """Compare two ways over several cases, such as shapes: the geometric mean of their ratios, each case alike.

    `several` holds the log-ratios of the rounds of each case. The interval is Student's for the mean of the cases'
    means, whose rounds are independent, with Satterthwaite's degrees of freedom, widened as in `stopped_interval`.
    There is none where a case has fewer than `FEWEST_ROUNDS`. It holds for these cases, not for others. `rounds` is
    the fewest of a case. Verdicts as in `compare_speed`.
    """
    counts = [len(logs) for logs in several]
    if not counts or 0 in counts:
        return SpeedComparison(ratio=None, low=None, high=None, verdict="incomparable", rounds=0)
    estimate = float(np.mean([np.mean(logs) for logs in several]))
    if min(counts) < FEWEST_ROUNDS:
        return SpeedComparison(ratio=math.exp(estimate), low=None, high=None, verdict="unclear", rounds=min(counts))
    variances = [float(np.var(logs, ddof=1)) / len(logs) / len(several) ** 2 for logs in several]
    freedom = sum(v * v / (n - 1) for v, n in zip(variances, counts, strict=True))
    half = 0.0
    if freedom > 0:
        found = student(0.0, math.sqrt(sum(variances)), sum(variances) ** 2 / freedom)
        assert found.high is not None
        half = STOPPING * found.high
    ratio, ends = math.exp(estimate), (_exp(estimate - half), _exp(estimate + half))
    return SpeedComparison(
        ratio=ratio, low=ends[0], high=ends[1], verdict=_verdict(ratio, *ends, margin), rounds=min(counts)
    )


def compare_apart(variant: Sequence[float], baseline: Sequence[float], *, margin: float = MARGIN) -> SpeedComparison:
    """Compare two cases that were not measured together, by the logs of their rates, one a process.

    The ratio is exp(difference of means), its interval Welch's (1947): the processes of one run are alike, but nothing
    pairs them with those of another. What changed in the machine between two runs counts as the difference of the
    cases. Verdicts as in `compare_speed`; `rounds` is the smaller number of processes.
    """
    counts = len(variant), len(baseline)
    if 0 in counts:
        return SpeedComparison(ratio=None, low=None, high=None, verdict="incomparable", rounds=0)
    x, y = (np.asarray(values, dtype=float) for values in (variant, baseline))
    shift = float(x.mean() - y.mean())
    if min(counts) < FEWEST_ROUNDS:
        return SpeedComparison(ratio=math.exp(shift), low=None, high=None, verdict="unclear", rounds=min(counts))
    a, b = x.var(ddof=1) / len(x), y.var(ddof=1) / len(y)
    if a + b == 0:
        low = high = shift
    else:
        found = student(shift, math.sqrt(a + b), (a + b) ** 2 / (a**2 / (len(x) - 1) + b**2 / (len(y) - 1)))
        assert found.low is not None
        assert found.high is not None
        low, high = found.low, found.high
    ratio, ends = math.exp(shift), (_exp(low), _exp(high))
    return SpeedComparison(
        ratio=ratio, low=ends[0], high=ends[1], verdict=_verdict(ratio, *ends, margin), rounds=min(counts)
    )


def resolved(logs: Sequence[float], width: float) -> bool:
    """Return whether no more rounds are needed: there are `LEAST_ROUNDS`, and half of the interval is within `width`
    of the ratio."""
    return len(logs) >= LEAST_ROUNDS and compare_speed(logs).half_width <= width


def _verdict(ratio: float, low: float, high: float, margin: float) -> str:
    if low > 1 and ratio > 1 + margin:
        return "faster"
    if high < 1 and ratio < 1 / (1 + margin):
        return "slower"
    if low >= 1 / (1 + margin) and high <= 1 + margin:
        return "same"
    return "unclear"


def _exp(value: float) -> float:
    """exp without OverflowError: absurd noise gives a very wide interval, not a crash."""
    return math.exp(min(value, 700.0))
