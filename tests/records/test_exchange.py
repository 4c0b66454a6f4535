"""Runs in other formats: what goes out comes back, and pytest-benchmark's own command reads what we write."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet
import pytest

from benchsuite.cli import export
from benchsuite.cli.run import command
from benchsuite.errors import UserError
from benchsuite.records import exchange
from benchsuite.records.case import Case, Record, case_id
from benchsuite.records.load import load
from benchsuite.records.store import Store

PARAMS = {"component": "activation", "variant": "gelu", "shape": {"seq": 16, "width": 8}, "mode": "wall"}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    case = Case(case_id("speed", PARAMS), "speed", "activation/gelu", PARAMS, (0, 1, 2), 10.0)
    manifest = {
        "suite": "made-up",
        "created": "2026-11-23T00:00:00+00:00",
        "hardware": {"identity": {"cpu": "a CPU", "system": "Linux"}, "context": {}},
        "cases": [case.to_json()],
        "comparisons": [],
    }
    store = Store.create(tmp_path / "run", manifest)
    for replicate, times in enumerate([[1.0, 2.0, 3.0], [2.0, 2.0, 9.0]]):
        result = {"time_s": times[1], "samples_s": times, "calls_per_sample": 4, "error": {"forward": 1e-7}}
        store.append(Record(case.id, replicate, "ok", None, "2026-11-23", 10.0, result))
    store.append(Record(case.id, 2, "oom", 'no memory, "quoted"\nand more', "2026-11-23", 1.0))
    store.close()
    return tmp_path / "run"


def test_a_row_for_each_record_whatever_became_of_it(run: Path) -> None:
    table = exchange.rows([load(run)])
    assert [row["status"] for row in table] == ["ok", "ok", "oom"]
    assert table[0]["params.shape.width"] == 8
    assert table[0]["error.forward"] == 1e-7
    assert table[0]["samples_s"] == [1.0, 2.0, 3.0]
    assert "time_s" not in table[2]


def test_parquet_keeps_types_and_lists(run: Path, tmp_path: Path) -> None:
    exchange.write_table(exchange.rows([load(run), load(run)]), tmp_path / "x.parquet", "parquet")
    table = pyarrow.parquet.read_table(tmp_path / "x.parquet").to_pylist()
    assert len(table) == 6
    assert table[1]["samples_s"] == [2.0, 2.0, 9.0]
    assert table[2]["time_s"] is None


def test_csv_is_read_back_by_others(run: Path, tmp_path: Path) -> None:
    import csv

    exchange.write_table(exchange.rows([load(run)]), tmp_path / "x.csv", "csv")
    with open(tmp_path / "x.csv", newline="") as file:
        table = list(csv.DictReader(file))
    assert json.loads(table[0]["samples_s"]) == [1.0, 2.0, 3.0]
    assert table[2]["reason"] == 'no memory, "quoted"\nand more'


def test_columns_of_mixed_types_become_text(tmp_path: Path) -> None:
    exchange.write_table([{"a": 1}, {"a": "x"}, {"a": None}], tmp_path / "x.parquet", "parquet")
    assert pyarrow.parquet.read_table(tmp_path / "x.parquet").to_pylist() == [{"a": "1"}, {"a": '"x"'}, {"a": None}]


@pytest.mark.slow
def test_pytest_benchmarks_own_command_reads_ours(run: Path, tmp_path: Path) -> None:
    path = tmp_path / "ours.json"
    path.write_text(json.dumps(exchange.to_pytest_benchmark(load(run))[0]))
    command = [sys.executable, "-m", "pytest_benchmark", "compare", str(path), "--columns=median,rounds"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "activation/gelu" in done.stdout


def test_there_and_back(run: Path, tmp_path: Path) -> None:
    path = tmp_path / "ours.json"
    path.write_text(json.dumps(exchange.to_pytest_benchmark(load(run))[0]))
    manifest, records = exchange.from_pytest_benchmark(path)
    assert [case["label"] for case in manifest["cases"]] == ["made-up::activation/gelu"]
    assert records[0].result is not None
    assert records[0].result["samples_s"] == [1.0, 2.0, 3.0, 2.0, 2.0, 9.0]
    assert records[0].result["time_s"] == 2.0
    assert records[0].result["calls_per_sample"] == 4


@pytest.mark.slow
def test_what_pytest_benchmark_measured_becomes_a_run(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text("def test_sum(benchmark):\n    benchmark(sum, range(100))\n")
    command = [sys.executable, "-m", "pytest", "-q", "--benchmark-json=b.json", "--benchmark-min-rounds=3"]
    subprocess.run([*command, "--benchmark-max-time=0.05"], check=True, capture_output=True, cwd=tmp_path)
    run = [sys.executable, "-m", "benchsuite"]
    subprocess.run([*run, "import", "b.json", "-o", "run"], check=True, capture_output=True, cwd=tmp_path)
    done = subprocess.run([*run, "report", "run", "--json"], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "test_it.py::test_sum" in done.stdout


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"benchmarks": [{}]}', '{"benchmarks": 7}', "\0"])
def test_another_file_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(UserError, match="is not what pytest-benchmark writes"):
        exchange.from_pytest_benchmark(tmp_path / "x.json")


DAMAGES = [
    ("cases", None),
    ("cases", 7),
    ("cases", [{"id": "x"}]),
    ("hardware", []),
    ("hardware", {"identity": 3}),
    ("suite", None),
    ("resolved_suite", "quick"),
]


READERS: list[Callable[[Path], object]] = [
    lambda folder: export.command([folder], csv=folder / "table.csv"),
    load,
    lambda folder: command(resume=folder),
]


@pytest.mark.parametrize(("key", "value"), DAMAGES)
@pytest.mark.parametrize("read", READERS, ids=["export", "report", "resume"])
def test_a_damaged_manifest_is_told_with_its_key(
    run: Path, key: str, value: object, read: Callable[[Path], object]
) -> None:
    manifest = json.loads((run / "manifest.json").read_text())
    manifest.pop(key, None)
    if value is not None:
        manifest[key] = value
    (run / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(UserError, match=rf"manifest.json: {key}"):
        read(run)


def test_a_damaged_result_is_told_with_its_case(run: Path) -> None:
    text = (run / "records.jsonl").read_text().replace("[1.0, 2.0, 3.0]", '"fast"')
    (run / "records.jsonl").write_text(text)
    with pytest.raises(UserError, match=r"line 1: .*: speed\.samples_s"):
        exchange.to_pytest_benchmark(load(run))


@pytest.mark.slow
def test_cases_without_figures_are_counted(run: Path, tmp_path: Path) -> None:
    lines = (run / "records.jsonl").read_text().splitlines()
    (run / "records.jsonl").write_text(lines[2] + "\n")
    call = [sys.executable, "-m", "benchsuite", "export", str(run), "--pytest-benchmark", str(tmp_path / "x.json")]
    done = subprocess.run(call, capture_output=True, text=True, check=True)
    assert "0 benchmarks; 1 cases have no figures and are left out" in done.stderr
