"""Collect the times of the same cases over many runs of one machine, oldest first."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchsuite.errors import UserError
from benchsuite.records.schema import Manifest
from benchsuite.records.store import read_plan, read_records
from benchsuite.stats.levels import Piece, pieces


@dataclass(frozen=True)
class Point:
    """One run: where it is, when it began, the commit that it measured if it says so."""

    run: str
    created: str
    commit: str | None


@dataclass(frozen=True)
class Series:
    """A case's seconds per call, a median over the processes of each run, and the pieces of equal level."""

    case: str
    points: tuple[Point, ...]
    times_s: tuple[float, ...]
    pieces: tuple[Piece, ...]


def read(folders: Sequence[Path]) -> tuple[list[Series], list[str]]:
    """Return a series for each case of the runs in `folders` or one level below, and notes on the runs left out: only
    runs on the machine of the latest one are compared. Raises UserError if there is no run."""
    runs = sorted(_runs(folders), key=lambda found: found[1].created)
    if not runs:
        raise UserError("there is no run in these folders", hint="give run directories, or the folder that holds them")
    machine = runs[-1][1].hardware.identity
    alike = [(folder, plan) for folder, plan in runs if plan.hardware.identity == machine]
    others = len(runs) - len(alike)
    told = "1 run of another machine was left out" if others == 1 else f"{others} runs of other machines were left out"
    notes = [told] if others else []
    points: dict[str, list[tuple[Point, float]]] = {}
    for folder, plan in alike:
        records = [
            r for r in read_records(folder) if r.status == "ok" and r.result and _is_time(r.result.get("time_s"))
        ]
        where = Point(folder.name, plan.created, plan.hardware.context.get("commit"))
        for case in plan.cases:
            times = [r.result["time_s"] for r in records if r.case_id == case.id and r.result]
            if times and case.timed:
                # Another shape under the same label is another series, and so is a test that was given other things.
                given = next((r.result.get("given") for r in records if r.case_id == case.id and r.result), None)
                told = ", ".join(f"{name} {value}" for name, value in (given or {}).items())
                key = f"{case.label}\t{told if case.kind == 'test' else case.id}"
                points.setdefault(key, []).append((where, statistics.median(times)))
    labels = [key.partition("\t")[0] for key in points]
    series = []
    for key, found in points.items():
        label, _, identity = key.partition("\t")
        name = label if labels.count(label) == 1 else f"{label} ({identity or 'given what is not known'})"
        times_s = tuple(time_s for _, time_s in found)
        series.append(Series(name, tuple(point for point, _ in found), times_s, tuple(pieces(times_s))))
    return series, notes


def _is_time(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value) and value > 0


def _runs(folders: Sequence[Path]) -> list[tuple[Path, Manifest]]:
    found = []
    for folder in folders:
        if not folder.is_dir():
            raise UserError(f"{folder} is no folder", hint="give run directories, or the folder that holds them")
        places = [folder] if (folder / "manifest.json").exists() else sorted(folder.iterdir())
        found += [(place, read_plan(place)) for place in places if (place / "manifest.json").exists()]
    return found
