"""Finished runs beside each other, case by case: nothing is measured.

Columns are runs (by directory, by commit or by machine) or the implementations of one run. The first column is what the
others are compared with. Runs were measured at different times, so their processes are compared as they come (Welch's
interval); implementations of one run took turns, so their rounds are paired.
"""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchsuite import format as fmt
from benchsuite.errors import UserError, did_you_mean
from benchsuite.records.case import Case, Record
from benchsuite.records.load import Run, load
from benchsuite.records.params import TimedParams
from benchsuite.stats.rounds import timed
from benchsuite.stats.speed import MARGIN, SpeedComparison, compare_apart, compare_speed, paired_logs

BY = ("run", "commit", "machine", "implementation")
EXIT_INCOMPARABLE = 4
MACHINE = ("threads", "device")  # parameters that another machine may have otherwise


@dataclass(frozen=True)
class Cell:
    """One case in one column: seconds a call, the geometric mean over processes, their relative standard deviation,
    tokens/s, and the peak of memory in bytes; None where it was not measured, and `why`."""

    time_s: float | None = None
    spread: float | None = None
    tokens_per_s: float | None = None
    peak_bytes: float | None = None
    processes: int = 0
    why: str | None = None


@dataclass(frozen=True)
class Row:
    """A case with a cell for each column, and the comparison of each further column with the first."""

    label: str
    cells: tuple[Cell, ...]
    comparisons: tuple[SpeedComparison, ...]


@dataclass(frozen=True)
class Comparison:
    """Rows by case, columns by name, and what a reader should know (`notes`)."""

    by: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """JSON-ready: ratios are the speed of a column over that of the first, above 1 faster."""
        return {"schema_version": 1, **asdict(self)}


def compare(*given: Run | str | Path, by: str = "run", margin: float = MARGIN) -> Comparison:
    """Compare finished runs, or run directories, case by case. Nothing is measured.

    The columns are what `by` says: run, commit, machine, or the `implementation`s of one run. The first is what the
    others are compared with. Differences in speed up to `margin`, a fraction, are called the same.

    Raises UserError with exit code 4 where the runs have no case in common or are of different machines (unless `by` is
    `machine`), and with 2 where there are too few or too many of them.
    """
    if by not in BY:
        raise UserError(f"--by {by!r} is unknown", hint=did_you_mean(by, list(BY)))
    runs = [run if isinstance(run, Run) else load(run) for run in given]
    if by == "implementation":
        if len(runs) != 1:
            raise UserError("--by implementation compares within one run", hint="give one run directory")
        return _implementations(runs[0], margin)
    if len(runs) < 2:
        raise UserError(
            "one run has nothing to be compared with", hint="give two run directories, or --by implementation"
        )
    _check_machines(runs, by)
    tables = [{_key(case, by): case for case in run.manifest.cases if case.timed} for run in runs]
    keys = list(dict.fromkeys(key for table in tables for key in table))
    common = [key for key in keys if sum(key in table for table in tables) > 1 and key in tables[0]]
    if not common:
        raise UserError(
            "the runs have no speed case in common: what one measured, no other did with the same parameters",
            hint="`benchsuite plan SUITE --json` shows the parameters of each case",
            exit_code=EXIT_INCOMPARABLE,
        )
    rows = []
    for key in common:
        found = [
            dict(run.records.get(table[key].id, {})) if key in table else {}
            for run, table in zip(runs, tables, strict=True)
        ]
        first, *others = map(_logs, found)
        cells = tuple(_cell(records) for records in found)
        rows.append(Row(tables[0][key].label, cells, tuple(compare_apart(o, first, margin=margin) for o in others)))
    names = _names(runs, by)
    return Comparison(by, names, tuple(rows), tuple(_notes(runs, names, tables, common)))


def _implementations(run: Run, margin: float) -> Comparison:
    known = [(case, case.typed) for case in run.manifest.cases if case.timed]
    cases = [(case, params.implementation) for case, params in known if isinstance(params, TimedParams)]
    names = list(dict.fromkeys(name for _, name in cases if name))
    table: dict[str, dict[str, Case]] = {}
    for case, name in cases:
        table.setdefault(_text({**case.params, "implementation": ""}), {})[name] = case
    rows = []
    for found in table.values():
        if len(found) < 2 or names[0] not in found:
            continue
        records = [run.records.get(found[name].id, {}) if name in found else {} for name in names]
        base = timed(records[0].values())
        compared = tuple(compare_speed(paired_logs(timed(one.values()), base), margin=margin) for one in records[1:])
        label = found[names[0]].label.replace(f"/{names[0]}/", "/*/")
        rows.append(Row(label, tuple(map(_cell, records)), compared))
    if not rows:
        raise UserError(f"{run.name} has measured nothing in several implementations", exit_code=EXIT_INCOMPARABLE)
    return Comparison("implementation", tuple(names), tuple(rows), run.warnings)


def _check_machines(runs: Sequence[Run], by: str) -> None:
    """Raise UserError where the runs are not of one machine. Software may differ: that is often the question."""
    first = runs[0].manifest.hardware.identity
    for run in runs[1:]:
        other = run.manifest.hardware.identity
        different = [key for key in first if key != "torch" and key in other and first[key] != other[key]]
        if different and by != "machine":
            raise UserError(
                f"{run.name} was measured on another machine than {runs[0].name}: {', '.join(different)} differ",
                hint="--by machine compares machines",
                exit_code=EXIT_INCOMPARABLE,
            )


def _key(case: Case, by: str) -> str:
    """What makes two cases of different runs the same measurement."""
    if by != "machine":
        return case.id
    return _text({key: value for key, value in case.params.items() if key not in MACHINE})


def _text(params: Mapping[str, Any]) -> str:
    return json.dumps(params, sort_keys=True, default=str)


def _names(runs: Sequence[Run], by: str) -> tuple[str, ...]:
    """A name for each run, made different where two are the same."""
    found = []
    for number, run in enumerate(runs):
        context, identity = run.manifest.hardware.context, run.manifest.hardware.identity
        name = run.name
        if by == "commit":
            name = str(context.get("commit") or f"version {run.manifest.benchsuite_version}")
            name = name[:12] + ("+changes" if name.endswith("+changes") else "")
        elif by == "machine":
            gpus = identity.get("gpus") or []
            name = str(gpus[0].get("name") if gpus else identity.get("cpu") or run.name)
        found.append(name if name not in found else f"{name} ({number + 1})")
    return tuple(found)


def _notes(
    runs: Sequence[Run], names: Sequence[str], tables: Sequence[Mapping[str, Case]], common: Sequence[str]
) -> list[str]:
    notes = ["Runs were measured at different times: what changed in the machine between them counts as a difference."]
    for run, name, table in zip(runs, names, tables, strict=True):
        left = [case.label for key, case in table.items() if key not in common]
        if left:
            more = f" and {len(left) - 3} more" if len(left) > 3 else ""
            notes.append(f"{len(left)} cases of {name} have no counterpart: {', '.join(left[:3])}{more}.")
        notes += [f"{name}: {warning}" for warning in run.warnings]
    torch = [str(run.manifest.hardware.identity.get("torch")) for run in runs]
    if len(set(torch)) > 1:
        notes.append(
            "torch is not the same: " + ", ".join(f"{v} in {n}" for n, v in zip(names, torch, strict=True)) + "."
        )
    return notes


def _logs(records: Mapping[int, Record]) -> list[float]:
    """Logs of the speeds of the processes, in calls a second."""
    return [-math.log(time_s) for time_s in _times(records)]


def _times(records: Mapping[int, Record]) -> list[float]:
    times = [record.speed.time_s for record in records.values() if record.speed is not None]
    return [time_s for time_s in times if time_s is not None and math.isfinite(time_s) and time_s > 0]


def _cell(records: Mapping[int, Record]) -> Cell:
    times = _times(records)
    if not times:
        failed = next((record for record in records.values() if record.reason), None)
        return Cell(why=f"{failed.status}: {failed.reason}" if failed else "not measured")
    results = [record.speed for record in records.values() if record.speed is not None]
    peaks = [result.peak_bytes for result in results if result.peak_bytes is not None]
    tokens = next((result.tokens for result in results if result.tokens), None)
    time_s = statistics.geometric_mean(times)
    spread = statistics.stdev(map(math.log, times)) if len(times) > 1 else None
    return Cell(time_s, spread, tokens / time_s if tokens else None, peaks[0] if peaks else None, len(times))


def markdown(found: Comparison) -> str:
    """The comparison as a table, verdicts in the row, with footnotes."""
    head, *rows = table(found)
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join([*lines, "", *(f"* {note}" for note in found.notes), ""])


def table(found: Comparison) -> list[list[str]]:
    """Rows of text, the first of them the head: times with their spread, then each ratio with its verdict."""
    first, *others = found.columns
    rows = [["case", first, *(part for name in others for part in (name, f"speed over {first}", "verdict"))]]
    for row in found.rows:
        texts = [row.label, _words(row.cells[0])]
        for cell, compared in zip(row.cells[1:], row.comparisons, strict=True):
            ratio = fmt.ratio(compared.ratio, compared.low, compared.high) if compared.ratio is not None else "-"
            texts += [_words(cell), ratio, compared.verdict if compared.ratio is not None else "not measured"]
        rows.append(texts)
    return rows


def _words(cell: Cell) -> str:
    if cell.time_s is None:
        return cell.why.split(":")[0] if cell.why else "not measured"
    spread = "" if cell.spread is None else f" ±{cell.spread:.0%}" if cell.spread >= 0.01 else f" ±{cell.spread:.1%}"
    return fmt.seconds(cell.time_s) + spread
