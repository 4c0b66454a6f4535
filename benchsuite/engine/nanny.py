"""A process between a job and whoever started it. It ends when the job does, and before that ends all that the job has
left behind, in whatever sessions and groups: the kernel gives it what loses its parent (PR_SET_CHILD_SUBREAPER).

    python -m benchsuite.engine.nanny PARENT job.json       # in one interpreter what `python -m benchsuite.worker` does
    python -m benchsuite.engine.nanny PARENT COMMAND …

It ends with the status of the job. SIGTERM, which it also gets when its parent dies, ends the job and itself.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import resource
import signal
import sys
import time
from collections.abc import Collection
from typing import NoReturn

import psutil

from benchsuite import worker

_PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
PATIENCE_S = 5.0  # with a process that is killed and does not go, as one that waits for a dead disk


def between(parent: int, close: Collection[int] = ()) -> None:
    """Return in a new process, the job's, which has a group of its own; this one, the child of `parent`, watches it
    and never returns. It closes the handles in `close`, which are the job's."""
    adopt()
    signal.signal(signal.SIGTERM, lambda *_: _end())
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM, signal.SIGINT})
    worker.die_with_parent(parent, signal.SIGTERM)
    nanny = os.getpid()
    job = os.fork()
    if job == 0:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.setpgid(0, 0)
        worker.die_with_parent(nanny, signal.SIGKILL)
        return
    for handle in close:
        os.close(handle)
    _watch(job)


def adopt() -> None:
    """From now on what descends from this process and loses its parent becomes its child, on Linux."""
    if platform.system() == "Linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def end_children(but: Collection[int] = ()) -> None:
    """Kill the children of this process and all that descends from them, except `but`."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        children = [child for child in _children(psutil.Process()) if child.pid not in but]
        if not children:
            return
        for child in children:
            for one in [child, *_children(child, recursive=True)]:
                with contextlib.suppress(psutil.Error):
                    one.kill()
        for child in children:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(child.pid, os.WNOHANG)
        time.sleep(0.002)


def _children(of: psutil.Process, *, recursive: bool = False) -> list[psutil.Process]:
    try:
        return of.children(recursive=recursive)
    except psutil.Error:  # it has just ended
        return []


def _watch(job: int) -> NoReturn:
    """Wait for the job, and for what becomes our child meanwhile; end as the job has ended."""
    pid, status = 0, 0
    while pid != job:
        pid, status = os.waitpid(-1, 0)
    with contextlib.suppress(ChildProcessError):  # mostly there is none
        os.waitpid(-1, os.WNOHANG)
        end_children()
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        with contextlib.suppress(OSError, ValueError):  # of SIGKILL there is no handler
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code if code >= 0 else 128 - code)


def _end() -> NoReturn:
    end_children()
    os._exit(128 + signal.SIGTERM)


def main() -> None:
    parent, *command = sys.argv[1:]
    between(int(parent))
    if len(command) > 1:
        os.execvp(command[0], command)
    worker.leave(worker.main(command))


if __name__ == "__main__":
    main()
