"""The gate beside the rules of other tools: false alarms, power and time, from what this machine really does.

    python reports/gate/measure.py record quiet       # A against A: pairs of ours, runs of pytest-benchmark
    python reports/gate/measure.py record loaded      # the same beside a neighbour that comes and goes
    python reports/gate/measure.py planted quiet      # really slower workloads, a mix of shares, gated once
    python reports/gate/measure.py report             # tables, curves and data from what was recorded
    python reports/gate/measure.py bets               # the power of other grids of bets, from the recorded pairs

All tools time the same thirty workloads (thirty.py) on one thread. Slowdowns in the tables are the recorded noise of
equal programs times a factor; suites are drawn from it again and again. `planted` checks that with real ones.
`--pairs`, `--runs` and `--only` make a recording smaller, and `--into` puts it elsewhere: to try the script.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from benchsuite.stats import gate
from benchsuite.stats.gate import Rule, decide
from benchsuite.stats.intervals import holm

HERE = Path(__file__).parent
PAIRS, PEER_RUNS, KEPT_SAMPLES = 24, 10, 100
SUITES, SHIFTED_SUITES, PEER_SUITES = 1000, 200, 200  # of equals; with a slowdown in any one case; of the other tools
BUDGETS = (20, 40, 80, 150, 250, 400)  # pairs of a case, at most
SHOWN = (40, 150, 400)
POOLED = (1, 3)  # runs a side of the other tools in the tables
RUNS = (1, 2, 3, 5, 8, 12, 20, 30)  # runs a side within which they are to find what the gate finds
ENOUGH, AT = 0.95, 0.05  # the power that is asked for, at this slowdown
SHARES = (0.25, 0.5, 1.0)  # of a process's samples
GRIDS = {  # of `bets`
    "one stake": ((3.0, 10.0, 30.0, 100.0, 300.0, 1000.0), (0.9,)),
    "one bet": ((30.0,), (0.4,)),
    "two stakes": ((10.0, 30.0, 100.0, 300.0), (0.3, 0.8)),
    "as shipped": (tuple(gate.RATES), tuple(gate.STAKES)),
    "finer": ((5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 320.0), (0.1, 0.2, 0.4, 0.6, 0.8, 0.95)),
}
SLOWDOWNS = (0.0, 0.01, 0.02, 0.03, 0.05, 0.10)
MIX = {0.01: 3, 0.02: 3, 0.03: 3, 0.05: 3, 0.10: 3}  # planted: so many workloads each, the rest unchanged
CONDITIONS = ("quiet", "loaded")

Samples = dict[str, list[float]]
Values = Sequence[float] | np.ndarray


# ---- recording ---------------------------------------------------------------------------------


class Neighbour:
    """A process that multiplies matrices for some seconds, rests for some, and so on."""

    def __init__(self, wanted: bool) -> None:
        self._wanted = wanted

    def __enter__(self) -> None:
        self._process = None
        if self._wanted:
            self._process = subprocess.Popen([sys.executable, __file__, "neighbour"])

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()


def neighbour() -> None:
    import torch

    torch.set_num_threads(1)
    x = torch.randn(512, 512)
    draw = random.Random(0)
    while True:
        until = time.monotonic() + draw.expovariate(1 / 3)
        while time.monotonic() < until:
            x @ x
        time.sleep(draw.expovariate(1 / 5))


def record(condition: str, into: Path, pairs: int, peer_runs: int, only: str) -> None:
    """`only`: a part of the workloads' names; all where it is empty."""
    with Neighbour(condition == "loaded"), tempfile.TemporaryDirectory() as folder:
        ours = Path(folder) / "calibration"
        words = [f"--only=*{only}*"] if only else []
        benchsuite("calibrate", str(HERE / "test_thirty.py"), "--pairs", str(pairs), "-o", str(ours), *words)
        runs = [peer_run(Path(folder) / f"{number}.json", only=only) for number in range(peer_runs)]
        ratios = log_ratios(ours)
        by_share = {share: float(np.median(spreads(log_ratios(ours, share)))) for share in SHARES}
        pair_s, servers_s = durations(ours)
    found = {
        "condition": condition,
        "spread_by_share": by_share,
        "pairs": ratios,
        "pair_s": pair_s,
        "servers_s": servers_s,
        "peers": [data for data, _ in runs],
    }
    found["peers_s"] = [seconds for _, seconds in runs]
    (into / f"{condition}.json").write_text(json.dumps(found) + "\n")


def benchsuite(*words: str) -> None:
    """The command line; a gate's verdict is no failure."""
    done = subprocess.run([sys.executable, "-m", "benchsuite", *words], check=False)
    if done.returncode > 1:
        raise SystemExit(done.returncode)


def log_ratios(folder: Path, share: float = 1.0) -> dict[str, list[float]]:
    """log(head / base) of each pair, by workload, from the first `share` of each process's samples."""
    times = []
    for side in ("base", "head"):
        labels = {
            case["id"]: case["label"] for case in json.loads((folder / side / "manifest.json").read_text())["cases"]
        }
        rows = map(json.loads, (folder / side / "records.jsonl").read_text().splitlines())
        times.append(
            {(labels[r["case_id"]], r["replicate"]): early(r["result"], share) for r in rows if r["status"] == "ok"}
        )
    found: dict[str, list[float]] = {}
    for label, pair in sorted(times[0].keys() & times[1].keys()):
        name = label.partition("[")[2].rstrip("]")
        found.setdefault(name, []).append(round(math.log(times[1][label, pair] / times[0][label, pair]), 6))
    return found


def durations(folder: Path) -> tuple[float, float]:
    """Seconds of one pair of processes, and of starting the two servers of the next pair of each case."""
    times: dict[int, list[tuple[float, float]]] = {}
    for side in ("base", "head"):
        for row in map(json.loads, (folder / side / "records.jsonl").read_text().splitlines()):
            started = datetime.fromisoformat(row["started"]).timestamp()
            times.setdefault(row["replicate"], []).append((started, started + row["time_s"]))
    rounds = [
        (min(a for a, _ in found), max(b for _, b in found), len(found) / 2) for _, found in sorted(times.items())
    ]
    pair_s = [(end - begin) / cases for begin, end, cases in rounds]
    between_s = [after[0] - before[1] for before, after in itertools.pairwise(rounds)]
    return float(np.median(pair_s)), float(np.median(between_s))


def early(result: dict[str, Any], share: float) -> float:
    samples = result["samples_s"]
    return float(np.median(samples[: math.ceil(share * len(samples))]))


def spreads(pairs: dict[str, list[float]]) -> list[float]:
    """Of each workload's pairs, as a standard deviation that outliers do not move."""
    return [1.4826 * float(np.median(np.abs(values))) for values in pairs.values()]


def peer_run(path: Path, planted: str = "", only: str = "") -> tuple[Samples, float]:
    """Samples of one pytest-benchmark process with its own settings, thinned evenly, and the seconds it took."""
    started = time.monotonic()
    command = [sys.executable, "-m", "pytest", str(HERE / "peer_thirty.py"), "-q", f"--benchmark-json={path}"]
    command += ["-k", only] if only else []
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env={**os.environ, "PLANTED": planted})
    seconds = time.monotonic() - started
    data = {}
    for row in json.loads(path.read_text())["benchmarks"]:
        samples = np.asarray(row["stats"]["data"])
        kept = samples[np.linspace(0, len(samples) - 1, min(KEPT_SAMPLES, len(samples))).astype(int)]
        name = row["name"].partition("[")[2].rstrip("]")
        data[name] = [float(f"{s:.6g}") for s in kept]
    return data, seconds


def planted(condition: str, into: Path, pairs: int, minutes: float) -> None:
    """One gate and one pytest-benchmark comparison with really slower workloads."""
    names = sorted(json.loads((HERE / "quiet.json").read_text())["pairs"])
    random.Random(1).shuffle(names)
    plan: dict[str, float] = {}
    for share, count in MIX.items():
        plan |= {names.pop(): share for _ in range(count)}
    words = ",".join(f"{name}:{share}" for name, share in plan.items())
    with Neighbour(condition == "loaded"), tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "gate"
        benchsuite(
            "gate", str(HERE / "test_thirty.py"), "--base", ".", "--head", f"env:PLANTED={words}", f"--pairs={pairs}",
            f"--minutes={minutes}", "-o", str(out),
        )  # fmt: skip
        document = json.loads((out / "gate.json").read_text())
        base, base_s = peer_run(Path(folder) / "base.json")
        head, head_s = peer_run(Path(folder) / "head.json", words)
    verdicts = {row["case"].partition("[")[2].rstrip("]"): row["verdict"] for row in document["cases"]}
    rows = [
        {"workload": name, "planted": plan.get(name, 0.0), "gate": verdicts[name]}
        | {rule: bool(alarm(base[name], head[name])) for rule, alarm in PEERS.items()}
        for name in sorted(verdicts)
    ]
    found = {"condition": condition, "gate_s": document["time_s"], "peers_s": base_s + head_s, "rows": rows}
    (into / f"planted-{condition}.json").write_text(json.dumps(found, indent=1) + "\n")


# ---- the rules of other tools ------------------------------------------------------------------


def pytest_benchmark_mean(base: Values, head: Values) -> bool:
    """--benchmark-compare-fail=mean:5%"""
    return bool(np.mean(head) > 1.05 * np.mean(base))


def pytest_benchmark_min(base: Values, head: Values) -> bool:
    """--benchmark-compare-fail=min:5%"""
    return bool(np.min(head) > 1.05 * np.min(base))


def asv(base: Values, head: Values) -> bool:
    """asv continuous --factor 1.05: a two-sided U-test at 0.002 and a ratio of medians beyond the factor."""
    beyond = np.median(head) > 1.05 * np.median(base)
    return bool(beyond and stats.mannwhitneyu(base, head).pvalue < 0.002)


def action_benchmark(base: Values, head: Values) -> bool:
    """github-action-benchmark at its own threshold of 200%, of the mean rate."""
    return bool(np.mean(head) > 2.0 * np.mean(base))


def u_test(base: Values, head: Values) -> bool:
    """A one-sided U-test at 0.01 on the samples of one process a side."""
    return bool(stats.mannwhitneyu(head, base, alternative="greater").pvalue < 0.01)


PEERS = {
    "pytest-benchmark mean:5%": pytest_benchmark_mean,
    "pytest-benchmark min:5%": pytest_benchmark_min,
    "asv, factor 1.05": asv,
    "github-action-benchmark 200%": action_benchmark,
    "U-test, p < 0.01": u_test,
}
# What those rules compare with a threshold; larger is slower.
STATISTICS: dict[str, Callable[[Values, Values], Any]] = {
    "mean of head / base (pytest-benchmark, github-action-benchmark)": lambda base, head: np.mean(head) / np.mean(base),
    "least of head / base (pytest-benchmark)": lambda base, head: np.min(head) / np.min(base),
    "median of head / base (asv)": lambda base, head: np.median(head) / np.median(base),
    "U of the U-test": lambda base, head: stats.mannwhitneyu(head, base).statistic / (len(base) * len(head)),
}


# ---- analysis ----------------------------------------------------------------------------------


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
            ruled_out = (looks(catch - shifted) >= -math.log(rule.miss)) & (speedup <= 0)  # gate.settled
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


NEVER = 10**6


def looks(x: np.ndarray) -> np.ndarray:
    """The gate's wealth after every second pair, along the last axis."""
    return gate.wealths(x)[..., 1::2]


def first(wealth: np.ndarray, level: float | bool) -> np.ndarray:
    """Pairs at the first look at which a level is reached; NEVER where it is not."""
    reached = wealth >= level
    return np.where(reached.any(-1), 2 * (reached.argmax(-1) + 1), NEVER)


def gate_minutes(rates: dict[int, dict[float, dict[str, float]]]) -> tuple[int, float] | None:
    """The smallest budget with `ENOUGH` power at `AT`, and its minutes."""
    return next(((b, r[AT]["minutes"]) for b, r in rates.items() if r[AT]["cases"] >= ENOUGH), None)


def report(into: Path) -> None:
    recorded = {c: json.loads((into / f"{c}.json").read_text()) for c in CONDITIONS if (into / f"{c}.json").exists()}
    data: dict[str, Any] = {}
    lines = [
        "# The gate beside the rules of other tools",
        "",
        "Thirty workloads on one thread (`thirty.py`), all tools on the same machine, one after the other. Made by",
        "`python reports/gate/measure.py record quiet`, `… record loaded`, `… planted quiet`, `… report`.",
        "",
    ]
    for condition, found in recorded.items():
        pairs = found["pairs"]
        pair_s, servers_s = found["pair_s"], found["servers_s"]
        peer_s = float(np.mean(found["peers_s"]))
        spread = spreads(pairs)
        alarms = [c for c, d in decide(pairs, Rule()).items() if d.verdict in ("slower", "faster")]
        ours = gate_rates(pairs, pair_s, servers_s)
        peers = {count: peer_rates(found["peers"], count) for count in POOLED if 2 * count <= len(found["peers"])}
        needs = peer_needs(found["peers"], peer_s)
        data[condition] = {"spread": spread, "pair_s": pair_s, "peer_run_s": peer_s, "ours": ours, "peers": peers}
        data[condition]["peers_at_one_in_hundred"] = needs
        lines += [f"## {condition.capitalize()}", ""]
        lines += [
            f"Of a pair's ratio the spread is {100 * min(spread):.1f} to {100 * max(spread):.1f}% (median workload "
            f"{100 * float(np.median(spread)):.1f}%). A pair takes {pair_s:.2f} s and the servers of a round "
            f"{servers_s:.1f} s, a run of pytest-benchmark over all {len(pairs)} {peer_s:.0f} s. Alarms of the gate in "
            f"the {len(next(iter(pairs.values())))} recorded pairs of equals: {len(alarms)}. {leaning(pairs)} "
            + sampled(found["spread_by_share"]),
            "",
            "| rule | minutes | alarms in suites of equals | "
            + " | ".join(f"found at {s:.0%}" for s in SLOWDOWNS[1:])
            + " |",
            "|---|---|---|" + "---|" * len(SLOWDOWNS[1:]),
        ]
        for most in SHOWN:
            lines.append(row(f"benchsuite gate, {most} pairs at most", ours[most], ours[most][AT]["minutes"], 1))
        for count, rules in peers.items():
            for rule, rates in rules.items():
                name = rule + (f", {count} runs a side" if count > 1 else "")
                lines.append(row(name, rates, 2 * count * peer_s / 60, 0))
        unclear = ", ".join(f"{ours[SHOWN[-1]][s]['unclear']:.1%} at {s:.0%}" for s in SLOWDOWNS)
        lines += ["", f"Of the gate's cases {unclear} stay unclear after {SHOWN[-1]} pairs: said, not guessed.", ""]
        lines += budgets(ours) + decisions(ours, needs, peers)
    lines += [
        f"The gate's rows are simulated from the recorded pairs ({SUITES} suites of equals, {SHIFTED_SUITES} for each",
        "slow case, the rule as shipped, a look after every second pair). The other tools' rows are all comparisons of",
        "their recorded runs, times multiplied. At 1 and 2% an alarm is below the margin: 0 is right.",
        "",
    ]
    for path in sorted(into.glob("planted-*.json")):
        lines += real(json.loads(path.read_text()))
    (into / "data.json").write_text(json.dumps(data, indent=1) + "\n")
    (into / "report.md").write_text("\n".join(lines))
    curves(data, into / "curves.svg")


def leaning(pairs: dict[str, list[float]]) -> str:
    """Whether equals lean to a side, which random signs would hide: signed ranks (Wilcoxon 1945) by Holm's limits."""
    values = [float(stats.wilcoxon(x).pvalue) for x in pairs.values()]
    adjusted = holm(values)
    return (
        f"To one side lean {sum(p < 0.05 for p in adjusted)} of {len(values)} workloads (signed ranks; smallest p "
        f"{min(values):.2g}, after Holm {min(adjusted):.2g})."
    )


def sampled(by_share: dict[str, float]) -> str:
    """What longer sampling in a process would bring."""
    told = ", ".join(f"{100 * spread:.1f}% with {float(share):.0%}" for share, spread in by_share.items())
    return f"By how much of each process's samples is used, the median workload's spread is {told}."


def row(name: str, rates: dict[float, dict[str, float]], minutes: float, digits: int) -> str:
    cells = " | ".join(f"{rates[s]['cases']:.{digits}%}" for s in SLOWDOWNS[1:])
    return f"| {name} | {minutes:.1f} | {rates[0.0]['suites']:.{digits}%} | {cells} |"


def budgets(ours: dict[int, dict[float, dict[str, float]]]) -> list[str]:
    """Power against minutes: only what is undecided is measured on."""
    lines = ["| pairs of a case, at most | minutes of the suite | found at 3% | found at 5% | found at 10% |"]
    lines += ["|---|---|---|---|---|"]
    for budget, rates in ours.items():
        cells = " | ".join(f"{rates[s]['cases']:.1%}" for s in (0.03, 0.05, 0.10))
        lines.append(f"| {budget} | {rates[AT]['minutes']:.1f} | {cells} |")
    return [*lines, ""]


def decisions(
    ours: dict[int, dict[float, dict[str, float]]],
    needs: dict[str, dict[str, Any]],
    peers: dict[int, dict[str, dict[float, dict[str, float]]]],
) -> list[str]:
    """Time to decision at one power, each at the same rate of false alarms."""
    known = gate_minutes(ours)
    told = f"never within {BUDGETS[-1]} pairs" if known is None else f"{known[1]:.1f} ({known[0]} pairs at most)"
    best = max(rates[AT]["cases"] for rates in ours.values())
    lines = [
        f"Minutes until a slowdown of {AT:.0%} is found with {ENOUGH:.0%}, where at most one suite of equals in a "
    ]
    lines[-1] += "hundred alarms (the other tools' thresholds raised until that holds for the recorded runs):"
    lines += [
        "",
        "| decided by | minutes | largest power |",
        "|---|---|---|",
        f"| benchsuite gate | {told} | {best:.1%} |",
    ]
    for name, need in needs.items():
        told = f"never within {RUNS[-1]} runs a side" if need["minutes"] is None else f"{need['minutes']:.1f}"
        lines.append(f"| {name} | {told} | {max(need['power'].values()):.0%} |")
    rules = [f"{rule} {max(rates[rule][AT]['cases'] for rates in peers.values()):.0%}" for rule in PEERS]
    return [*lines, "", f"As they are, these find at {AT:.0%} at most: {', '.join(rules)}.", ""]


def bets() -> None:
    """The power and the minutes of other grids of bets, so that the choice can be checked."""
    print(
        "| grid | condition | found at 5%, 80 pairs | 150 | 400 | found at 10%, 80 pairs | minutes, 150 pairs | 400 |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for name, (rates, stakes) in GRIDS.items():
        gate.RATES, gate.STAKES = np.array(rates), np.array(stakes)
        for condition in CONDITIONS:
            found = json.loads((HERE / f"{condition}.json").read_text())
            ours = gate_rates(found["pairs"], found["pair_s"], found["servers_s"], (0.0, 0.05, 0.10))
            cells = [f"{ours[most][0.05]['cases']:.1%}" for most in (80, 150, 400)]
            cells += [f"{ours[80][0.10]['cases']:.1%}"]
            cells += [f"{ours[most][0.05]['minutes']:.1f}" for most in (150, 400)]
            print(f"| {name} | {condition} | " + " | ".join(cells) + " |", flush=True)


def real(found: dict[str, Any]) -> list[str]:
    """The table of really planted slowdowns."""
    rows = found["rows"]
    rules = ["gate", *PEERS]
    lines = [f"## Really planted, {found['condition']}", ""]
    lines += [f"One gate ({found['gate_s'] / 60:.1f} minutes) and one comparison of two runs of pytest-benchmark "]
    lines[-1] += f"({found['peers_s'] / 60:.1f} minutes). Workloads called slower, of those with that much planted:"
    lines += ["", "| planted | workloads | " + " | ".join(rules) + " |", "|---|---|" + "---|" * len(rules)]
    for share in SLOWDOWNS:
        those = [row for row in rows if row["planted"] == share]
        counts = [sum(row[rule] in ("slower", True) for row in those) for rule in rules]
        lines.append(f"| {share:.0%} | {len(those)} | " + " | ".join(map(str, counts)) + " |")
    unclear = sum(row["gate"] == "unclear" for row in rows)
    return [*lines, "", f"The gate left {unclear} of {len(rows)} unclear.", ""]


def curves(data: dict[str, Any], path: Path) -> None:
    import matplotlib

    matplotlib.use("svg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, len(data), figsize=(4.6 * len(data), 3.6), sharey=True, squeeze=False)
    x = [100 * s for s in SLOWDOWNS]
    for axis, (condition, found) in zip(axes[0], data.items(), strict=True):
        for most, style in zip(SHOWN, (":", "--", "-"), strict=True):
            rates = found["ours"][most]
            axis.plot(
                x,
                [100 * rates[s]["cases"] for s in SLOWDOWNS],
                style,
                color="black",
                lw=2.2,
                label=f"gate, {most} pairs",
            )
        for rule, rates in found["peers"][1].items():
            axis.plot(x, [100 * rates[s]["cases"] for s in SLOWDOWNS], lw=1.1, label=rule)
        axis.axvspan(0, 2, color="0.93")
        axis.set_title(f"{condition}: median pair spread {100 * float(np.median(found['spread'])):.1f}%", fontsize=9)
        axis.set_xlabel("planted slowdown, %")
    axes[0][0].set_ylabel("cases with an alarm, %")
    figure.legend(*axes[0][0].get_legend_handles_labels(), fontsize=7.5, frameon=False, ncols=4, loc="lower center")
    figure.tight_layout(rect=(0, 0.13, 1, 1))
    figure.savefig(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("record", "planted"):
        command = commands.add_parser(name)
        command.add_argument("condition", choices=CONDITIONS)
        command.add_argument("--pairs", type=int, default=PAIRS if name == "record" else SHOWN[-1])
        if name == "record":
            command.add_argument("--runs", type=int, default=PEER_RUNS)
            command.add_argument("--only", default="")
        else:
            command.add_argument("--minutes", type=float, default=12.0)
        command.add_argument("--into", type=Path, default=HERE)
    commands.add_parser("report").add_argument("--into", type=Path, default=HERE)
    commands.add_parser("bets")
    commands.add_parser("neighbour")
    arguments = parser.parse_args()
    match arguments.command:
        case "record":
            record(arguments.condition, arguments.into, arguments.pairs, arguments.runs, arguments.only)
        case "planted":
            planted(arguments.condition, arguments.into, arguments.pairs, arguments.minutes)
        case "report":
            report(arguments.into)
        case "bets":
            bets()
        case _:
            neighbour()


if __name__ == "__main__":
    main()
