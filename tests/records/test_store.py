"""Run directories: what survives, what is repaired, what is refused."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from benchsuite.errors import UserError
from benchsuite.records.case import SCHEMA_VERSION, Record
from benchsuite.records.load import load, read_records
from benchsuite.records.store import Store


def record(replicate: int = 0, status: str = "ok") -> Record:
    return Record("abc", replicate, status, None, "2026-01-01T00:00:00+00:00", 1.5, {"value": "ü\n"})


def filled(folder: Path, number: int) -> Path:
    store = Store.create(folder, {"suite": "x"})
    for replicate in range(number):
        store.append(record(replicate))
    store.close()
    return folder / "records.jsonl"


def reopened(folder: Path) -> Store:
    store = Store.open(folder)
    store.close()
    return store


def test_records_are_there_again(tmp_path: Path) -> None:
    filled(tmp_path / "run", 3)
    store = reopened(tmp_path / "run")
    assert store.records == [record(0), record(1), record(2)]
    assert store.manifest == {"schema_version": SCHEMA_VERSION, "suite": "x"}
    assert store.repaired is None


def test_rows_are_the_documented_ones(tmp_path: Path) -> None:
    row = json.loads(filled(tmp_path / "run", 1).read_text())
    keys = [
        "schema_version",
        "case_id",
        "replicate",
        "status",
        "reason",
        "started",
        "time_s",
        "result",
        "round",
        "reused",
    ]
    assert list(row) == keys


@pytest.mark.slow
def test_a_tear_at_any_byte_costs_at_most_the_last_record(tmp_path: Path) -> None:
    path = filled(tmp_path / "run", 2)
    whole = path.read_bytes()
    second = whole.index(b"\n") + 1
    for length in range(second, len(whole)):
        path.write_bytes(whole[:length])
        store = reopened(tmp_path / "run")
        kept = 2 if length == len(whole) - 1 else 1
        assert len(store.records) == kept
        assert (store.repaired is None) == (length == second)
        assert path.read_bytes() == whole[: second if kept == 1 else None]


@pytest.mark.slow
@example(tail=b"\t")
@given(tail=st.binary(min_size=1, max_size=50).filter(lambda data: b"\n" not in data))
def test_any_garbage_at_the_end_is_cut_off(tmp_path_factory: pytest.TempPathFactory, tail: bytes) -> None:
    folder = tmp_path_factory.mktemp("garbage") / "run"
    path = filled(folder, 1)
    with open(path, "ab") as file:
        file.write(tail)
    store = reopened(folder)
    assert store.records == [record()]
    assert "torn" in (store.repaired or "")


def test_damage_before_the_last_line_is_not_mended_in_silence(tmp_path: Path) -> None:
    path = filled(tmp_path / "run", 3)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + b"{}\n" + lines[2])
    with pytest.raises(UserError, match=r"records.jsonl, line 2"):
        Store.open(tmp_path / "run")


def test_a_record_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    path = filled(tmp_path / "run", 1)
    path.write_bytes(path.read_bytes() * 2)
    with pytest.raises(UserError, match="1 records are there twice"):
        Store.open(tmp_path / "run")


def test_a_full_disk_is_said_and_leaves_whole_records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store.create(tmp_path / "run", {})
    store.append(record(0))
    real = os.write

    def full(handle: int, data: bytes) -> int:
        if len(data) > 20:
            return real(handle, data[:20])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", lambda handle, data: full(handle, data if len(data) > 100 else b""))
    with pytest.raises(UserError, match="No space left on device") as error:
        store.append(record(1))
    monkeypatch.undo()
    store.close()
    assert f"--resume {tmp_path / 'run'}" in error.value.hint
    again = reopened(tmp_path / "run")
    assert (again.records, again.repaired) == ([record(0)], None)


def test_a_read_only_directory_is_said(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    folder = tmp_path if os.geteuid() else Path("/proc/self/fdinfo")  # where root cannot write either
    with pytest.raises(UserError, match="cannot be written"):
        Store.create(folder / "run", {})


def test_a_path_through_a_file_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(UserError, match="file"):
            Store.create(folder, {})


def test_directories_that_are_not_new_are_refused(tmp_path: Path) -> None:
    filled(tmp_path / "run", 1)
    with pytest.raises(UserError, match="not empty") as error:
        Store.create(tmp_path / "run", {})
    assert "--resume" in error.value.hint
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "x").touch()
    with pytest.raises(UserError, match="not empty") as error:
        Store.create(tmp_path / "other", {})
    assert "--resume" not in error.value.hint


@pytest.mark.parametrize("text", ["", "[]", "{}", "{", '{"schema_version": 99}', "\x00"])
def test_what_is_no_manifest_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(UserError, match=r"manifest\.json"):
        Store.open(tmp_path)


def test_text_that_is_no_utf8_ends_nothing_and_is_read_again(tmp_path: Path) -> None:
    label = "caf\udce9\x1b[31m.py::test[\ud800\u202e]"
    case = {"id": "c", "kind": "test", "label": label, "params": {"test": label}, "replicates": [0]}
    store = Store.create(tmp_path / "run", {"suite": label, "cases": [case], "notes": [label]})
    store.append(Record("c", 0, "error", f"\0{label}", "", 0.0, {"time_s": None}))
    store.log(f"error {label}")
    store.close()
    plain = "caf\\xe9.py::test[\\ud800\\u202e]"
    assert plain in (tmp_path / "run" / "log.txt").read_text(encoding="utf-8")
    run = load(tmp_path / "run")
    assert run.records["c"][0].reason == f"\\x00{plain}"
    (planned,) = run.manifest.cases
    assert planned.label == plain
    assert Store.open(tmp_path / "run").manifest["cases"][0]["params"]["test"] == label, "what runs is named exactly"


START = """
import sys
from pathlib import Path
from benchsuite.errors import UserError
from benchsuite.records.store import Store
sys.stdin.readline()
try:
    store = Store.create(Path(sys.argv[1]), {"suite": sys.argv[2]})
    print("mine", flush=True)
    sys.stdin.read()
except UserError as error:
    print(error.message, flush=True)
"""


@pytest.mark.slow
def test_of_eight_that_begin_at_once_one_does(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    starters = [
        subprocess.Popen(
            [sys.executable, "-c", START, str(folder), str(number)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for number in range(8)
    ]  # fmt: skip
    for one in starters:
        assert one.stdin is not None
        one.stdin.write("go\n")
        one.stdin.flush()
    said = [one.stdout.readline().strip() for one in starters if one.stdout is not None]
    holder = said.index("mine")
    assert all("another process writes" in text or "is not empty" in text for text in said if text != "mine")
    assert said.count("mine") == 1
    assert json.loads((folder / "manifest.json").read_text())["suite"] == str(holder)
    assert json.loads((folder / "lock").read_text())["pid"] == starters[holder].pid
    for one in starters:
        one.communicate()


def test_an_open_run_is_opened_and_repaired_by_nobody_else(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "run", {"suite": "x"})
    store.append(record())
    half = b'{"schema_version": 1, "case_'
    with open(tmp_path / "run" / "records.jsonl", "ab") as file:
        file.write(half)  # its writer is in the middle of a line
    with pytest.raises(UserError, match="another process writes to"):
        Store.open(tmp_path / "run")
    assert (tmp_path / "run" / "records.jsonl").read_bytes().endswith(half)
    store.close()
    assert reopened(tmp_path / "run").records == [record()]


def test_a_kill_in_the_first_instant_leaves_a_directory_that_can_be_used(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    for name in ("lock", ".manifest.json.0123abcd"):
        (tmp_path / "run" / name).touch()
    filled(tmp_path / "run", 1)
    assert reopened(tmp_path / "run").records == [record()]


def test_a_directory_may_be_named_by_a_link(tmp_path: Path) -> None:
    (tmp_path / "disk" / "run").mkdir(parents=True)
    (tmp_path / "latest").symlink_to(tmp_path / "disk" / "run")
    filled(tmp_path / "latest", 2)
    assert len(reopened(tmp_path / "disk" / "run").records) == 2


def test_a_pipe_in_place_of_a_file_is_not_waited_for(tmp_path: Path) -> None:
    path = filled(tmp_path / "run", 1)
    path.unlink()
    os.mkfifo(path)
    for call in (Store.open, read_records):
        with pytest.raises(UserError, match=r"records\.jsonl is not a file"):
            call(tmp_path / "run")
