"""Collect the times of the same cases over many runs of one machine, oldest first."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchsuite.errors import UserError
from benchsuite.records.load import Run, load
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
    """A series for each case of the runs in `folders`, themselves or one level below, and notes on what was left out:
    only runs on the machine of the youngest are compared. Raises UserError where there is no run."""
    runs = sorted(_runs(folders), key=lambda run: run.manifest.created)
    if not runs:
        raise UserError("there is no run in these folders", hint="give run directories, or the folder that holds them")
    machine = runs[-1].manifest.hardware.identity
    alike = [run for run in runs if run.manifest.hardware.identity == machine]
    others = len(runs) - len(alike)
    told = "1 run of another machine was left out" if others == 1 else f"{others} runs of other machines were left out"
    notes = [told] if others else []
    points: dict[str, list[tuple[Point, float]]] = {}
    for run in alike:
        point = Point(run.folder.name, run.manifest.created, run.manifest.hardware.context.get("commit"))
        for case in run.manifest.cases:
            records = [record for record in run.records.get(case.id, {}).values() if record.status == "ok"]
            results = [record.speed for record in records if record.speed and _is_time(record.speed.time_s)]
            if not results:
                continue
            # Another shape under the same label is another series, and so is a test that was given other things.
            given = results[0].given or {}
            told = ", ".join(f"{name} {value}" for name, value in given.items())
            key = f"{case.label}\t{told if case.kind == 'test' else case.id}"
            times = [result.time_s for result in results if result.time_s is not None]
            points.setdefault(key, []).append((point, statistics.median(times)))
    labels = [key.partition("\t")[0] for key in points]
    series = []
    for key, found in points.items():
        label, _, identity = key.partition("\t")
        name = label if labels.count(label) == 1 else f"{label} ({identity or 'given what is not known'})"
        times_s = tuple(time_s for _, time_s in found)
        series.append(Series(name, tuple(point for point, _ in found), times_s, tuple(pieces(times_s))))
    return series, notes


def _is_time(value: float | None) -> bool:
    return value is not None and math.isfinite(value) and value > 0


def _runs(folders: Sequence[Path]) -> list[Run]:
    found: list[Run] = []
    for folder in folders:
        if not folder.is_dir():
            raise UserError(f"{folder} is no folder", hint="give run directories, or the folder that holds them")
        inside = [folder] if (folder / "manifest.json").exists() else sorted(folder.iterdir())
        found += [load(path) for path in inside if (path / "manifest.json").exists()]
    return found
