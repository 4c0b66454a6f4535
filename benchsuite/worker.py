"""One job in this process: `python -m benchsuite.worker job.json`.

The job file says what to call, with what, and where the result goes:

    {"name": …, "measure": "module:function", "seeded": false, "params": {…}, "replicate": 0, "threads": 1,
     "alone": true, "memory_limit_bytes": null, "workdir": …, "log": …, "result": …, "progress_fd": null,
     "parent": null, "turns": null}

The result file appears whole or not at all: {"status", "reason", "result"}. The fork server runs the same in its
children, and torchrun in several processes, of which the first writes the result, and any other only a failure.
"""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import importlib
import json
import math
import os
import platform
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from benchsuite import files, text
from benchsuite.cache import write_atomically
from benchsuite.errors import UserError
from benchsuite.records.case import NotMeasured

EXIT_NO_RESULT = 74  # EX_IOERR of sysexits.h: the result could not be written
ALLOCATOR = "glibc heap, no mmap, no trim"
PROGRESS_INTERVAL_S = 0.2
REASON_CHARACTERS = 1000
OUT_OF_MEMORY = ("not enough memory", "can't allocate memory", "cannot allocate memory", "out of memory", "bad_alloc")

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # malloc.h


def main(arguments: list[str] | None = None) -> int:
    """Run the job in the given file; return the exit status."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if len(arguments) != 1:
        print("usage: python -m benchsuite.worker job.json", file=sys.stderr)
        return 2
    return run(json.loads(Path(arguments[0]).read_text()))


def run(job: dict[str, Any]) -> int:
    """Isolate this process as `job` says, do the work, write the result file; return the exit status."""
    rank, size = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    if "TORCHELASTIC_RUN_ID" in os.environ:  # torchrun stands between, and hands on no pipe
        job = {**job, "parent": os.getppid(), "progress_fd": None}
    context = isolate(job)
    outcome = measure(job)
    if rank and outcome["status"] == "ok":
        return 0
    if isinstance(outcome["result"], dict):
        outcome["result"].setdefault("context", {}).update(context)
    try:
        write_result(Path(job["result"]), outcome)
    except OSError:
        traceback.print_exc()
        return EXIT_NO_RESULT
    return 1 if size > 1 and outcome["status"] != "ok" else 0  # then torchrun ends the others


def isolate(job: dict[str, Any]) -> dict[str, Any]:
    """Tie this process to its parent, redirect its output to the job's log, limit its memory, pin the allocator.

    Returns what of it a reader of the result should know.
    """
    if job.get("parent") is not None:
        die_with_parent(job["parent"], signal.SIGKILL)
    if job.get("log"):
        log = files.open_(Path(job["log"]), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.close(log)
    faulthandler.enable(file=2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(OSError):  # not Linux, or not allowed: the kernel then chooses without this hint
        Path("/proc/self/oom_score_adj").write_text("1000")
    limit = job.get("memory_limit_bytes")
    if limit:
        allowed = limit + _data_bytes()
        resource.setrlimit(resource.RLIMIT_DATA, (allowed, allowed))
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(job["threads"])
    cores = pin(job["threads"], job.get("place", 0)) if job.get("alone") else None
    return {"allocator": pin_allocator(), "memory_limit_bytes": limit, "cores": cores}


def pin(threads: int, place: int = 0) -> list[int] | None:
    """Keep this process on the cores of `cores_of`. Return them, and None where all are needed or the system does not
    let."""
    own = cores_of(threads, place)
    if own is not None:
        os.sched_setaffinity(0, own)
    return own


def cores_of(threads: int, place: int = 0) -> list[int] | None:
    """Return `threads` of the cores that this process may use, from the last on: the first serves interrupts. Processes
    that measure at the same time on several devices have a `place` each, and no core in common. None: all cores."""
    if not hasattr(os, "sched_setaffinity"):
        return None
    allowed = sorted(os.sched_getaffinity(0))
    end = len(allowed) - threads * place
    if threads >= len(allowed) or end < threads:
        return None
    return allowed[end - threads : end]


def die_with_parent(parent: int, signum: int) -> None:
    """Ask the kernel to send `signum` to this process when `parent` dies; exit where it is dead already."""
    if platform.system() == "Linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signum, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(128 + signum)


def pin_allocator() -> str:
    """Make glibc keep what it has got from the kernel, so that no timed call pays for page faults that the one
    before it paid too. Return the allocator's name for the result's context."""
    if platform.libc_ver()[0] != "glibc":
        return "the system's default"
    libc = ctypes.CDLL(None)
    pinned = libc.mallopt(_M_MMAP_MAX, 0) and libc.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
    return ALLOCATOR if pinned else "glibc default"


def measure(job: dict[str, Any]) -> dict[str, Any]:
    """Call the job's function; whatever it raises becomes a status with a reason."""
    try:
        module, _, function = job["measure"].partition(":")
        call: Callable[..., Any] = getattr(importlib.import_module(module), function)
        if "torch" in sys.modules:
            sys.modules["torch"].set_num_threads(job["threads"])
        if job["seeded"]:
            workdir = Path(job["workdir"])
            files.make(workdir)
            result = call(job["params"], seed=job["replicate"], workdir=workdir, progress=Progress(job["progress_fd"]))
        else:
            words = {"first": job["replicate"] == 0} if job.get("alone") else {}
            result = call(job["params"], **words, **({"turns": job["turns"]} if job.get("turns") else {}))
        return _outcome("ok", None, result if isinstance(result, dict) else None)
    except NotMeasured as error:
        return _outcome(error.status, error.reason, error.result)
    except UserError as error:
        return _outcome("error", "; ".join(filter(None, (error.message, error.hint))))
    except BaseException as error:  # a variant may raise anything, SystemExit included
        traceback.print_exc()
        return _outcome("oom" if _is_out_of_memory(error) else "error", _reason(error))


class Progress:
    """Report the fraction done to the scheduler, through a pipe, a few times a second at most."""

    def __init__(self, handle: int | None) -> None:
        self._handle = handle
        self._last = 0.0
        if handle is not None:
            os.set_blocking(handle, False)

    def __call__(self, fraction: float) -> None:
        now = time.monotonic()
        if self._handle is None or (now - self._last < PROGRESS_INTERVAL_S and fraction < 1):
            return
        self._last = now
        with contextlib.suppress(BlockingIOError, BrokenPipeError):  # nobody reads: progress is for readers only
            os.write(self._handle, f"{fraction:.4f}\n".encode())


def write_result(path: Path, outcome: dict[str, Any]) -> None:
    """Write the outcome as JSON, atomically, its texts made harmless. A number that is NaN or infinite becomes null,
    and the status that was `ok` becomes `incorrect`; a result that is not JSON becomes an error. Raises OSError."""
    try:
        outcome = text.tree(json.loads(json.dumps(outcome, default=_plain)))
    except Exception as error:  # a result may hold objects that do anything when they are asked for their value
        outcome = _outcome("error", f"the result cannot be written as JSON: {_reason(error)}")
    wrong: list[str] = []
    outcome["result"] = _finite(outcome["result"], "", wrong)
    if wrong and outcome["status"] == "ok":
        outcome["status"], outcome["reason"] = "incorrect", f"the result holds {', '.join(wrong[:3])}: no measurement"
    with write_atomically(path) as temporary:
        temporary.write_text(json.dumps(outcome, allow_nan=False))


def _outcome(status: str, reason: str | None, result: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"status": status, "reason": reason, "result": result}


def _is_out_of_memory(error: BaseException) -> bool:
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError) and any(words in str(error).lower() for words in OUT_OF_MEMORY)


def _reason(error: BaseException) -> str:
    """The exception in a few lines and where it was raised, without the machine's paths."""
    try:
        said = str(error).strip()
    except Exception:  # an exception's own __str__ may fail
        said = "it cannot say why"
    said = said if len(said) <= REASON_CHARACTERS else said[:REASON_CHARACTERS] + "…"
    frames = traceback.extract_tb(error.__traceback__)
    where = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno} in {frames[-1].name})" if frames else ""
    return f"{type(error).__name__}: {said}{where}" if said else f"{type(error).__name__}{where}"


def _data_bytes() -> int:
    """Return the bytes that RLIMIT_DATA counts for this process: VmData in /proc/self/status, or 0 without it."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmData:")), 0)


def _finite(value: Any, name: str, wrong: list[str]) -> Any:
    """`value` with None for numbers that are NaN or infinite, of which `wrong` gets a description."""
    if isinstance(value, dict):
        return {key: _finite(item, f"{name}.{key}" if name else key, wrong) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item, name, wrong) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        wrong.append(f"{value} as {name}")
        return None
    return value


def _plain(value: Any) -> Any:
    """numpy and torch scalars as Python numbers."""
    if hasattr(value, "item"):
        return value.item()
    raise TypeError(f"{type(value).__name__} is not a JSON value")


def leave(status: int) -> NoReturn:
    """End this process at once: a library that crashes while it is torn down cannot spoil a result that is written."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__":
    leave(main())
