"""When can a gate decide? Decisions on pairs of processes that may be looked at after every pair.

An observation is one pair: d = log(time of head / time of base) of two processes that ran side by side, in alternating
order. What is assumed: given all earlier pairs, the sides of a pair of equal programs can be exchanged, so that d is as
likely as -d. A slowdown by a factor shifts d. The distribution may be heavy-tailed and another one in every pair; no
normal distribution and no constant noise is assumed.

What breaks it: a lean to one side that stays for a whole run, as the layout of the code or the path of an environment
can give (a lean beyond the margin is reported as a slowdown, one below it uses the margin up), and noise that stays
from pair to pair, where a pair adds too little to the one before it. A lean cannot be told from a slowdown.
Noise that stays can be seen: where the ratios of a case, or of all cases together, follow one another (`wandering`),
the verdict is `unclear` and says so. It takes `FEWEST` pairs to see it, so a `same` of fewer rests on the assumption.

A test of "the slowdown is at most m" bets against it. For x symmetric about 0 or lower, E[1 + k tanh(l x)] <= 1 for any
l > 0 and 0 < k <= 1, so the wealth  prod_i (1 + k tanh(l (d_i - m)))  is a nonnegative supermartingale under that
hypothesis (a bounded form of de la Pena's 1999 inequality), and by Ville (1939) the chance that it ever reaches 1/alpha
is at most alpha: looking after each pair, and stopping when one likes, costs nothing. For normal d and k = 1 this bet
is the likelihood ratio itself (exp(lx) / cosh(lx)), at l = shift / variance. Where most pairs are quiet and some far
off, a large l with a small k is better: it wins on each quiet pair and loses little on an outlier. Nobody knows the
noise, so the wealth is spread evenly over `RATES` and `STAKES` and then left alone: a mean of supermartingales is one,
and soon it grows as fast as the best of them.

Over the cases of a suite the wealths are e-values, and e-BH (Wang and Ramdas 2022) decides which slowdowns to report:
a false discovery rate of at most alpha under any dependence between the cases. With no slowdown anywhere beyond the
margin that is the chance of a false alarm in the whole suite.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

# Of the bets, in 1 / log-ratio: the best is shift / variance, so these serve noise from 15% down to below 1%. What
# other grids find: `python -m benchsuite.studies.gate.measure bets`.
RATES = np.array([10.0, 30.0, 100.0, 300.0])
STAKES = np.array([0.2, 0.4, 0.6, 0.9])
WIDEST = math.log(4.0)  # intervals are not told beyond a factor of four
FEWEST = 8  # pairs of a case, below which nothing is said of their order
STRONG = 1.4  # of the ratio of `succession`, 2 for exchangeable pairs: neighbours correlate by 0.3, or more below it
SIGNIFICANT = 2.5


@dataclass(frozen=True, kw_only=True)
class Rule:
    """The requirements of a gate. Slowdowns are fractions: 0.02 is 2% more time.

    margin       slowdowns up to here are accepted
    catch        slowdowns from here on must be found
    false_alarm  chance of reporting any slowdown in a suite that has none beyond the margin
    miss         chance, for each case, of passing a slowdown of `catch` or more
    floor_s      differences up to so many seconds are accepted, whatever their share
    """

    margin: float = 0.02
    catch: float = 0.05
    false_alarm: float = 0.01
    miss: float = 0.05
    floor_s: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.margin < self.catch:
            raise ValueError(f"the margin ({self.margin:g}) must be below the slowdown to catch ({self.catch:g})")

    def at(self, time_s: float) -> Rule:
        """The rule for a case of which a call takes `time_s` at base: the floor becomes a margin."""
        share = self.floor_s / time_s
        return replace(self, margin=share, catch=max(self.catch, 2 * share)) if share > self.margin else self


@dataclass(frozen=True, kw_only=True)
class Decision:
    """One case. `ratio` is head's time over base's, above 1 slower, and an interval, each end of which holds with 95%
    whenever one looks; None where it has no end within a factor of four. `verdict`:

    slower   the slowdown is beyond the margin
    faster   the same in the other direction
    same     a slowdown of `catch` or more is ruled out, and no speedup of that size is what the pairs show
    unclear  neither, yet; or the pairs follow one another, which `reason` then says
    """

    verdict: str
    ratio: float | None
    low: float | None
    high: float | None
    pairs: int
    reason: str | None = None


def decide(
    logs: Mapping[str, Sequence[float]], rule: Rule, own: Mapping[str, Rule] | None = None
) -> dict[str, Decision]:
    """A decision for each case from its log-ratios, all of them together: what one case needs depends on how many there
    are. `own` are rules of single cases; of these the chance of a false alarm does not count, which is that of the
    whole. Raises ValueError for a log-ratio that is not finite."""
    decisions = {}
    reasons = wandering(logs)
    for case, verdict in verdicts(logs, rule, own).items():
        low, high = interval(logs[case])
        decisions[case] = Decision(
            verdict=verdict,
            ratio=math.exp(centre(logs[case])) if len(logs[case]) else None,
            low=None if low is None else math.exp(low),
            high=None if high is None else math.exp(high),
            pairs=len(logs[case]),
            reason=reasons.get(case),
        )
    return decisions


def verdicts(logs: Mapping[str, Sequence[float]], rule: Rule, own: Mapping[str, Rule] | None = None) -> dict[str, str]:
    """The verdicts of `decide` alone, which are soon computed."""
    turned = {case: [-value for value in values] for case, values in logs.items()}
    rules = {case: (own or {}).get(case, rule) for case in logs}
    slower, faster = (
        _discoveries({case: wealth(x, math.log1p(rules[case].margin)) for case, x in side.items()}, rule.false_alarm)
        for side in (logs, turned)
    )
    found = {}
    dependent = wandering(logs)
    for case in logs:
        if case in dependent:
            found[case] = "unclear"
        elif case in slower:
            found[case] = "slower"
        elif case in faster:
            found[case] = "faster"
        elif wealth(turned[case], -math.log1p(rules[case].catch)) >= -math.log(rules[case].miss):
            # A speedup that has too few pairs to be reported is not called the same.
            found[case] = "unclear" if centre(logs[case]) < -math.log1p(rules[case].catch) else "same"
        else:
            found[case] = "unclear"
    return found


def settled(verdict: str, logs: Sequence[float], rule: Rule) -> bool:
    """Return whether a case needs no more pairs. To rule a slowdown out takes fewer of them than to report a speedup:
    one that has begun to show gets its pairs, too."""
    if verdict == "same":
        return wealth([-value for value in logs], math.log1p(rule.margin)) <= 0
    return verdict != "unclear"


def wandering(logs: Mapping[str, Sequence[float]]) -> dict[str, str]:
    """Return the cases whose pairs cannot be taken for exchangeable, each with the reason: its own ratio of
    `succession` is too small, or the mean of all cases' is, weighted by their pairs: what makes noise stay is the
    machine, and thirty cases show it more surely than one.

    Of exchangeable pairs the ratio has a standard deviation of 2 / sqrt(pairs). Too small is what lies both below
    `STRONG` and `SIGNIFICANT` of these deviations below 2, so that a few pairs that happen to be alike hold up no
    verdict: by chance a single case is there once in 160 looks. The pairs of two cases are measured after one another,
    so all of them count for the mean.
    """
    ratios = {case: ratio for case, values in logs.items() if (ratio := succession(values)) is not None}
    if not ratios:
        return {}
    pairs = {case: len(logs[case]) for case in ratios}
    mean = float(np.average(list(ratios.values()), weights=list(pairs.values())))
    if len(ratios) > 1 and mean < _least_succession(sum(pairs.values())):
        told = f"the ratios of successive pairs are alike in all cases (rank von Neumann ratio {mean:.2f}, not near 2)"
        return dict.fromkeys(logs, told)
    told = "the ratios of its successive pairs are alike (rank von Neumann ratio {:.2f}, not near 2)"
    return {case: told.format(ratio) for case, ratio in ratios.items() if ratio < _least_succession(pairs[case])}


def _least_succession(pairs: int) -> float:
    return min(STRONG, 2 - SIGNIFICANT * 2 / math.sqrt(pairs))


def succession(logs: Sequence[float]) -> float | None:
    """The ratio of von Neumann over the ranks of `logs`, the sum of squared differences of neighbours over that of
    differences from the mean (Bartels 1982): 2 on average where every order of the values is as likely, below where
    neighbours are alike. None for fewer than `FEWEST` different values."""
    x = np.asarray(logs, dtype=float)
    if len(np.unique(x)) < FEWEST:
        return None
    _, place, counts = np.unique(x, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[place]  # equal values share their mean rank
    return float((np.diff(ranks) ** 2).sum() / ((ranks - ranks.mean()) ** 2).sum())


def wealth(logs: Sequence[float], bound: float) -> float:
    """The log of the wealth of who bets that the shift of `logs` is above `bound`; 0 before the first pair."""
    x = np.asarray(logs, dtype=float)
    if not np.isfinite(x).all():
        raise ValueError("a log-ratio is not finite")
    return float(wealths(x - bound)[-1]) if len(x) else 0.0


def wealths(x: np.ndarray) -> np.ndarray:
    """The log of the wealth after each pair, along the last axis, of who bets that the shift of `x` is above 0."""
    mixed = np.zeros(x.shape)
    with np.errstate(over="ignore", under="ignore"):  # wealth beyond 1e308 is enough, one below 1e-308 is nothing
        for rate in RATES:
            turned = np.tanh(rate * x)
            for stake in STAKES:
                mixed += (1 + stake * turned).cumprod(-1)
        return np.log(mixed / (len(RATES) * len(STAKES)))


def interval(logs: Sequence[float], miss: float = 0.05) -> tuple[float | None, float | None]:
    """The shifts that bets have not ruled out. At all moments together each end is on the wrong side of the true shift
    with a chance of at most `miss`, as the test of equivalence has it (Schuirmann 1987): `same` and the upper end then
    say one thing."""
    needed = -math.log(miss)
    turned = [-value for value in logs]
    low = _root(lambda shift: wealth(logs, shift) - needed)
    high = _root(lambda shift: wealth(turned, shift) - needed)
    return low, None if high is None else -high


def centre(logs: Sequence[float]) -> float:
    """The median of the means of all pairs of values, each with itself too (Hodges and Lehmann 1963): the centre of a
    symmetric distribution, nearly as precise as the mean and deaf to outliers."""
    x = np.asarray(logs, dtype=float)
    i, j = np.triu_indices(len(x))
    return float(np.median((x[i] + x[j]) / 2))


def fewest_pairs(cases: int, rule: Rule) -> int:
    """Pairs below which no single slowdown can be reported: a pair multiplies no wealth by more than 1 + stake."""
    return math.ceil(math.log(cases / rule.false_alarm) / math.log1p(STAKES.max()))


def _discoveries(wealths: Mapping[str, float], level: float) -> set[str]:
    """e-BH: the k cases of most wealth, for the largest k where each has at least cases / (level * k)."""
    ordered = sorted(wealths, key=lambda case: -wealths[case])
    kept = 0
    for k, case in enumerate(ordered, 1):
        if wealths[case] >= math.log(len(ordered) / (level * k)):
            kept = k
    return set(ordered[:kept])


def _root(excess: Callable[[float], float]) -> float | None:
    """Return where a falling function passes 0; None where it is below 0 everywhere within `WIDEST`."""
    low, high = -WIDEST, WIDEST
    if excess(low) < 0:
        return None
    while high - low > 1e-6:
        middle = (low + high) / 2
        low, high = (middle, high) if excess(middle) >= 0 else (low, middle)
    return low
