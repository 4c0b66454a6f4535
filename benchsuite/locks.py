"""One run at a time: a file lock that the kernel releases when its holder dies, however it dies.

with machine_lock(holder="runs/quick-1", wait=True, say=print, names=["machine"]):
    ...  # nothing else that takes the lock measures meanwhile
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Callable, Collection, Iterator
from datetime import UTC, datetime
from pathlib import Path

from benchsuite import files
from benchsuite.cache import cache_dir
from benchsuite.errors import UserError

POLL_S = 0.2


@contextlib.contextmanager
def machine_lock(
    holder: str,
    *,
    wait: bool,
    say: Callable[[str], None],
    stop: Callable[[], bool] = lambda: False,
    names: Collection[str],
) -> Iterator[None]:
    """Hold the locks of these names, those of the devices that are measured (`benchsuite.devices.Device.lock_name`),
    so that no run measures in another's noise. Runs on different devices go side by side.

    The lock lies in the cache folder: runs that share it share the lock. Raises UserError where it is taken and
    `wait` is false; otherwise tells `say` who holds it and waits. `stop` ends the waiting with KeyboardInterrupt.
    """
    with contextlib.ExitStack() as held:
        for name in sorted(names):  # in one order, so that no two runs wait for each other
            path = cache_dir("locks") / name
            problem = "another run measures on this machine"
            held.enter_context(_locked(path, holder, wait, say, stop, problem, "leave out --no-wait"))
        yield


@contextlib.contextmanager
def run_lock(folder: Path) -> Iterator[None]:
    """Hold the lock of one run directory. Raises UserError where another process writes to it, and where the lock is
    a link."""
    problem, way_out = f"another process writes to {folder}", "choose another directory"
    with _locked(folder / "lock", str(folder), False, _silent, lambda: False, problem, way_out):
        yield


@contextlib.contextmanager
def install_lock(commit: str, say: Callable[[str], None]) -> Iterator[None]:
    """Hold the lock of one commit's environment: two gates that want it make it once."""
    path = cache_dir("locks") / f"commit-{commit}"
    with _locked(path, "a gate", True, say, lambda: False, f"another process installs {commit[:12]}", ""):
        yield


def _silent(text: str) -> None:
    """For locks that never wait."""


@contextlib.contextmanager
def _locked(
    path: Path,
    holder: str,
    wait: bool,
    say: Callable[[str], None],
    stop: Callable[[], bool],
    problem: str,
    way_out: str,
) -> Iterator[None]:
    try:
        handle = files.open_(path, os.O_RDWR | os.O_CREAT)
    except OSError as error:
        raise UserError(f"the lock {path} cannot be made: {error.strerror}") from error
    try:
        if not _try(handle):
            who = _holder(handle)
            if not wait:
                raise UserError(f"{problem}: {who}", hint=f"wait for it to end, or {way_out}")
            say(f"{problem}: {who}; waiting for it to end (--no-wait refuses instead)")
            while not _try(handle):
                if stop():
                    raise KeyboardInterrupt
                time.sleep(POLL_S)
            say("it has ended")
        about = {"pid": os.getpid(), "run": holder, "since": datetime.now(UTC).isoformat(timespec="seconds")}
        os.ftruncate(handle, 0)
        os.pwrite(handle, json.dumps(about).encode(), 0)
        yield
    finally:
        os.close(handle)


def _try(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _holder(handle: int) -> str:
    """Return the run that holds the lock; the file may be read while its holder writes it."""
    try:
        about = json.loads(os.pread(handle, 4096, 0))
        return f"{about['run']} (process {about['pid']}, since {about['since']})"
    except (ValueError, KeyError, TypeError):
        return "a process that has just begun"
