"""Import torch once and fork a child process for each job.

    python -m benchsuite.engine.forkserver --fd 5 --preload benchsuite.measure.speed,benchsuite.cuda_ext:load

Importing torch takes seconds and a fork takes milliseconds, so a fresh process for every replicate stays cheap. Before
it forks, the server must not start a thread pool or a CUDA context, which do not survive a fork; `ready` checks this.

Packets on the socket `fd` are JSON. The server receives {"run": job name, "file": job file}, with the write end of the
progress pipe attached, and {"kill": job name}. It sends {"ready": …} or {"failed": reason}, then {"started": job name,
"pid": …} and {"ended": job name, "returncode": negative for a signal}. When the other end closes, every job is killed.
Each job runs below a supervisor of its own, which ends the processes that the job leaves behind
(`benchsuite.engine.nanny`).
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import importlib
import json
import os
import select
import signal
import socket
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any, NoReturn

from benchsuite import devices, worker
from benchsuite.engine import nanny

PACKET_BYTES = 65536
# Threads that libraries start when they are imported and that a fork does not harm: pyarrow's jemalloc starts its own
# anew in the child.
HARMLESS_THREADS = ("jemalloc_bg_thd",)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--fd", type=int, required=True)
    parser.add_argument("--parent", type=int, required=True)
    parser.add_argument("--preload", default="")
    arguments = parser.parse_args()
    worker.die_with_parent(arguments.parent, signal.SIGKILL)
    link = socket.socket(fileno=arguments.fd)
    try:
        about = ready([name for name in arguments.preload.split(",") if name])
    except BaseException as error:  # an import may raise anything; the other end tells it
        traceback.print_exc()
        _send(link, {"failed": f"{type(error).__name__}: {error}"})
        raise SystemExit(1) from error
    _send(link, {"ready": about})
    # From here the end of the parent shows as the end of the socket, and there is time to kill whole process groups.
    worker.die_with_parent(arguments.parent, 0)
    nanny.adopt()
    Server(link).serve()


def ready(preload: list[str]) -> dict[str, Any]:
    """Import the modules, call the functions (`module:function`), and check that a fork is safe. Raises RuntimeError if
    it is not."""
    for name in preload:
        module, _, function = name.partition(":")
        imported = importlib.import_module(module)
        if function:
            getattr(imported, function)()
    if begun := devices.initialised():
        raise RuntimeError(f"an import initialised {begun[0]}, which a forked process cannot use")
    found = threads()
    if found:
        raise RuntimeError(f"an import started threads, which a fork loses: {', '.join(found)}")
    gc.collect()
    gc.freeze()  # so that collections in the children do not copy the parent's pages
    return {"pid": os.getpid(), "preload": preload}


def threads() -> list[str]:
    """Return the names of this process's threads, except the main one and those known to survive a fork."""
    tasks = Path("/proc/self/task")
    if not tasks.exists():
        return [thread.name for thread in threading.enumerate() if thread is not threading.main_thread()]
    others = [task for task in tasks.iterdir() if task.name != str(os.getpid())]
    names = [(task / "comm").read_text().strip() for task in others]
    return [name for name in names if name not in HARMLESS_THREADS]


class Server:
    """Receive packets, fork children, and report their ends."""

    def __init__(self, link: socket.socket) -> None:
        self.link = link
        self.jobs: dict[int, str] = {}  # process id to job name
        self.wakeup, self.waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def serve(self) -> NoReturn:
        signal.signal(signal.SIGCHLD, lambda *_: None)  # wakes the loop through the pipe
        signal.set_wakeup_fd(self.waker, warn_on_full_buffer=False)
        for signum in (signal.SIGTERM, signal.SIGINT):
            signal.signal(signum, lambda *_: self.end())
        while True:
            link = self.link.fileno()
            readable, _, _ = select.select([link, self.wakeup], [], [])
            if self.wakeup in readable:
                with contextlib.suppress(BlockingIOError):
                    while os.read(self.wakeup, 512):
                        pass
            self.reap()
            if link in readable:
                self.receive()

    def receive(self) -> None:
        try:
            data, handles, _, _ = socket.recv_fds(self.link, PACKET_BYTES, 1)
        except ConnectionError:
            data, handles = b"", []
        if not data:
            self.end()
        packet = json.loads(data)
        if "run" in packet:
            self.run(packet["run"], packet["file"], handles[0] if handles else None)
        else:
            for pid, name in self.jobs.items():
                if name == packet["kill"]:
                    _end(pid)

    def run(self, name: str, file: str, progress: int | None) -> None:
        server, ends = os.getpid(), {signal.SIGTERM, signal.SIGINT}
        signal.pthread_sigmask(signal.SIG_BLOCK, ends)  # until the child has handlers of its own
        pid = os.fork()
        if pid == 0:
            self.child(server, file, progress)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ends)
        if progress is not None:
            os.close(progress)
        self.jobs[pid] = name
        _send(self.link, {"started": name, "pid": pid})

    def child(self, server: int, file: str, progress: int | None) -> NoReturn:
        """Run the job in its own session, below its nanny. Never returns."""
        status = 1
        try:
            os.setsid()
            signal.set_wakeup_fd(-1)
            for signum in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT):
                signal.signal(signum, signal.SIG_DFL)
            for handle in (self.link.fileno(), self.wakeup, self.waker):
                os.close(handle)
            nanny.between(server, close=() if progress is None else (progress,))
            job = json.loads(Path(file).read_text())
            status = worker.run({**job, "parent": None, "progress_fd": progress})
        except BaseException:  # the child must not fall back into the server's loop
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)

    def reap(self) -> None:
        """Report every job that has ended."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            name = self.jobs.pop(pid, None)
            if name is not None:
                if os.WIFSIGNALED(status):  # was it the nanny that was killed? What it watched is ours now
                    nanny.end_children(but=self.jobs)
                _send(self.link, {"ended": name, "returncode": os.waitstatus_to_exitcode(status)})

    def end(self) -> NoReturn:
        for pid in self.jobs:
            _end(pid)
        deadline = time.monotonic() + nanny.PATIENCE_S
        with contextlib.suppress(ChildProcessError):
            while time.monotonic() < deadline:
                if os.waitpid(-1, os.WNOHANG) == (0, 0):
                    time.sleep(0.002)
        nanny.end_children()
        os._exit(0)


def _end(pid: int) -> None:
    """Tell a nanny to end its job, and wake the nanny if the job has stopped it."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
        os.kill(pid, signal.SIGCONT)


def _send(link: socket.socket, packet: dict[str, Any]) -> None:
    with contextlib.suppress(ConnectionError):  # the other end is gone: the next read tells, and ends the server
        link.send(json.dumps(packet).encode())


if __name__ == "__main__":
    main()
