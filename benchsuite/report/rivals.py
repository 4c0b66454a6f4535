"""Our code beside others': the tables of the suites `operators` and `peers`, from the records of a run.

A ratio is a rival's time over ours, so above 1 ours is faster. It rests on rounds of processes that took turns, as
every comparison of a run does (`benchsuite.stats.speed`).
"""

from __future__ import annotations

import math
import re
import shlex
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from benchsuite import format as fmt
from benchsuite import text
from benchsuite.records.case import MEASURED
from benchsuite.records.load import Run
from benchsuite.records.schema import Comparison
from benchsuite.report.speed import speed_and_memory, timed
from benchsuite.stats.speed import SpeedComparison, mean_ratio, paired_logs

SCHEMA_VERSION = 1
KINDS = ("operator", "peer")  # of the comparisons that are shown
WAYS = {"fwd": "forward", "fwd+bwd": "forward and backward", "step": "a training step"}
HEAD = ("shapes", "eager's time over ours", "best rival's time over ours", "worst of the shapes")
_RATIO = re.compile(r"[\d.,x\[\] ]*")  # a number or an interval, which needs no escapes
RATIOS = (
    "Ratios are a rival's time over ours, so above 1 ours is faster; brackets hold 95% intervals over rounds of fresh"
    " processes that take turns."
)
FIGURES = (
    "Bandwidth: the least that must move, as a share of what the cache that holds it, or else memory, reaches here."
    " Arithmetic: of the best matrix product. A figure above a measured peak has no share. Memory: the peak of ours"
    " over that of eager, inputs and gradients included."
)


@dataclass(frozen=True)
class Rival:
    """One rival of a row: its time over ours with an interval, and the verdict on ours; `reason` where it has no ratio.
    `logs` are the ratios of the rounds as logarithms, `memory` is our peak over its own."""

    name: str
    ratio: float | None
    low: float | None
    high: float | None
    verdict: str
    rounds: int
    reason: str | None
    memory: float | None
    time_s: float | None
    logs: tuple[float, ...]


@dataclass(frozen=True)
class Row:
    """One of ours at one shape, with all its rivals. Fractions are of the measured peaks; None where unknown."""

    name: str
    shape: str
    direction: str
    dtype: str
    implementation: str
    time_s: float | None
    bandwidth: float | None
    arithmetic: float | None
    rivals: tuple[Rival, ...]

    @property
    def measured(self) -> tuple[Rival, ...]:
        """The rivals that have a ratio."""
        return tuple(rival for rival in self.rivals if rival.ratio is not None)


@dataclass(frozen=True)
class Summary:
    """All shapes of one operator: geometric means of the ratios to eager and to the best rival of each shape, and the
    worst ratio to a best rival with its shape."""

    name: str
    shapes: int
    eager: SpeedComparison
    best: SpeedComparison
    worst: Rival
    worst_shape: str


def rows(run: Run) -> list[Row]:
    """Return a row for each of our cases that is compared with rivals, in the order of the manifest."""
    found: dict[str, list[Comparison]] = {}
    for comparison in run.manifest.comparisons:
        if comparison.component in KINDS:
            found.setdefault(comparison.case, []).append(comparison)
    return [_row(run, comparisons) for comparisons in found.values()]


def _row(run: Run, comparisons: Sequence[Comparison]) -> Row:
    first = comparisons[0]
    results = [r.speed for r in run.records.get(first.case, {}).values() if r.speed is not None]
    distances = [result.roofline for result in results if result.roofline is not None]
    return Row(
        name=first.variant,
        shape=first.shape or "",
        direction=first.direction or "",
        dtype=first.dtype or "",
        implementation=first.implementation or "",
        time_s=_median(result.time_s for result in results),
        bandwidth=_median(distance.memory_fraction for distance in distances),
        arithmetic=_median(distance.compute_fraction for distance in distances),
        rivals=tuple(_rival(run, comparison) for comparison in comparisons),
    )


def _rival(run: Run, comparison: Comparison) -> Rival:
    speed, memory = speed_and_memory(run, comparison)
    ours, theirs = (timed(run.records.get(one, {}).values()) for one in (comparison.case, comparison.base_case))
    return Rival(
        name=comparison.baseline,
        ratio=speed["ratio"],
        low=speed["low"],
        high=speed["high"],
        verdict=speed["verdict"],
        rounds=speed["replicates"],
        reason=speed["reason"],
        memory=memory["ratio"],
        time_s=_median(float(statistics.median(one.times_s)) for one in theirs),
        logs=tuple(paired_logs(ours, theirs)),
    )


def _median(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


def wrong(run: Run) -> list[str]:
    """Return what was checked, or timed and then checked, and was not right, each with its reason."""
    return [
        f"{case.label}: {record.status}, {record.reason}"
        for case in run.manifest.cases
        for record in run.records.get(case.id, {}).values()
        if record.status not in (*MEASURED, "skipped", "unsupported")
    ]


def checks(run: Run) -> tuple[int, int]:
    """Return how many checks against float64 there are, and how many of them passed."""
    cases = [case for case in run.manifest.cases if case.kind == "check" and not case.unsupported]
    passed = [case for case in cases if any(r.status == "ok" for r in run.records.get(case.id, {}).values())]
    return len(cases), len(passed)


def summaries(run: Run) -> list[Summary]:
    """Return a summary of each operator, forward and backward. One that failed a check has none: it is wrong, however
    fast."""
    bad = {
        case.params["variant"]
        for case in run.manifest.cases
        if case.kind == "check" and any(r.status not in MEASURED for r in run.records.get(case.id, {}).values())
        if not case.unsupported
    }
    families: dict[str, list[Row]] = {}
    for row in rows(run):
        compared = any(rival.name == "eager" for rival in row.measured)
        if row.direction == "fwd+bwd" and compared and row.name not in bad:
            families.setdefault(row.name, []).append(row)
    found = []
    for name, group in families.items():
        best = {row.shape: min(row.measured, key=lambda rival: rival.ratio or math.inf) for row in group}
        eager = [rival for row in group for rival in row.measured if rival.name == "eager"]
        shape = min(best, key=lambda one: best[one].ratio or math.inf)
        means = mean_ratio([rival.logs for rival in eager]), mean_ratio([rival.logs for rival in best.values()])
        found.append(Summary(name, len(group), *means, best[shape], shape))
    return found


def summary_table(run: Run) -> list[list[str]]:
    """Return the summary as text, its head first: the table of the README."""
    described = {(WAYS.get(row.direction, row.direction), row.dtype) for row in rows(run) if row.direction == "fwd+bwd"}
    table = [[", ".join(["operator", *max(described, default=())]), *HEAD]]
    for one in summaries(run):
        ratios = [fmt.ratio(x.ratio, x.low, x.high) for x in (one.eager, one.best, one.worst)]
        table.append([one.name, str(one.shapes), *ratios])
    return table


def shapes_table(run: Run, direction: str) -> list[list[str]]:
    """Return every shape in one direction as text, its head first."""
    chosen = [row for row in rows(run) if row.direction == direction]
    rivals = list(dict.fromkeys(rival.name for row in chosen for rival in row.measured))
    table = [["operator", "ours", *rivals, "bandwidth", "arithmetic", "memory over eager's"]]
    for row in chosen:
        known = {rival.name: rival for rival in row.rivals}
        ratios = [_ratio(known[name]) if name in known else "" for name in rivals]
        memory = known["eager"].memory if "eager" in known else None
        figures = (fmt.percent(row.bandwidth), fmt.percent(row.arithmetic), fmt.ratio(memory))
        table.append([f"{row.name}/{row.shape}", fmt.seconds(row.time_s), *ratios, *figures])
    return table


def pairs_table(run: Run) -> list[list[str]]:
    """Return a line for each pair of ours and a peer as text, the head first."""
    table = [["what", "ours", "peer", "its time over ours", "verdict", "time of ours", "of the peer's"]]
    for row in rows(run):
        for rival in row.rivals:
            verdict = rival.verdict + (f" ({rival.reason})" if rival.reason else "")
            times = (fmt.seconds(row.time_s), fmt.seconds(rival.time_s))
            what = WAYS.get(row.direction, row.name) if row.name == "step" else row.name
            table.append([what, row.implementation, rival.name, _ratio(rival), verdict, *times])
    return table


def _ratio(rival: Rival) -> str:
    return fmt.ratio(rival.ratio, rival.low, rival.high)


def tables(run: Run) -> list[tuple[str, str, list[list[str]]]]:
    """Return what there is to show of a run: a title, a sentence and a table of text, the head first."""
    if not any(comparison.component == "operator" for comparison in run.manifest.comparisons):
        pairs = pairs_table(run)
        return [("Pairs", RATIOS, pairs)] if len(pairs) > 1 else []
    found = [("Summary", RATIOS, summary_table(run))]
    for direction in dict.fromkeys(row.direction for row in rows(run)):
        dtypes = ", ".join(dict.fromkeys(row.dtype for row in rows(run) if row.direction == direction))
        title = f"Every shape, {WAYS.get(direction, direction)}, {dtypes}"
        found.append((title, FIGURES, shapes_table(run, direction)))
    return [part for part in found if len(part[2]) > 1]


def not_compared(run: Run) -> list[str]:
    """Return why pairs have no ratio, each reason once with the first pair and their number; what this machine cannot
    run is left to the report of the run."""
    found: dict[str, list[str]] = {}
    for row in rows(run):
        for rival in row.rivals:
            if rival.ratio is None and rival.reason and not rival.reason.startswith("baseline: unsupported"):
                found.setdefault(rival.reason, []).append(f"{row.name}/{row.shape} beside {rival.name}")
    return [
        f"not compared: {pairs[0]}{f' and {len(pairs) - 1} more' if pairs[1:] else ''}: {reason}"
        for reason, pairs in found.items()
    ]


def headline(run: Run) -> str:
    """Return what was checked, in a sentence; empty where nothing was."""
    total, passed = checks(run)
    return f"{passed} of {total} checks against float64 passed, each of an operator in a type." if total else ""


def document(run: Run) -> dict[str, Any]:
    """Return everything as one JSON-ready document."""
    total, passed = checks(run)
    return {
        "schema_version": SCHEMA_VERSION,
        "run": run.name,
        "checks": total,
        "passed": passed,
        "wrong": wrong(run),
        "not_compared": not_compared(run),
        "summary": [asdict(summary) for summary in summaries(run)],
        "rows": [asdict(row) for row in rows(run)],
    }


def markdown(run: Run) -> str:
    """Return everything as a page of Markdown, with the command that made it."""
    machine = run.manifest.hardware.identity
    parts = [f"# {run.manifest.suite}", f"`{shlex.join(run.manifest.command)}`", headline(run)]
    parts.append(f"On {machine.get('cpu')}, torch {machine.get('torch')}, device {run.manifest.device}.")
    parts += [f"* {text.markdown(one)}" for one in (*wrong(run), *not_compared(run))]
    for title, sentence, table in tables(run):
        parts += [f"## {title}", sentence, as_markdown(table)]
    return "\n\n".join(part for part in parts if part) + "\n"


def as_markdown(table: Sequence[Sequence[str]]) -> str:
    """Return a table of text, its head first, in Markdown."""
    head, *lines = table
    cells = (" | ".join(cell if _RATIO.fullmatch(cell) else text.markdown(cell) for cell in line) for line in lines)
    return "\n".join([f"| {' | '.join(head)} |", "|" + "---|" * len(head), *(f"| {line} |" for line in cells)])


def show(run: Run, console: Any) -> None:
    """Print everything to a rich console."""
    from rich.table import Table

    from benchsuite import terminal

    for sentence in filter(None, (headline(run), *wrong(run), *not_compared(run))):
        console.print(sentence, markup=False)
    for title, sentence, (head, *lines) in tables(run):
        table = Table(*head, box=None, header_style="bold", pad_edge=False, title=title, title_justify="left")
        for line in lines:
            table.add_row(*map(_literal, line))
        terminal.show(table, console)
        console.print(sentence, style="dim", markup=False)


def _literal(cell: str) -> Any:
    from rich.text import Text

    return Text(cell)
