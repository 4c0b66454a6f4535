"""Run in other people's formats: tables for pandas, DuckDB and spreadsheets, and pytest-benchmark's JSON both ways."""

from __future__ import annotations

import json
import math
import statistics
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, Field, TypeAdapter

from benchsuite import text
from benchsuite.errors import UserError
from benchsuite.limits import MOST_AMOUNT
from benchsuite.records.case import Case, Record, case_id
from benchsuite.records.load import Run
from benchsuite.records.results import checked
from benchsuite.records.schema import new_manifest

Row = dict[str, Any]
MOST_BYTES = 2**30  # of a file that is imported
MOST_DEPTH = 50  # of its parameters


def rows(runs: Iterable[Run]) -> list[Row]:
    """One row for each record, nested fields joined by dots: run, case, its parameters, status, and the result
    (`Run.frame` names the columns)."""
    found = []
    for run in runs:
        cases = run.cases
        for record in run:
            case = cases[record.case_id]
            row: Row = {"run": run.name, "case_id": case.id, "label": case.label, "kind": case.kind}
            row |= {"replicate": record.replicate, "round": record.round, "status": record.status}
            row |= {"reason": record.reason, "started": record.started, "process_time_s": record.time_s}
            row |= _flat(case.params, "params.")
            found.append(row | _flat(record.result or {}, ""))
    return found


def columns(table: list[Row]) -> list[str]:
    """All columns, in the order in which they first appear."""
    return list(dict.fromkeys(key for row in table for key in row))


def write_table(table: list[Row], path: Path, kind: str) -> None:
    """Write `table` as "csv" or "parquet". Lists are JSON text in CSV; columns of mixed types are text in Parquet."""
    import pyarrow as pa
    from pyarrow import csv, parquet

    arrays = {}
    for name in columns(table):
        values = [row.get(name) for row in table]
        if kind == "csv":
            values = [json.dumps(value) if isinstance(value, list) else value for value in values]
        try:
            arrays[name] = pa.array(values)
        except (pa.ArrowException, OverflowError, UnicodeEncodeError, ValueError, TypeError):
            arrays[name] = pa.array([None if value is None else json.dumps(value) for value in values])
    result = pa.table(arrays)
    csv.write_csv(result, path) if kind == "csv" else parquet.write_table(result, path)


def _flat(value: dict[str, Any], prefix: str) -> Row:
    flat: Row = {}
    for key, item in value.items():
        if isinstance(item, dict):
            flat |= _flat(item, f"{prefix}{key}.")
        elif isinstance(item, list) and any(isinstance(part, dict | list) for part in item):
            flat[f"{prefix}{key}"] = json.dumps(item)
        else:
            flat[f"{prefix}{key}"] = item
    return flat


# ---- pytest-benchmark


def to_pytest_benchmark(run: Run) -> tuple[dict[str, Any], list[str]]:
    """The speed cases of a run as pytest-benchmark writes them: the samples of all processes together, as its format
    knows no processes. Failed measurements have no samples and are left out, as there.

    Returns the document and the labels of the cases that are not in it, because no process measured them.
    """
    manifest = run.manifest
    cases = {case.id: case for case in manifest.cases if case.timed}
    samples: dict[str, list[float]] = {}
    calls: dict[str, int] = {}
    for identity, case in cases.items():
        for record in run.records.get(identity, {}).values():
            if record.status != "ok" or record.speed is None:
                continue
            result = record.speed
            if not all(0 < value < math.inf for value in result.samples_s):
                raise UserError(f"{run.folder / 'records.jsonl'}: {case.label}: samples_s holds what is no time")
            if result.samples_s:
                samples.setdefault(identity, []).extend(result.samples_s)
                calls[identity] = result.calls_per_sample or 1
    machine = manifest.hardware.identity
    document = {
        "machine_info": {"cpu": {"brand_raw": machine.get("cpu")}, "system": machine.get("system")},
        "commit_info": {},
        "benchmarks": [
            {
                "group": cases[identity].group or None,
                "name": cases[identity].label,
                "fullname": f"{manifest.suite}::{cases[identity].label}",
                "params": None,
                "param": None,
                "extra_info": {"benchsuite": {"case_id": identity, "params": cases[identity].params}},
                "options": {"disable_gc": True, "timer": "perf_counter", "min_rounds": 1, "warmup": True},
                "stats": _stats(data, calls[identity]),
            }
            for identity, data in samples.items()
        ],
        "datetime": manifest.created or None,
        "version": "5.1.0",
    }
    return document, [case.label for case in cases.values() if case.id not in samples]


def _stats(data: list[float], iterations: int) -> dict[str, Any]:
    """pytest-benchmark's own fields; outliers by one standard deviation and by 1.5 interquartile ranges."""
    q1, median, q3 = (float(q) for q in np.quantile(data, [0.25, 0.5, 0.75]))
    mean, deviation = statistics.fmean(data), statistics.stdev(data) if len(data) > 1 else 0.0
    low, high = q1 - 1.5 * (q3 - q1), q3 + 1.5 * (q3 - q1)
    inside = [x for x in data if low <= x <= high]
    by_deviation = sum(abs(x - mean) > deviation for x in data)
    return {
        "min": min(data),
        "max": max(data),
        "mean": mean,
        "stddev": deviation,
        "rounds": len(data),
        "median": median,
        "iqr": q3 - q1,
        "q1": q1,
        "q3": q3,
        "iqr_outliers": len(data) - len(inside),
        "stddev_outliers": by_deviation,
        "outliers": f"{by_deviation};{len(data) - len(inside)}",
        "ld15iqr": min(inside),
        "hd15iqr": max(inside),
        "ops": 1 / mean,
        "total": sum(data),
        "data": data,
        "iterations": iterations,
    }


class _Stats(BaseModel):
    """The figures of a benchmark that are read, in seconds. Other fields may hold what they like."""

    median: float = Field(gt=0, allow_inf_nan=False)
    data: list[Annotated[float, Field(ge=0, allow_inf_nan=False)]] = []
    iterations: int = Field(default=1, ge=1, le=MOST_AMOUNT)
    total: float = Field(default=0.0, ge=0, allow_inf_nan=False)


class _Benchmark(BaseModel):
    fullname: str = Field(min_length=1)
    stats: _Stats
    params: Any = None


class _Document(BaseModel):
    benchmarks: list[_Benchmark]
    machine_info: dict[str, Any] | None = None
    datetime: str | None = None


def from_pytest_benchmark(path: Path) -> tuple[dict[str, Any], list[Record]]:
    """Manifest and records of what pytest-benchmark measured: one process, so one replicate of each benchmark.

    Parameters that JSON has no word for (NaN and the infinities, which pytest-benchmark writes all the same) become
    their names. Raises UserError where the file is not pytest-benchmark's, naming the key.
    """
    where = f"{path} is not what pytest-benchmark writes"
    document = checked(TypeAdapter(_Document), text.tree(_read(path)), where)
    found = [_imported(benchmark, document.datetime or "") for benchmark in document.benchmarks]
    twice = [label for (_, label), n in Counter((case.id, case.label) for case, _ in found).items() if n > 1]
    if twice:
        raise UserError(f"{path}: {twice[0]} is there twice", hint="import the files that it was joined of one by one")
    if not found:
        raise UserError(f"{path} holds no benchmark", hint="make it with: pytest --benchmark-json=FILE")
    info = document.machine_info or {}
    cpu: dict[str, Any] = info["cpu"] if isinstance(info.get("cpu"), dict) else {}
    identity = {"cpu": cpu.get("brand_raw"), "system": info.get("system"), "architecture": info.get("machine")}
    planned = {
        "suite": path.stem,
        "description": "Imported from pytest-benchmark",
        "notes": ["One process measured all of it: nothing here says how another process would differ."],
        "cases": [case.to_json() for case, _ in found],
    }
    hardware = {"identity": {key: _plain(value) for key, value in identity.items()}, "context": {}}
    manifest = new_manifest(planned, hardware, ["benchsuite", "import", path.name])
    return manifest, [record for _, record in found]


def _read(path: Path) -> Any:
    """The JSON of a file. Raises UserError where there is none."""
    try:
        if not path.is_file():
            raise UserError(f"{path} is no file", hint="give what pytest --benchmark-json=FILE wrote")
        if path.stat().st_size > MOST_BYTES:
            raise UserError(f"{path} is larger than {MOST_BYTES:,} bytes", hint="import fewer benchmarks at once")
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        said = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise UserError(
            f"{path} is not what pytest-benchmark writes: {said}", hint="make it with: pytest --benchmark-json=FILE"
        ) from error


def _plain(value: Any, depth: int = 0) -> Any:
    """A value as JSON has it: what it has no word for by its name, text without halves of characters."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if depth > MOST_DEPTH:
        return "…"
    if isinstance(value, dict):
        return {_plain(key): _plain(item, depth + 1) for key, item in value.items()}
    return [_plain(item, depth + 1) for item in value] if isinstance(value, list) else value


def _imported(benchmark: _Benchmark, started: str) -> tuple[Case, Record]:
    name, stats = _plain(benchmark.fullname), benchmark.stats
    params = {"from": "pytest-benchmark", "fullname": name, "params": _plain(benchmark.params)}
    case = Case(case_id("speed", params), "speed", name, params, (0,), 0.0)
    result = {
        "time_s": stats.median,
        "samples_s": stats.data or [stats.median],
        "calls_per_sample": stats.iterations,
        "monitor": {},
    }
    return case, Record(case.id, 0, "ok", None, _plain(started), stats.total, result)
