"""Exit statuses, results and logs told apart."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.fuzz import FEW, mutated

from benchsuite.engine import outcome, rings
from benchsuite.engine.outcome import NO_RESULT, Outcome
from benchsuite.engine.processes import Ended
from benchsuite.gating.measured_sides import log_slowdown
from benchsuite.records.case import Job, Record
from benchsuite.records.results import RESULT, checked
from benchsuite.stats.rounds import timed
from benchsuite.stats.speed import compare_speed, paired_logs
from benchsuite.worker import EXIT_NO_RESULT

CRASH = """Fatal Python error: Segmentation fault

Current thread 0x00007f0 (most recent call first):
  File "/usr/lib/python3.11/ctypes/__init__.py", line 519 in string_at
  File "/home/x/variant.py", line 17 in forward

Extension modules: numpy, torch._C (total: 2)
"""


@pytest.mark.parametrize(
    ("returncode", "log", "killed", "status", "words"),
    [
        (-signal.SIGSEGV, "Fatal Python error\nline 2", None, "error", "SIGSEGV; its last output:\nFatal Python error"),
        (-signal.SIGSEGV, CRASH, None, "error", "SIGSEGV in string_at (__init__.py:519)"),
        (-signal.SIGKILL, "", None, "oom", "SIGKILL"),
        (-signal.SIGKILL, "", Outcome("timeout", "too slow"), "timeout", "too slow; it wrote nothing"),
        (-signal.SIGABRT, "what():  std::bad_alloc", None, "oom", "SIGABRT"),
        (-signal.SIGABRT, "assertion failed", None, "error", "SIGABRT"),
        (-50, "", None, "error", "signal 50"),
        (0, "", None, "error", "exit status 0 and no result"),
        (3, "", None, "error", "exit status 3"),
        (EXIT_NO_RESULT, "OSError: no space", None, NO_RESULT, "OSError: no space"),
        (None, "", None, "error", "fork server died"),
    ],
)
def test_a_process_without_a_result(
    tmp_path: Path, returncode: int | None, log: str, killed: Outcome | None, status: str, words: str
) -> None:
    (tmp_path / "log").write_text(log)
    found = outcome.of(returncode, result=tmp_path / "result", log=tmp_path / "log", killed=killed)
    assert found.status == status
    assert words in (found.reason or "")


def test_a_result_counts_however_the_process_ended(tmp_path: Path) -> None:
    (tmp_path / "result").write_text(json.dumps({"status": "ok", "reason": None, "result": {"time_s": 1}}))
    found = outcome.of(-signal.SIGKILL, result=tmp_path / "result", log=tmp_path / "log", killed=Outcome("timeout", ""))
    assert found == Outcome("ok", None, {"time_s": 1})


def test_a_crash_is_told_without_the_machine_s_paths(tmp_path: Path) -> None:
    (tmp_path / "log").write_text(CRASH)
    reason = outcome.of(-signal.SIGSEGV, result=tmp_path / "result", log=tmp_path / "log").reason or ""
    assert 'File "variant.py", line 17 in forward' in reason
    assert "/home" not in reason
    assert "Extension modules" not in reason


def test_only_the_end_of_a_long_log_is_kept(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"\xff start\n" + b"x" * 100_000 + b"\nthe end\n")
    found = outcome.of(1, result=tmp_path / "result", log=tmp_path / "log")
    assert found.reason is not None
    assert len(found.reason) < 2000
    assert found.reason.endswith("the end")


@pytest.mark.parametrize(
    "written",
    [
        b"",
        b"\xff\xfe",
        b"{",
        b"[" * 100_000,
        b'{"status": "ok", "reason": null, "result": ' + b'{"a":' * 200 + b"1" + b"}" * 201,
        b'{"status": "ok", "reason": null, "result": {"time_s": 1e999}}',
        b'{"status": "ok", "reason": null, "result": {"time_s": NaN}}',
        b'{"status": "ok", "reason": null, "result": {"time_s": ' + b"9" * 5000 + b"}}",
        b"[]",
        b"{}",
        b'"ok"',
        b'{"status": "fine", "reason": null, "result": {}}',
        b'{"status": ["ok"], "reason": null, "result": {}}',
        b'{"status": "error", "reason": {"a": 1}, "result": null}',
        b'{"status": "ok", "reason": null, "result": [1]}',
        b'{"status": "ok", "reason": null, "result": {"time_s": "fast"}}',
        b'{"status": "ok", "reason": null, "result": {"tasks": {"cloze": 3}}}',
    ],
)
def test_a_result_that_a_job_wrote_itself_is_an_error(tmp_path: Path, written: bytes) -> None:
    (tmp_path / "result").write_bytes(written)
    kind = "quality" if b"tasks" in written else "speed"
    found = outcome.of(0, result=tmp_path / "result", log=tmp_path / "log", kind=kind)
    assert (found.status, found.result) == ("error", None)
    assert "its result cannot be read" in (found.reason or "")
    killed = Outcome("timeout", "too slow")
    assert (
        outcome.of(-9, result=tmp_path / "result", log=tmp_path / "log", killed=killed, kind=kind).status == "timeout"
    )


def test_a_result_is_a_plain_file_of_bounded_size(tmp_path: Path) -> None:
    (tmp_path / "file").write_text('{"status": "ok", "reason": null, "result": {}}')
    (tmp_path / "link").symlink_to(tmp_path / "file")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    with open(tmp_path / "large", "wb") as file:
        file.truncate(2**40)
    for name in ("link", "folder", "pipe", "large"):
        found = outcome.of(0, result=tmp_path / name, log=tmp_path / "log")
        assert found.status == "error", name
        assert "its result cannot be read" in (found.reason or "")


GOOD = {"time_s": 0.5, "samples_s": [0.5, 0.25], "tokens": 8, "stop": "turns", "monitor": {"disturbed": ["load 2"]}}
WRONG_FIELDS = [
    *({"time_s": value} for value in (None, 0, -1.0, "0.5", True, [0.5], {}, 1e300, 10**400)),
    *({"samples_s": value} for value in ("12", {}, 1.0, ["a"], [None], [0.5, 0], [0.5, -1], [[0.5]], [1e300])),
    *({"tokens": value} for value in (-1, "8", 1.5, 2**70, [8], True)),
    *({"peak_bytes": value} for value in (-1, "8", 1e300, [8])),
    *({"monitor": value} for value in (None, "x", [], {"disturbed": "x"}, {"disturbed": [[1]]}, {"disturbed": {}})),
    *({"given": value} for value in ("x", [1])),
    {"stop": ["turns"]},
    {"error": [1]},
]


def told(folder: Path, kind: str, result: object, status: str = "ok") -> Outcome:
    (folder / "result").write_text(json.dumps({"status": status, "reason": None, "result": result}))
    return outcome.of(0, result=folder / "result", log=folder / "log", kind=kind)


@pytest.mark.parametrize("status", ["ok", "throttled", "unstable"])
@pytest.mark.parametrize("kind", ["speed", "test"])
def test_a_field_of_a_measured_result_is_what_the_schema_says_or_the_record_an_error(
    tmp_path: Path, kind: str, status: str
) -> None:
    assert told(tmp_path, kind, GOOD, status) == Outcome(status, None, GOOD)
    assert told(tmp_path, kind, None, status).status == "error"
    for wrong in WRONG_FIELDS:
        found = told(tmp_path, kind, {**GOOD, **wrong}, status)
        assert (found.status, found.result) == ("error", None), wrong
        [name] = wrong
        assert name in (found.reason or "") or "no time of a call" in (found.reason or ""), found.reason


def test_a_result_that_is_no_measurement_may_hold_what_it_found(tmp_path: Path) -> None:
    result = {"samples_s": [None], "error": {"forward": 3.0}}
    assert told(tmp_path, "speed", result, "incorrect") == Outcome("incorrect", None, result)


@pytest.mark.parametrize(
    "wrong",
    [
        {"tasks": {"a": {"acc": "1", "n": 3, "outcomes": "101"}}},
        {"tasks": {"a": {"acc": 1.0, "n": 3, "outcomes": "x"}}},
        {"train": {"curve": [[1.0, 2.0, 3.0]]}},
        {"train": {"tokens": "many"}},
        {"bits_per_byte": 3.0},
        {"bits_per_byte": {"value": [1.0]}},
    ],
)
def test_the_fields_of_a_trained_model_are_those_of_the_schema(tmp_path: Path, wrong: dict[str, object]) -> None:
    good = {"train": {"curve": [[1, 2.5]], "tokens": 8}, "tasks": {"a": {"acc": 1, "n": 3, "outcomes": "101"}}}
    assert told(tmp_path, "quality", good) == Outcome("ok", None, good)
    assert told(tmp_path, "quality", {**good, **wrong}).status == "error"
    assert told(tmp_path, "stability", {"stability": {"steps": 3}}).status == "ok"
    assert told(tmp_path, "stability", {"stability": wrong}).status == "error"


HOSTILE = [*(0, -1, 1e300, 1e-300, 2**70, 10**400, True, None, "", "0.5", "\ud800", "x" * 300, [], {}, [[]], [None]),
           *({"a": 1}, ["a"], [1e300, 1e-300], float("inf"), float("nan"))]  # fmt: skip


@FEW
@given(data=st.data())
def test_what_is_recorded_can_be_read_by_all_that_reads_it(data: st.DataObject, tmp_path: Path) -> None:
    """Whatever a job writes: the record is an error, or the engine, the gate and the report can work with it."""
    written = mutated(data, {"status": "ok", "reason": None, "result": GOOD}, HOSTILE, ("x", "status", "samples_s"))
    (tmp_path / "result").write_bytes(json.dumps(written).encode("utf-8", "surrogatepass"))
    found = outcome.of(0, result=tmp_path / "result", log=tmp_path / "log", kind="speed")
    job = Job("a-0", "a", "speed", {}, 0, 9.0)
    end = Ended(job, found.status, found.reason, found.result, "", 1.0)
    end = rings._with_other_work(end, {"disturbed": ["load 3"], "load_1min": 3.0})
    mine = Record("a", 0, end.status, end.reason, "", 1.0, end.result, round=0)
    json.dumps(mine.to_json(), allow_nan=False).encode()
    if found.status != "ok":
        return
    checked(RESULT, found.result or {}, "here")
    good = Record("b", 0, "ok", None, "", 1.0, GOOD, round=0)
    for pair in ((mine, good), (good, mine)):
        compare_speed(paired_logs(*(timed([record]) for record in pair)))
        log_slowdown(*pair)
