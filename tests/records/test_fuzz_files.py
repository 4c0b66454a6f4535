"""Damaged records, manifests and imports: each is read, or refused with one message; nothing else ever happens."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.fuzz import FEW, MANY, mutated, refused_at_most

from benchsuite.errors import UserError
from benchsuite.records import baselines, exchange
from benchsuite.records.case import Case, Record, case_id
from benchsuite.records.load import load
from benchsuite.records.store import Store

PARAMS = {"component": "activation", "variant": "gelu", "shape": {"batch": 1}}
CASE = Case(case_id("speed", PARAMS), "speed", "activation/gelu", PARAMS, (0, 1), 60.0)
RESULT: dict[str, Any] = {
    "time_s": 2.0, "samples_s": [1.0, 2.0, 3.0], "calls_per_sample": 4, "monitor": {"disturbed": ["load 2"]},
    "roofline": {"fraction": 0.5, "bound": "compute", "peaks": "x"}, "saved_by": [],
}  # fmt: skip
HOSTILE: list[Any] = [
    *(0, -1, 2**70, 1e308, float("inf"), float("nan"), True, None, "", "\ud800", "\0", "<b>", "é" * 300, "NaN", "2026"),
    *([], {}, [[]], [None], [float("nan")], {"a": []}, {"": None}, "9" * 5000, [1, "a"], {"x": {"y": [{}]}}),
]
BENCHMARKS: dict[str, Any] = {
    "machine_info": {"cpu": {"brand_raw": "a CPU"}, "system": "Linux", "machine": "x86_64"},
    "datetime": "2026-01-01T00:00:00",
    "benchmarks": [
        {
            "fullname": "test_it.py::test_sum[inf]",
            "params": {"x": float("inf"), "y": [float("nan"), {"z": 1}]},
            "stats": {"median": 0.5, "data": [0.4, 0.5], "iterations": 2, "total": 0.9},
        }
    ],
}


def torn(data: st.DataObject, text: str) -> bytes:
    """The text as bytes, now and then with some changed."""
    found = bytearray(text.encode("utf-8", "surrogatepass"))
    if data.draw(st.integers(0, 4)) == 0 and found:
        place = data.draw(st.integers(0, len(found) - 1))
        found[place : place + 1] = data.draw(st.binary(max_size=3))
    return bytes(found)


def read_all(folder: Path) -> None:
    """Every reader of a run's directory, each for itself."""
    readers: list[Callable[[], object]] = [
        lambda: load(folder).frame(),
        lambda: Store.open(folder).close(),
        lambda: exchange.to_pytest_benchmark(load(folder)),
        lambda: baselines.check(folder, {"identity": {"cpu": "x"}, "context": {"python": "3", "kernel": "6"}}),
        lambda: exchange.write_table(exchange.rows([load(folder)]), folder / "table.csv", "csv"),
        lambda: exchange.write_table(exchange.rows([load(folder)]), folder / "table.parquet", "parquet"),
    ]
    for read in readers:
        with refused_at_most(4):  # another machine's baseline
            read()


def attack_a_run(data: st.DataObject, run: Path) -> None:
    manifest = {
        "schema_version": 2, "suite": "small", "created": "2026-01-01T00:00:00+00:00", "notes": [],
        "hardware": {"identity": {"cpu": "x"}, "context": {"python": "3"}}, "cases": [CASE.to_json()],
        "comparisons": [{"kind": "speed", "case": CASE.id, "base_case": CASE.id}],
    }  # fmt: skip
    records = [Record(CASE.id, n, "ok", None, "2026-01-01T00:00:00", 1.0, RESULT).to_json() for n in (0, 1)]
    if data.draw(st.booleans()):
        manifest = mutated(data, manifest, HOSTILE)
    else:
        records = mutated(data, records, HOSTILE)
    lines = [json.dumps(row) for row in records] if isinstance(records, list) else [json.dumps(records)]
    (run / "manifest.json").write_bytes(torn(data, json.dumps(manifest)))
    (run / "records.jsonl").write_bytes(torn(data, "\n".join([*lines, ""])))
    read_all(run)


def attack_an_import(data: st.DataObject, folder: Path) -> None:
    run = Path(tempfile.mkdtemp(dir=folder))
    path = folder / "b.json"
    path.write_bytes(torn(data, json.dumps(mutated(data, BENCHMARKS, HOSTILE))))
    try:
        manifest, records = exchange.from_pytest_benchmark(path)
    except UserError:
        return
    store = Store.create(run, manifest)
    for record in records:
        store.append(record)
    store.close()
    assert exchange.rows([load(run)])


@pytest.mark.slow
@FEW
@given(data=st.data())
def test_a_damaged_run_is_read_or_refused(data: st.DataObject, tmp_path: Path) -> None:
    attack_a_run(data, tmp_path)


@pytest.mark.slow
@FEW
@given(data=st.data())
def test_a_damaged_import_is_read_or_refused(data: st.DataObject, tmp_path: Path) -> None:
    attack_an_import(data, tmp_path)


@pytest.mark.long
@MANY
@given(data=st.data())
def test_ten_thousand_runs(data: st.DataObject, tmp_path: Path) -> None:
    attack_a_run(data, tmp_path)


@pytest.mark.long
@MANY
@given(data=st.data())
def test_ten_thousand_imports(data: st.DataObject, tmp_path: Path) -> None:
    attack_an_import(data, tmp_path)


def test_parameters_that_json_cannot_say_are_imported(tmp_path: Path) -> None:
    """pytest-benchmark itself writes Infinity and NaN."""
    path = tmp_path / "b.json"
    path.write_text(json.dumps(BENCHMARKS))
    manifest, [record] = exchange.from_pytest_benchmark(path)
    assert manifest["cases"][0]["params"]["params"] == {"x": "inf", "y": ["nan", {"z": 1}]}
    json.dumps([manifest, record.to_json()], allow_nan=False)


def test_deep_json_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    path.write_text("[" * 100_000)
    for read in (exchange.from_pytest_benchmark, lambda path: load(path.parent)):
        with pytest.raises(UserError):
            read(path)
