"""Tables, curves and data from what was recorded: `report.md`, `data.json` and `curves.svg`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from benchsuite.report.chart import Axis, Chart, panels, series
from benchsuite.report.render import standalone
from benchsuite.stats.decisions import Rule, decide
from benchsuite.stats.intervals import holm
from benchsuite.studies.gate.recordings import CONDITIONS, spreads
from benchsuite.studies.gate.rules import PEERS
from benchsuite.studies.gate.simulation import (
    AT,
    BUDGETS,
    ENOUGH,
    RUNS,
    SHIFTED_SUITES,
    SLOWDOWNS,
    SUITES,
    gate_minutes,
    gate_rates,
    peer_needs,
    peer_rates,
)

SHOWN = (40, 150, 400)  # pairs of a case, at most
POOLED = (1, 3)  # runs a side of the other tools in the tables


def report(into: Path) -> None:
    recorded = {c: json.loads((into / f"{c}.json").read_text()) for c in CONDITIONS if (into / f"{c}.json").exists()}
    data: dict[str, Any] = {}
    lines = [
        "# The gate beside the rules of other tools",
        "",
        "Thirty workloads on one thread (`thirty.py`), all tools on the same machine, one after the other. Made by",
        "`python -m benchsuite.studies.gate.measure record quiet`, `… record loaded`, `… planted quiet`, `… report`.",
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
    """Test equal programs for a lean to one side, by signed ranks (Wilcoxon 1945) and Holm's limits."""
    values = [float(stats.wilcoxon(x).pvalue) for x in pairs.values()]
    adjusted = holm(values)
    return (
        f"To one side lean {sum(p < 0.05 for p in adjusted)} of {len(values)} workloads (signed ranks; smallest p "
        f"{min(values):.2g}, after Holm {min(adjusted):.2g})."
    )


def sampled(by_share: dict[str, float]) -> str:
    """Return the gain of longer sampling in a process."""
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
    """Write the figure: cases with an alarm against the planted slowdown, a panel for each condition."""
    x = Axis("planted slowdown, %", 0, 100 * max(SLOWDOWNS))
    y = Axis("cases with an alarm, %", 0, 100)
    charts = []
    for condition, found in data.items():
        spread = 100 * float(np.median(found["spread"]))
        chart = Chart(520, 400, x, y, top=34)
        chart.write(0, 16, f"{condition}: median pair spread {spread:.1f}%", "title")
        chart.rule(x=2, classes="rule dashed")
        ours = {f"gate, {most} pairs": found["ours"][most] for most in SHOWN}
        for place, (name, rates) in enumerate((ours | found["peers"][1]).items()):
            classes = series(max(0, place - len(ours) + 1)) + (
                "" if place >= len(ours) else (" thin", "", " strong")[place]
            )
            chart.line([(100 * s, 100 * rates[s]["cases"]) for s in SLOWDOWNS], classes, name)
            chart.write(chart.width - 16, 228 + 16 * place, name, f"key {classes.split()[0]}", "end")
        charts.append(chart)
    path.write_text(
        standalone(panels(520 * len(charts) + 18 * (len(charts) - 1), charts, len(charts))), encoding="utf-8"
    )
