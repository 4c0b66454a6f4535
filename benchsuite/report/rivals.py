"""Our code beside others': the tables of the suites `operators` and `peers`, from the records of a run.

A ratio is a rival's time over ours, so above 1 ours is faster. It rests on rounds of processes that took turns, as
every comparison of a run does (`benchsuite.stats.speed`).
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from benchsuite.records.case import MEASURED
from benchsuite.records.load import Run
from benchsuite.records.params import CheckParams
from benchsuite.records.schema import Comparison
from benchsuite.report.speed import speed_and_memory, timed
from benchsuite.stats.speed import SpeedComparison, mean_ratio, paired_logs

SCHEMA_VERSION = 1
KINDS = ("operator", "peer")  # of the comparisons that are shown


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
        case.typed.variant
        for case in run.manifest.cases
        if isinstance(case.typed, CheckParams)
        and any(r.status not in MEASURED for r in run.records.get(case.id, {}).values())
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
