"""Exit statuses, results and logs told apart."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from benchsuite.engine import outcome
from benchsuite.engine.outcome import NO_RESULT, Outcome
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
    found = outcome.of(0, result=tmp_path / "result", log=tmp_path / "log")
    assert (found.status, found.result) == ("error", None)
    assert "its result cannot be read" in (found.reason or "")
    killed = Outcome("timeout", "too slow")
    assert outcome.of(-9, result=tmp_path / "result", log=tmp_path / "log", killed=killed).status == "timeout"


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
