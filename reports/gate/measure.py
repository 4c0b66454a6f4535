"""The gate beside the rules of other tools: false alarms, power and time, from what this machine really does.

    python reports/gate/measure.py record quiet       # A against A: pairs of ours, runs of pytest-benchmark
    python reports/gate/measure.py record loaded      # the same beside a neighbour that comes and goes
    python reports/gate/measure.py planted quiet      # really slower workloads, a mix of shares, gated once
    python reports/gate/measure.py report             # tables, curves and data from what was recorded

All tools time the same thirty workloads (thirty.py) on one thread. Slowdowns in the tables are the recorded noise of
equal programs times a factor; suites are drawn from it again and again. `planted` checks that with real ones.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from benchsuite.stats.gate import RATES, STAKE, Rule, decide

HERE = Path(__file__).parent
PAIRS, PEER_RUNS, KEPT_SAMPLES = 16, 6, 100
SUITES = 1000
MOST_PAIRS = (40, 150)
SLOWDOWNS = (0.0, 0.01, 0.02, 0.03, 0.05, 0.10)
MIX = {0.01: 3, 0.02: 3, 0.03: 3, 0.05: 3, 0.10: 3}  # planted: so many workloads each, the rest unchanged
CONDITIONS = ("quiet", "loaded")

Samples = dict[str, list[float]]


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


def record(condition: str) -> None:
    with Neighbour(condition == "loaded"), tempfile.TemporaryDirectory() as folder:
        started = time.monotonic()
        ours = Path(folder) / "calibration"
        benchsuite("calibrate", str(HERE / "test_thirty.py"), "--pairs", str(PAIRS), "-o", str(ours))
        ours_s = time.monotonic() - started
        runs = [peer_run(Path(folder) / f"{number}.json") for number in range(PEER_RUNS)]
        pairs = log_ratios(ours)
    found = {"condition": condition, "pairs": pairs, "pairs_s": ours_s, "peers": [data for data, _ in runs]}
    found["peers_s"] = [seconds for _, seconds in runs]
    (HERE / f"{condition}.json").write_text(json.dumps(found) + "\n")


def benchsuite(*words: str) -> None:
    """The command line; a gate's verdict is no failure."""
    done = subprocess.run([sys.executable, "-m", "benchsuite", *words], check=False)
    if done.returncode > 1:
        raise SystemExit(done.returncode)


def log_ratios(folder: Path) -> dict[str, list[float]]:
    """log(head / base) of each pair, by workload."""
    times = []
    for side in ("base", "head"):
        labels = {
            case["id"]: case["label"] for case in json.loads((folder / side / "manifest.json").read_text())["cases"]
        }
        rows = map(json.loads, (folder / side / "records.jsonl").read_text().splitlines())
        times.append(
            {(labels[r["case_id"]], r["replicate"]): r["result"]["time_s"] for r in rows if r["status"] == "ok"}
        )
    found: dict[str, list[float]] = {}
    for label, pair in sorted(times[0].keys() & times[1].keys()):
        name = label.partition("[")[2].rstrip("]")
        found.setdefault(name, []).append(round(math.log(times[1][label, pair] / times[0][label, pair]), 6))
    return found


def peer_run(path: Path, planted: str = "") -> tuple[Samples, float]:
    """Samples of one pytest-benchmark process with its own settings, thinned evenly, and the seconds it took."""
    started = time.monotonic()
    command = [sys.executable, "-m", "pytest", str(HERE / "peer_thirty.py"), "-q", f"--benchmark-json={path}"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env={**os.environ, "PLANTED": planted})
    seconds = time.monotonic() - started
    data = {}
    for row in json.loads(path.read_text())["benchmarks"]:
        samples = np.asarray(row["stats"]["data"])
        kept = samples[np.linspace(0, len(samples) - 1, min(KEPT_SAMPLES, len(samples))).astype(int)]
        name = row["name"].partition("[")[2].rstrip("]")
        data[name] = [float(f"{s:.6g}") for s in kept]
    return data, seconds


def planted(condition: str) -> None:
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
            "gate", str(HERE / "test_thirty.py"), "--base", ".", "--head", f"env:PLANTED={words}", "--pairs=150",
            "--minutes=8", "-o", str(out),
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
    (HERE / f"planted-{condition}.json").write_text(json.dumps(found, indent=1) + "\n")


# ---- the rules of other tools ------------------------------------------------------------------


def pytest_benchmark_mean(base: list[float], head: list[float]) -> bool:
    """--benchmark-compare-fail=mean:5%"""
    return bool(np.mean(head) > 1.05 * np.mean(base))


def pytest_benchmark_min(base: list[float], head: list[float]) -> bool:
    """--benchmark-compare-fail=min:5%"""
    return min(head) > 1.05 * min(base)


def asv(base: list[float], head: list[float]) -> bool:
    """asv continuous --factor 1.05: a two-sided U-test at 0.002 and a ratio of medians beyond the factor."""
    beyond = np.median(head) > 1.05 * np.median(base)
    return bool(beyond and stats.mannwhitneyu(base, head).pvalue < 0.002)


def action_benchmark(base: list[float], head: list[float]) -> bool:
    """github-action-benchmark at its own threshold of 200%, of the mean rate."""
    return bool(np.mean(head) > 2.0 * np.mean(base))


def u_test(base: list[float], head: list[float]) -> bool:
    """A one-sided U-test at 0.01 on the samples of one process a side."""
    return bool(stats.mannwhitneyu(head, base, alternative="greater").pvalue < 0.01)


PEERS = {
    "pytest-benchmark mean:5%": pytest_benchmark_mean,
    "pytest-benchmark min:5%": pytest_benchmark_min,
    "asv, factor 1.05": asv,
    "github-action-benchmark 200%": action_benchmark,
    "U-test, p < 0.01": u_test,
}


# ---- analysis ----------------------------------------------------------------------------------


def peer_rates(runs: list[Samples], pooled: int) -> dict[str, dict[float, dict[str, float]]]:
    """For each rule and slowdown: the share of suites with any alarm, and of cases with one. A suite compares `pooled`
    runs of base with as many of head: all choices of neighbouring runs, in either order."""
    starts = range(len(runs) - 2 * pooled + 1)
    choices = [(runs[i : i + pooled], runs[i + pooled : i + 2 * pooled]) for i in starts]
    choices += [(head, base) for base, head in choices]
    rates: dict[str, dict[float, dict[str, float]]] = {}
    for rule, alarm in PEERS.items():
        for slowdown in SLOWDOWNS:
            suites = []
            for base, head in choices:
                join = lambda side, name: [s for run in side for s in run[name]]  # noqa: E731
                slower = {n: [s * (1 + slowdown) for s in join(head, n)] for n in runs[0]}
                suites.append([alarm(join(base, n), slower[n]) for n in runs[0]])
            rates.setdefault(rule, {})[slowdown] = {
                "suites": float(np.mean([any(suite) for suite in suites])),
                "cases": float(np.mean(suites)),
            }
    return rates


def gate_rates(pairs: dict[str, list[float]], most: int, pair_s: float) -> dict[float, dict[str, float]]:
    """The gate's own rule on suites drawn from recorded pairs with random signs; a slowdown is planted in one case of
    thirty. It looks after every second pair, and a case that is decided is measured no more."""
    rule, draw = Rule(), np.random.default_rng(0)
    names = list(pairs)
    x = np.stack([draw.choice(np.asarray(pairs[n]), (SUITES, most)) for n in names])
    x *= draw.choice([-1.0, 1.0], x.shape)
    margin, catch = math.log1p(rule.margin), math.log1p(rule.catch)
    alone = math.log(len(names) / rule.false_alarm)
    found = {}
    for slowdown in SLOWDOWNS:
        shifted = x + math.log1p(slowdown)
        slower = first(wealth(shifted - margin), alone)
        faster = first(wealth(-shifted - margin), alone)
        same = first(wealth(catch - shifted), -math.log(rule.miss))
        end = np.minimum(np.minimum(slower, same), np.minimum(faster, most))
        alarmed = (slower <= same) & (slower < NEVER)
        found[slowdown] = {
            "suites": float(alarmed.any(0).mean()) if slowdown == 0 else float("nan"),
            "cases": float(alarmed.mean()),
            "unclear": float(((slower == NEVER) & (same == NEVER) & (faster == NEVER)).mean()),
            "minutes": float(end.sum(0).mean() * pair_s / 60),
        }
    return found


NEVER = 10**6


def wealth(x: np.ndarray) -> np.ndarray:
    """benchsuite.stats.gate.wealth after every second pair, along the last axis."""
    total = np.stack([np.log1p(STAKE * np.tanh(rate * x)).cumsum(-1)[..., 1::2] for rate in RATES])
    return np.logaddexp.reduce(total, axis=0) - math.log(len(RATES))


def first(looks: np.ndarray, level: float) -> np.ndarray:
    """Pairs at the first look at which a level is reached; NEVER where it is not."""
    reached = looks >= level
    return np.where(reached.any(-1), 2 * (reached.argmax(-1) + 1), NEVER)


def report() -> None:
    recorded = {c: json.loads((HERE / f"{c}.json").read_text()) for c in CONDITIONS if (HERE / f"{c}.json").exists()}
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
        pair_s = found["pairs_s"] / sum(len(values) for values in pairs.values())
        peer_s = float(np.mean(found["peers_s"]))
        spread = [1.4826 * float(np.median(np.abs(values))) for values in pairs.values()]
        alarms = [c for c, d in decide(pairs, Rule()).items() if d.verdict in ("slower", "faster")]
        ours = {most: gate_rates(pairs, most, pair_s) for most in MOST_PAIRS}
        pooled = max(1, len(found["peers"]) // 2)
        peers = {count: peer_rates(found["peers"], count) for count in dict.fromkeys((1, pooled))}
        data[condition] = {"spread": spread, "pair_s": pair_s, "peer_run_s": peer_s, "ours": ours, "peers": peers}
        lines += [f"## {condition.capitalize()}", ""]
        lines += [
            f"Of a pair's ratio the spread is {100 * min(spread):.1f} to {100 * max(spread):.1f}% (median workload "
            f"{100 * float(np.median(spread)):.1f}%). A pair takes {pair_s:.2f} s, a run of pytest-benchmark over all "
            f"thirty {peer_s:.0f} s. Alarms of the gate in the {PAIRS} recorded pairs of equals: {len(alarms)}.",
            "",
            "| rule | minutes | alarms in suites of equals | "
            + " | ".join(f"found at {s:.0%}" for s in SLOWDOWNS[1:])
            + " |",
            "|---|---|---|" + "---|" * len(SLOWDOWNS[1:]),
        ]
        for most, rates in ours.items():
            cells = " | ".join(f"{rates[s]['cases']:.0%}" for s in SLOWDOWNS[1:])
            name = f"benchsuite gate, {most} pairs at most"
            lines.append(f"| {name} | {rates[0.0]['minutes']:.1f} | {rates[0.0]['suites']:.1%} | {cells} |")
        for count, rules in peers.items():
            for rule, rates in rules.items():
                cells = " | ".join(f"{rates[s]['cases']:.0%}" for s in SLOWDOWNS[1:])
                name = rule + (f", {count} runs a side" if count > 1 else "")
                minutes = 2 * count * peer_s / 60
                lines.append(f"| {name} | {minutes:.1f} | {rates[0.0]['suites']:.0%} | {cells} |")
        unclear = ", ".join(f"{ours[MOST_PAIRS[-1]][s]['unclear']:.0%} at {s:.0%}" for s in SLOWDOWNS)
        lines += [
            "",
            f"Of the gate's cases {unclear} stay unclear after {MOST_PAIRS[-1]} pairs: said, not guessed.",
            "",
        ]
    lines += [
        "The gate's rows are simulated from the recorded pairs (1000 suites each, the rule as shipped, a look after",
        "every second pair). The other tools' rows are all comparisons of their recorded runs, times multiplied.",
        "At 1 and 2% an alarm is below the margin: 0 is right.",
        "",
    ]
    for path in sorted(HERE.glob("planted-*.json")):
        lines += real(json.loads(path.read_text()))
    (HERE / "data.json").write_text(json.dumps(data, indent=1) + "\n")
    (HERE / "report.md").write_text("\n".join(lines))
    curves(data)


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


def curves(data: dict[str, Any]) -> None:
    import matplotlib

    matplotlib.use("svg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, len(data), figsize=(4.6 * len(data), 3.6), sharey=True, squeeze=False)
    x = [100 * s for s in SLOWDOWNS]
    for axis, (condition, found) in zip(axes[0], data.items(), strict=True):
        for most, style in zip(MOST_PAIRS, (":", "-"), strict=True):
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
    figure.savefig(HERE / "curves.svg")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("record", "planted"):
        commands.add_parser(name).add_argument("condition", choices=CONDITIONS)
    commands.add_parser("report")
    commands.add_parser("neighbour")
    arguments = parser.parse_args()
    match arguments.command:
        case "record":
            record(arguments.condition)
        case "planted":
            planted(arguments.condition)
        case "report":
            report()
        case _:
            neighbour()


if __name__ == "__main__":
    main()
