"""Derive the outcome of a job from what its process left: an exit status, perhaps a result, perhaps some output."""

from __future__ import annotations

import json
import math
import os
import re
import signal
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from benchsuite.limits import MOST_AMOUNT, MOST_S
from benchsuite.records.case import KINDS, MEASURED, STATUSES
from benchsuite.records.results import QualityResult, RuleResult, SearchResult, SpeedResult, StabilityResult
from benchsuite.text import line, tree
from benchsuite.worker import EXIT_NO_RESULT

NO_RESULT = "no result"
MOST_BYTES, MOST_DEPTH = 256 * 2**20, 50  # of a result
TAIL_BYTES, TAIL_LINES, TAIL_CHARACTERS = 65536, 20, 1500
_FOLDERS = re.compile(r'File "[^"]*/')  # a machine's paths say nothing to a reader elsewhere


OF_KIND: dict[str, type[BaseModel]] = {
    "quality": QualityResult,
    "stability": StabilityResult,
    "search": SearchResult,
    "rule": RuleResult,
}  # others are speeds


@dataclass(frozen=True)
class Outcome:
    """A record's status, reason and result."""

    status: str
    reason: str | None
    result: dict[str, Any] | None = None


def of(
    returncode: int | None, *, result: Path, log: Path, killed: Outcome | None = None, kind: str | None = None
) -> Outcome:
    """The outcome of a process that ended with `returncode`: negative for a signal, None for a dead fork server.

    `result` and `log` are the job's files, which may be missing; `killed` is what a job killed on purpose comes to. A
    result that is there counts, however the process ended: it appears whole or not at all, as the last thing. Only
    where a killed job wrote how it failed, it failed by being killed.
    `NO_RESULT` is the status of a job that the disk, and not its own doing, left without one. A result that is no
    result of the worker's, which a job may have written itself, is an error with a reason; so is a measured one whose
    fields are not those of the schema for a case of `kind` (None: a preparation, of which nothing is read).
    """
    if result.is_symlink() or result.exists():
        try:
            written = _read(result, kind)
        except (OSError, ValueError, RecursionError) as error:
            return killed or Outcome("error", f"its result cannot be read: {line(str(error))[:TAIL_CHARACTERS]}")
        if killed is None or written.status == "ok":
            return written
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


def _read(path: Path, kind: str | None) -> Outcome:
    """Return what a result file says. Raises OSError or ValueError where no worker wrote it so, RecursionError where it
    is nested too deep."""
    with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
        about = os.fstat(file.fileno())
        if not stat.S_ISREG(about.st_mode):
            raise ValueError("it is not a plain file")
        if about.st_size > MOST_BYTES:
            raise ValueError(f"it has more than {MOST_BYTES // 2**20} MiB")
        text = file.read(MOST_BYTES)
    written = json.loads(text)
    if not isinstance(written, dict):
        raise ValueError("it is not a JSON object")
    status, reason, found = (written.get(key) for key in ("status", "reason", "result"))
    if status not in STATUSES:
        raise ValueError(f"its status is {str(status)[:40]!r}")
    if not isinstance(reason, str | None) or not isinstance(found, dict | None):
        raise ValueError("its reason is not a text, or its result not an object")
    _check(found)
    if kind is not None and status in MEASURED:
        if found is None:
            raise ValueError(f"its status is {status!r} and it has no result")
        _check_fields(kind, found)
    return Outcome(status, reason, tree(found))


def _check(value: Any, depth: int = 0) -> None:
    """Raise ValueError where a record cannot hold `value`."""
    if depth > MOST_DEPTH:
        raise ValueError(f"it is nested more than {MOST_DEPTH} deep")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"it holds {value}")
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            _check(item, depth + 1)


def _check_fields(kind: str, found: dict[str, Any]) -> None:
    """Raise ValueError where a field of a measured result has another type than the schema says, or a value that no
    measurement gives: later stages read these fields without a further check."""
    model = OF_KIND.get(kind, SpeedResult)
    try:
        read = model.model_validate_json(json.dumps(found), strict=True)  # a text is no number, and a number no text
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise ValueError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    if isinstance(read, SpeedResult) and (kind not in KINDS or KINDS[kind].timed):
        for time_s in (read.time_s, *read.samples_s):
            if time_s is None or not 0 < time_s <= MOST_S:
                raise ValueError(f"{time_s} is no time of a call in seconds")
        if read.stop == "turns" and not read.samples_s:
            raise ValueError("samples_s: it took turns and has no time of any")
        for name in ("tokens", "tokens_per_s", "peak_bytes"):
            value = getattr(read, name)
            if value is not None and not 0 <= value <= MOST_AMOUNT:
                raise ValueError(f"{name} is {value:g}")


def _tail(path: Path) -> str:
    """The last lines of a job's output, to end a reason with."""
    if not path.exists():
        return ""
    with open(path, "rb") as file:
        file.seek(max(0, path.stat().st_size - TAIL_BYTES))
        lines = file.read().decode(errors="replace").strip().splitlines()
    telling = [_FOLDERS.sub('File "', one) for one in lines if not one.startswith("Extension modules:")]
    text = "\n".join(telling[-TAIL_LINES:])[-TAIL_CHARACTERS:].strip()
    return f"; its last output:\n{text}" if text else "; it wrote nothing"


def _crash_place(tail: str) -> str:
    """Return where Python was when it crashed, as faulthandler's first frame tells."""
    frame = re.search(r'call first\):\n\s*File "([^"]+)", line (\d+) in (\S+)', tail)
    return f" in {frame[3]} ({frame[1]}:{frame[2]})" if frame else ""


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
