"""What became of a job, told from what its process left: an exit status, perhaps a result, perhaps some output."""

from __future__ import annotations

import json
import re
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchsuite.worker import EXIT_NO_RESULT

NO_RESULT = "no result"
TAIL_BYTES, TAIL_LINES, TAIL_CHARACTERS = 65536, 20, 1500
_FOLDERS = re.compile(r'File "[^"]*/')  # a machine's paths say nothing to a reader elsewhere


@dataclass(frozen=True)
class Outcome:
    """A record's status, reason and result."""

    status: str
    reason: str | None
    result: dict[str, Any] | None = None


def of(returncode: int | None, *, result: Path, log: Path, killed: Outcome | None = None) -> Outcome:
    """The outcome of a process that ended with `returncode`: negative for a signal, None for a dead fork server.

    `result` and `log` are the job's files, which may be missing; `killed` is what a job killed on purpose comes to. A
    result that is there counts, however the process ended: it appears whole or not at all, as the last thing. Only
    where a killed job wrote how it failed, it failed by being killed.
    `NO_RESULT` is the status of a job that the disk, and not its own doing, left without one.
    """
    if result.exists():
        written = json.loads(result.read_text())
        if killed is None or written["status"] == "ok":
            return Outcome(written["status"], written["reason"], written["result"])
    tail = _tail(log)
    if killed is not None:
        return Outcome(killed.status, f"{killed.reason}{tail}")
    if returncode is None:
        return Outcome("error", f"the fork server died again while it ran{tail}")
    if returncode == EXIT_NO_RESULT:
        return Outcome(NO_RESULT, tail.rpartition("\n")[2])
    if returncode >= 0:
        return Outcome("error", f"the process ended with exit status {returncode} and no result{tail}")
    name = f"{_signal_name(-returncode)}{_crash_place(tail)}"
    if -returncode == signal.SIGKILL:
        return Outcome("oom", f"{name}: killed from outside, as the kernel does when memory runs out{tail}")
    # C++ code without a handler ends in SIGABRT when an allocation fails.
    return Outcome("oom" if "bad_alloc" in tail else "error", f"{name}{tail}")


def _tail(path: Path) -> str:
    """The last lines of a job's output, to end a reason with."""
    if not path.exists():
        return ""
    with open(path, "rb") as file:
        file.seek(max(0, path.stat().st_size - TAIL_BYTES))
        lines = file.read().decode(errors="replace").strip().splitlines()
    telling = [_FOLDERS.sub('File "', line) for line in lines if not line.startswith("Extension modules:")]
    text = "\n".join(telling[-TAIL_LINES:])[-TAIL_CHARACTERS:].strip()
    return f"; its last output:\n{text}" if text else "; it wrote nothing"


def _crash_place(tail: str) -> str:
    """Where Python was when it crashed, as faulthandler's first frame tells."""
    frame = re.search(r'call first\):\n\s*File "([^"]+)", line (\d+) in (\S+)', tail)
    return f" in {frame[3]} ({frame[1]}:{frame[2]})" if frame else ""


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
