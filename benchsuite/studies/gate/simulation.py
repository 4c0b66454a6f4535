"""False alarms, power and minutes of the gate and of the other tools' rules, from the recorded noise of equal programs
times a slowdown; suites are drawn from it again and again."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from benchsuite.stats import decisions
from benchsuite.stats.decisions import Rule
from benchsuite.studies.gate.recordings import CONDITIONS, DATA
from benchsuite.studies.gate.rules import PEERS, STATISTICS, Samples

SUITES, SHIFTED_SUITES, PEER_SUITES = 1000, 200, 200  # of equals; with a slowdown in any one case; of the other tools
BUDGETS = (20, 40, 80, 150, 250, 400)  # pairs of a case, at most
RUNS = (1, 2, 3, 5, 8, 12, 20, 30)  # runs a side within which they are to find what the gate finds
ENOUGH, AT = 0.95, 0.05  # the power that is asked for, at this slowdown
SLOWDOWNS = (0.0, 0.01, 0.02, 0.03, 0.05, 0.10)
GRIDS = {  # of `bets`
    "one stake": ((3.0, 10.0, 30.0, 100.0, 300.0, 1000.0), (0.9,)),
    "one bet": ((30.0,), (0.4,)),
    "two stakes": ((10.0, 30.0, 100.0, 300.0), (0.3, 0.8)),
    "as shipped": (tuple(decisions.RATES), tuple(decisions.STAKES)),
    "finer": ((5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 320.0), (0.1, 0.2, 0.4, 0.6, 0.8, 0.95)),
}
NEVER = 10**6


def joined(runs: Sequence[Samples]) -> dict[str, np.ndarray]:
    """The samples of several runs as if they were of one."""
    return {name: np.concatenate([run[name] for run in runs]) for name in runs[0]}


def peer_rates(runs: list[Samples], pooled: int) -> dict[str, dict[float, dict[str, float]]]:
    """For each rule and slowdown: the share of suites with any alarm, and of cases with one. A suite compares `pooled`
    runs of base with as many of head: all choices of neighbouring runs, in either order."""
    starts = range(len(runs) - 2 * pooled + 1)
    choices = [(joined(runs[i : i + pooled]), joined(runs[i + pooled : i + 2 * pooled])) for i in starts]
    choices += [(head, base) for base, head in choices]
    rates: dict[str, dict[float, dict[str, float]]] = {}
    for rule, alarm in PEERS.items():
        for slowdown in SLOWDOWNS:
            suites = [[alarm(base[n], head[n] * (1 + slowdown)) for n in runs[0]] for base, head in choices]
            rates.setdefault(rule, {})[slowdown] = {
                "suites": float(np.mean([any(suite) for suite in suites])),
                "cases": float(np.mean(suites)),
            }
    return rates


def peer_needs(runs: list[Samples], run_s: float) -> dict[str, dict[str, Any]]:
    """For each statistic that other tools decide by, with the threshold at which one suite of equals in a hundred
    alarms: the power at `AT` for each number of `RUNS` a side, and the minutes until it is `ENOUGH`, None where it
    never is. The runs of a suite are drawn with replacement from the recorded ones."""
    names = list(runs[0])
    found: dict[str, dict[str, Any]] = {}
    draw = np.random.default_rng(0)
    for count in RUNS:
        equal: dict[str, list[list[float]]] = {}
        slower: dict[str, list[list[float]]] = {}
        for _ in range(PEER_SUITES):
            base, head = (joined([runs[i] for i in draw.integers(0, len(runs), count)]) for _ in range(2))
            for name, statistic in STATISTICS.items():
                equal.setdefault(name, []).append([statistic(base[n], head[n]) for n in names])
                slower.setdefault(name, []).append([statistic(base[n], head[n] * (1 + AT)) for n in names])
        for name in STATISTICS:
            threshold = np.quantile(np.max(equal[name], axis=1), 0.99, method="higher")
            power = float(np.mean(np.asarray(slower[name]) > threshold))
            known = found.setdefault(name, {"power": {}, "minutes": None})
            known["power"][count] = power
            if power >= ENOUGH and known["minutes"] is None:
                known["minutes"] = 2 * count * run_s / 60
    return found


def gate_rates(
    pairs: dict[str, list[float]], pair_s: float, servers_s: float, slowdowns: Sequence[float] = SLOWDOWNS
) -> dict[int, dict[float, dict[str, float]]]:
    """The gate's own rule on suites drawn from recorded pairs with random signs, by budget and slowdown, which is
    planted in one case of a suite. It looks after every second pair, and a case that is decided is measured no more.
    `cases` and `unclear` are shares of the slow cases, `suites` of suites of equals with any alarm; `minutes` are those
    of a suite with one slow case: `pair_s` for each pair, and `servers_s` for each round of the undecided."""
    rule, draw, most = Rule(), np.random.default_rng(0), BUDGETS[-1]
    margin, catch = math.log1p(rule.margin), math.log1p(rule.catch)
    alone = math.log(len(pairs) / rule.false_alarm)
    richest = np.zeros((len(pairs), SUITES, most // 2))
    ends: dict[float, list[Any]] = {slowdown: [] for slowdown in slowdowns}
    for case, values in enumerate(pairs.values()):
        x = draw.choice(np.asarray(values), (SUITES, most)) * draw.choice([-1.0, 1.0], (SUITES, most))
        richest[case] = looks(x - margin)
        for slowdown in slowdowns:
            shifted = x[:SHIFTED_SUITES] + math.log1p(slowdown)
            slower = first(looks(shifted - margin), alone)
            speedup = looks(-shifted - margin)
            ruled_out = (looks(catch - shifted) >= -math.log(rule.miss)) & (speedup <= 0)  # decisions.settled
            other = np.minimum(first(ruled_out, True), first(speedup, alone))
            ends[slowdown].append((slower, other))
    # e-BH at every look: some k of the cases have cases / (level * k) each.
    ordered = -np.sort(-richest, axis=0)
    needed = alone - np.log(np.arange(1, len(pairs) + 1))
    alarmed = np.any(ordered >= needed[:, None, None], axis=0)
    found: dict[int, dict[float, dict[str, float]]] = {}
    for budget in BUDGETS:
        found[budget] = {}
        quiet = np.minimum(np.minimum(*(np.stack(side) for side in zip(*ends[0.0], strict=True))), budget)
        for slowdown in slowdowns:
            slower, other = (np.stack(side) for side in zip(*ends[slowdown], strict=True))
            end = np.minimum(np.minimum(slower, other), budget)
            rounds = [np.maximum(np.delete(quiet, case, 0).max(0), end[case]).mean() for case in range(len(pairs))]
            measured_s = (quiet.mean() * (len(pairs) - 1) + end.mean()) * pair_s
            found[budget][slowdown] = {
                "suites": float(alarmed[:, : budget // 2].any(1).mean()),
                "cases": float(((slower <= budget) & (slower <= other)).mean()),
                "unclear": float(((slower > budget) & (other > budget)).mean()),
                "minutes": float(measured_s + np.mean(rounds) * servers_s) / 60,
            }
    return found


def looks(x: np.ndarray) -> np.ndarray:
    """The gate's wealth after every second pair, along the last axis."""
    return decisions.wealths(x)[..., 1::2]


def first(wealth: np.ndarray, level: float | bool) -> np.ndarray:
    """Pairs at the first look at which a level is reached; NEVER where it is not."""
    reached = wealth >= level
    return np.where(reached.any(-1), 2 * (reached.argmax(-1) + 1), NEVER)


def gate_minutes(rates: dict[int, dict[float, dict[str, float]]]) -> tuple[int, float] | None:
    """The smallest budget with `ENOUGH` power at `AT`, and its minutes."""
    return next(((b, r[AT]["minutes"]) for b, r in rates.items() if r[AT]["cases"] >= ENOUGH), None)


def bets() -> None:
    """The power and the minutes of other grids of bets, so that the choice can be checked."""
    print(
        "| grid | condition | found at 5%, 80 pairs | 150 | 400 | found at 10%, 80 pairs | minutes, 150 pairs | 400 |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for name, (rates, stakes) in GRIDS.items():
        decisions.RATES, decisions.STAKES = np.array(rates), np.array(stakes)
        for condition in CONDITIONS:
            found = json.loads((DATA / f"{condition}.json").read_text())
            ours = gate_rates(found["pairs"], found["pair_s"], found["servers_s"], (0.0, 0.05, 0.10))
            cells = [f"{ours[most][0.05]['cases']:.1%}" for most in (80, 150, 400)]
            cells += [f"{ours[80][0.10]['cases']:.1%}"]
            cells += [f"{ours[most][0.05]['minutes']:.1f}" for most in (150, 400)]
            print(f"| {name} | {condition} | " + " | ".join(cells) + " |", flush=True)
