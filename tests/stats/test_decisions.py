"""The gate's decisions: error rates that survive looking after every pair, in noise that is anything but normal."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from benchsuite.stats import decisions
from benchsuite.stats.decisions import Rule, decide, fewest_pairs, interval, settled, wealth, wealths

Noise = Callable[[np.random.Generator, int], np.ndarray]


def normal(random: np.random.Generator, n: int) -> np.ndarray:
    return random.normal(0, 0.03, n)


def heavy(random: np.random.Generator, n: int) -> np.ndarray:
    """Now and then a neighbour that takes half the machine from one of the two."""
    hit = random.random(n) < 0.15
    return random.normal(0, 0.01, n) + hit * random.choice([-1, 1], n) * random.exponential(0.5, n)


def drifting(random: np.random.Generator, n: int) -> np.ndarray:
    """Noise that grows and shrinks from pair to pair."""
    return random.normal(0, 1, n) * np.exp(np.cumsum(random.normal(0, 0.3, n))) * 0.01


def alternating(random: np.random.Generator, n: int) -> np.ndarray:
    """Whoever runs second is 3% slower: AB, then BA."""
    return random.normal(0, 0.005, n) + 0.03 * (-1) ** np.arange(n)


def gusty(random: np.random.Generator, n: int) -> np.ndarray:
    """A quiet machine for most pairs, a shaken one for some: what recorded pairs on two shared cores look like."""
    return random.normal(0, 1, n) * np.where(random.random(n) < 0.6, 0.01, 0.12)


NOISES = [normal, heavy, drifting, alternating, gusty]


@pytest.mark.parametrize("noise", NOISES)
def test_a_false_hypothesis_is_rarely_bought_however_often_one_looks(noise: Noise) -> None:
    """At the margin itself, the worst case: rejected after any of 400 pairs by at most 5% (1000 tries, 3 sigma)."""
    random = np.random.default_rng(0)
    tries = 1000
    x = np.stack([noise(random, 400) for _ in range(tries)])
    rejected = (wealths(x) >= math.log(1 / 0.05)).any(axis=1).mean()
    assert rejected <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / tries)


def test_the_wealth_of_a_series_is_that_after_its_last_pair() -> None:
    x = normal(np.random.default_rng(0), 30)
    assert wealths(x - 0.02)[11] == pytest.approx(wealth(x[:12], 0.02))
    bets = [(1 + stake * np.tanh(rate * x)).prod() for rate in decisions.RATES for stake in decisions.STAKES]
    assert wealth(x, 0.0) == pytest.approx(math.log(np.mean(bets)))


def test_the_wealth_after_very_many_pairs_is_a_number_or_more_than_enough() -> None:
    x = np.full(5000, 0.1)
    assert wealth(x, 0.0) > 300
    assert -math.inf < wealth(-x, 0.0) < -300


@pytest.mark.slow
@pytest.mark.parametrize("noise", NOISES)
def test_the_interval_covers_at_all_moments_together(noise: Noise) -> None:
    random = np.random.default_rng(1)
    tries, missed = 100, 0
    for _ in range(tries):
        x = noise(random, 40) + 0.07
        for n in (2, 10, 20, 40):
            low, high = interval(x[:n])
            if (low is not None and low > 0.07) or (high is not None and high < 0.07):
                missed += 1
                break
    assert missed / tries <= 0.1 + 3 * math.sqrt(0.1 * 0.9 / tries), "5% on either side"


@pytest.mark.slow
@pytest.mark.parametrize(("noise", "pairs"), [(normal, 80), (heavy, 40), (gusty, 80)])
def test_a_slowdown_of_five_percent_is_found_among_thirty_cases(noise: Noise, pairs: int) -> None:
    random = np.random.default_rng(2)
    found = 0
    for _ in range(20):
        logs = {str(case): list(noise(random, pairs)) for case in range(30)}
        logs["7"] = [x + math.log(1.05) for x in logs["7"]]
        verdicts = {case: decision.verdict for case, decision in decide(logs, Rule()).items()}
        found += verdicts.pop("7") == "slower"
        assert "slower" not in verdicts.values()
    assert found >= 18


# ---- pairs that follow one another


def lasting(random: np.random.Generator, n: int, share: float, spread: float) -> np.ndarray:
    """Stationary autoregressive noise: of each value `share` stays to the next."""
    x = np.empty(n)
    x[0] = random.normal(0, spread)
    for i in range(1, n):
        x[i] = share * x[i - 1] + random.normal(0, spread * math.sqrt(1 - share**2))
    return x


@pytest.mark.parametrize(("share", "spread"), [(0.95, 0.012), (0.95, 0.03), (0.8, 0.03)])
def test_noise_that_stays_is_no_slowdown(share: float, spread: float) -> None:
    """Without the look at the order of pairs 18, 99 and 22% of such suites of equals alarm."""
    random = np.random.default_rng(4)
    alarms = 0
    for _ in range(25):
        noise = {str(case): lasting(random, 40, share, spread) for case in range(30)}
        told = [decisions.verdicts({c: x[:n] for c, x in noise.items()}, Rule()) for n in range(8, 41, 4)]
        alarms += any(verdict in ("slower", "faster") for found in told for verdict in found.values())
    assert alarms <= 1


def test_the_reason_is_said_where_one_case_wanders() -> None:
    random = np.random.default_rng(5)
    logs = {str(case): list(normal(random, 100) / 3) for case in range(30)}
    logs["3"] = list(np.cumsum(random.normal(0, 0.02, 100)) + 0.3)
    decided = decide(logs, Rule())
    assert decided["3"].verdict == "unclear"
    assert "von Neumann" in (decided["3"].reason or "")
    assert {d.verdict for case, d in decided.items() if case != "3"} == {"same"}
    assert [d.reason for case, d in decided.items() if case != "3"] == [None] * 29


def test_in_quiet_noise_no_power_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """Slowdowns of 5% in noise of 1.2%: all are found, two pairs later on average than without the look at order."""
    random = np.random.default_rng(6)
    slow = [list(random.normal(math.log(1.05), 0.012, 40)) for _ in range(100)]

    def found_at(logs: list[float]) -> int:
        looks = range(2, 41, 2)
        return next((n for n in looks if decisions.verdicts({"a": logs[:n]}, Rule())["a"] == "slower"), 99)

    looked = [found_at(logs) for logs in slow]
    monkeypatch.setattr(decisions, "wandering", lambda logs: {})
    plain = [found_at(logs) for logs in slow]
    assert max(plain) <= 40
    assert sum(n > 40 for n in looked) <= 1
    assert np.mean(looked) < np.mean(plain) + 2.5


def test_what_is_equal_or_short_tells_nothing_of_its_order() -> None:
    assert decisions.succession([0.1] * 30) is None
    assert decisions.succession([0.1, 0.2] * 20) is None
    assert decisions.succession(list(range(7))) is None
    assert decisions.succession(list(range(8))) == pytest.approx(7 / 42)


def test_one_percent_is_below_the_margin() -> None:
    random = np.random.default_rng(3)
    logs = {str(case): list(normal(random, 60) / 3 + 0.01) for case in range(30)}
    assert {decision.verdict for decision in decide(logs, Rule()).values()} == {"same"}


def test_exact_pairs_decide_at_the_fewest_that_can() -> None:
    rule = Rule()
    least = fewest_pairs(1, rule)
    assert decide({"a": [0.1] * (least - 1)}, rule)["a"].verdict == "unclear"
    enough = next(n for n in range(least, 40) if decide({"a": [0.1] * n}, rule)["a"].verdict == "slower")
    assert enough <= least + 3, "what the spread over rates costs"
    assert decide({"a": [-0.1] * enough}, rule)["a"].verdict == "faster"
    assert decide({"a": [0.0] * enough}, rule)["a"].verdict == "same"


def test_a_speedup_that_shows_gets_the_pairs_that_its_report_takes() -> None:
    rule = Rule()
    logs = [math.log(0.96)] * 8
    assert decide({"a": logs}, rule)["a"].verdict == "same"
    assert not settled("same", logs, rule)
    assert settled("same", [0.0] * 8, rule)
    assert settled("faster", logs, rule)
    assert not settled("unclear", [0.0] * 8, rule)


def test_more_slowdowns_need_less_each() -> None:
    """e-BH: what is many times there is less likely to be chance."""
    few = {str(case): [0.1] * 12 if case < 1 else [0.0] * 12 for case in range(30)}
    many = {str(case): [0.1] * 12 if case < 25 else [0.0] * 12 for case in range(30)}
    assert sum(decision.verdict == "slower" for decision in decide(few, Rule()).values()) == 0
    assert sum(decision.verdict == "slower" for decision in decide(many, Rule()).values()) == 25


def test_the_estimate_is_the_planted_ratio_and_deaf_to_an_outlier() -> None:
    decision = decide({"a": [math.log(1.1)] * 20 + [3.0]}, Rule())["a"]
    assert decision.ratio == pytest.approx(1.1)
    assert decision.low is not None
    assert decision.high is not None
    assert decision.low < 1.1 < decision.high


def test_nothing_measured_is_unclear() -> None:
    assert decide({"a": []}, Rule())["a"] == decisions.Decision(
        verdict="unclear", ratio=None, low=None, high=None, pairs=0
    )
    assert decide({}, Rule()) == {}


def test_a_log_ratio_must_be_finite() -> None:
    with pytest.raises(ValueError, match="not finite"):
        decide({"a": [float("nan")]}, Rule())


def test_a_margin_at_or_beyond_what_is_to_be_caught_is_refused() -> None:
    with pytest.raises(ValueError, match="margin"):
        Rule(margin=0.05, catch=0.05)


@pytest.mark.parametrize("pairs", [1, 2, 4, 6, 8, 20])
@pytest.mark.parametrize("ratio", [0.09, 0.5, 0.9])
def test_a_large_speedup_is_never_called_the_same(pairs: int, ratio: float) -> None:
    """With few pairs a slowdown is ruled out before a speedup can be reported."""
    logs = {case: [math.log(ratio)] * pairs for case in ("a", "b")}
    found = set(decisions.verdicts(logs, Rule()).values())
    assert found == {"faster"} if pairs == 20 else found <= {"faster", "unclear"}
