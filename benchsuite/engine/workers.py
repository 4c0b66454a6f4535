"""Run jobs as children of a fork server, or as processes started cold. Both isolate jobs in the same way.

workers = ForkWorkers(preload=("benchsuite.measure.speed",))
workers.start("3f2a-0", job_file)
for event in workers.events(timeout_s=0.5):
    ...  # Progressed or Ended
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any, Protocol

from benchsuite import files, git
from benchsuite.engine.forkserver import PACKET_BYTES
from benchsuite.errors import UserError

APPEND = os.O_WRONLY | os.O_APPEND | os.O_CREAT
START_TIMEOUT_S = 300.0  # importing torch from a cold disk takes a minute on some machines

# One thread unless a job asks for more, no threads at import (they would not survive the fork), the same hashes and no
# network in every process.
ENVIRONMENT = {
    **dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS"), "1"),
    "TORCHINDUCTOR_COMPILE_THREADS": "1",
    "PYTHONHASHSEED": "0",
    "HF_HUB_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
}
NETWORK = ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "TRANSFORMERS_OFFLINE")


def environment(*, network: bool = False) -> dict[str, str]:
    """Return this process's environment with `ENVIRONMENT` and without git's variables; `network` keeps the hub
    reachable."""
    pinned = {key: value for key, value in ENVIRONMENT.items() if not (network and key in NETWORK)}
    return {**git.environment(), **pinned}


@dataclass(frozen=True)
class Progressed:
    """A job reported the fraction of its work that is done."""

    name: str
    fraction: float


@dataclass(frozen=True)
class Ended:
    """A job's process ended. `returncode` is negative for a signal and None where the fork server died with it."""

    name: str
    returncode: int | None


Event = Progressed | Ended


class Workers(Protocol):
    """The interface of a group of worker processes, as the scheduler uses it."""

    def warm(self) -> None: ...
    def start(self, name: str, file: Path) -> None: ...
    def kill(self, name: str) -> None: ...
    def waiting(self, name: str) -> bool: ...
    def events(self, timeout_s: float) -> list[Event]: ...
    def close(self) -> None: ...


def make(
    preload: tuple[str, ...],
    *,
    network: bool = False,
    python: str = sys.executable,
    variables: Mapping[str, str] = MappingProxyType({}),
) -> Workers:
    """Return a fork server on Linux, cold processes elsewhere. `python` is the interpreter of the jobs; `variables` are
    added to their environment."""
    options: dict[str, Any] = {"network": network, "python": python, "variables": variables}
    return ForkWorkers(preload, **options) if platform.system() == "Linux" else ColdWorkers(**options)


class Routed:
    """Run trainings on one group of workers and all other jobs on another."""

    def __init__(self, others: Workers, trainings: Workers) -> None:
        self._places = others, trainings
        self._of: dict[str, Workers] = {}

    def warm(self) -> None:
        for place in self._places:
            place.warm()

    def start(self, name: str, file: Path) -> None:
        self._of[name] = self._places[bool(json.loads(file.read_text())["seeded"])]
        self._of[name].start(name, file)

    def kill(self, name: str) -> None:
        if name in self._of:
            self._of[name].kill(name)

    def waiting(self, name: str) -> bool:
        return name in self._of and self._of[name].waiting(name)

    def events(self, timeout_s: float) -> list[Event]:
        """Return the events of both groups; wait for the group that has jobs."""
        others, trainings = self._places
        training = any(place is trainings for place in self._of.values())
        events = trainings.events(0.0) + others.events(min(timeout_s, 0.1) if training else timeout_s)
        for event in events:
            if isinstance(event, Ended):
                del self._of[event.name]
        return events

    def close(self) -> None:
        for place in self._places:
            place.close()


class _Pipes:
    """The progress pipes of running jobs, one selector for all."""

    def __init__(self) -> None:
        self.selector = selectors.DefaultSelector()
        self._ends: dict[str, int] = {}

    def open(self, name: str) -> int:
        """Return the write end of a new pipe; the caller closes it once the job has it."""
        ours, theirs = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(ours, False)
        self._ends[name] = ours
        self.selector.register(ours, selectors.EVENT_READ, name)
        return theirs

    def read(self, name: str) -> Iterator[Progressed]:
        if name not in self._ends:
            return  # it ended in the same moment
        with contextlib.suppress(BlockingIOError):
            data = os.read(self._ends[name], 65536)
            if not data:
                self.selector.unregister(self._ends[name])  # its writers are gone; the end of the job follows
            for word in data.split()[-1:]:
                with contextlib.suppress(ValueError):  # a job can write anything into its pipe
                    yield Progressed(name, min(1.0, max(0.0, float(word))))

    def close(self, name: str) -> None:
        end = self._ends.pop(name)
        with contextlib.suppress(KeyError):
            self.selector.unregister(end)
        os.close(end)

    def names(self) -> list[str]:
        return list(self._ends)


class _Killed(Exception):  # noqa: N818 - what became of a server
    """A signal ended the server before it was ready."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.name = signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"


class ForkWorkers:
    """Run jobs as children of a fork server, which starts with the first job and again after it has died.

    Raises UserError if the server cannot start.
    """

    def __init__(
        self,
        preload: tuple[str, ...],
        *,
        network: bool = False,
        python: str = sys.executable,
        variables: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self.preload = preload
        self.python = python
        self.environment = {**environment(network=network), **variables}
        self.deaths = 0
        self._server: subprocess.Popen[bytes] | None = None
        self._link: socket.socket | None = None
        self._pipes = _Pipes()
        self._lost: list[Event] = []

    def warm(self) -> None:
        """Start the server if it is not running, so that no job's time includes the start."""
        if self._link is None:
            self._launch()

    def start(self, name: str, file: Path) -> None:
        link = self._link or self._launch()
        theirs = self._pipes.open(name)
        try:
            packet = json.dumps({"run": name, "file": str(file)}).encode()
            socket.send_fds(link, [packet], [theirs])
        except OSError:
            self._died()
        finally:
            os.close(theirs)

    def kill(self, name: str) -> None:
        if self._link is not None:
            with contextlib.suppress(OSError):  # dead: `events` tells
                self._link.send(json.dumps({"kill": name}).encode())

    def waiting(self, name: str) -> bool:
        """Return False: jobs begin at once."""
        return False

    def events(self, timeout_s: float) -> list[Event]:
        """Return what happened, after `timeout_s` at the latest."""
        events, self._lost = self._lost, []
        for key, _ in self._pipes.selector.select(0 if events else timeout_s):
            if key.data is not None:
                events += self._pipes.read(key.data)
                continue
            packet = self._receive()
            if packet is None:
                self._died()
            elif "ended" in packet:
                events.append(self._ended(packet["ended"], packet["returncode"]))
        events, self._lost = events + self._lost, []
        return events

    def close(self) -> None:
        """Kill all jobs and end the server."""
        if self._link is not None:
            self._pipes.selector.unregister(self._link)
            self._link.close()
            self._link = None
        if self._server is not None:
            try:
                self._server.wait(10)
            except subprocess.TimeoutExpired:
                self._server.kill()
                self._server.wait()
            self._server = None
        for name in self._pipes.names():
            self._pipes.close(name)

    @property
    def pid(self) -> int | None:
        """The server's process id, or None if it is not running."""
        return self._server.pid if self._server else None

    def _launch(self) -> socket.socket:
        """Start the server, and retry once if it is killed while it starts. Raises UserError if it cannot start."""
        try:
            return self._started()
        except _Killed:
            pass
        try:
            return self._started()
        except _Killed as killed:
            raise UserError(
                f"the workers cannot start: their server was ended by {killed.name} twice while it started",
                hint="the kernel does so where memory runs out: `benchsuite doctor` tells what there is; what is "
                "recorded is kept",
                exit_code=5,
            ) from killed

    def _started(self) -> socket.socket:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        command = [self.python, "-m", "benchsuite.engine.forkserver", f"--fd={theirs.fileno()}"]
        command += [f"--parent={os.getpid()}", f"--preload={','.join(self.preload)}"]
        said = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the server does
        self._server = subprocess.Popen(
            command,
            env=self.environment,
            pass_fds=[theirs.fileno()],
            start_new_session=True,  # a Ctrl-C is for the run, which then ends its jobs in order
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=said,
        )
        theirs.close()
        ours.settimeout(START_TIMEOUT_S)
        self._link = ours
        try:
            data = ours.recv(PACKET_BYTES)
        except TimeoutError:
            self._server.kill()
            self._forget()
            message = f"the workers are not ready after {START_TIMEOUT_S:g} s"
            raise UserError(message, hint="is the disk busy? try again") from None
        except ConnectionError:
            data = b""
        packet = json.loads(data) if data else {}
        if "ready" not in packet:
            self._fail(packet.get("failed"), said)
        said.close()
        ours.settimeout(None)
        self._pipes.selector.register(ours, selectors.EVENT_READ, None)
        return ours

    def _fail(self, reason: str | None, said: IO[bytes]) -> None:
        """Raise the reason why the server did not start: its last output, or _Killed if a signal ended it."""
        code = self._forget()  # it has closed its end of the socket, or told why it ends
        if code < 0:
            raise _Killed(-code)
        said.seek(0)
        last = said.read().decode(errors="replace").strip().splitlines()[-1:]
        last = last or [f"their server ended with exit status {code} while it started, and said nothing"]
        raise UserError(f"the workers cannot start: {reason or last[0]}", hint="`benchsuite doctor` may know more")

    def _forget(self) -> int:
        """Wait for the end of a server that did not start; return its exit status, negative for a signal."""
        assert self._server is not None
        assert self._link is not None
        code = self._server.wait()
        self._server = None
        self._link.close()
        self._link = None
        return code

    def _receive(self) -> dict[str, Any] | None:
        assert self._link is not None
        try:
            data = self._link.recv(PACKET_BYTES)
        except ConnectionError:
            return None
        return dict(json.loads(data)) if data else None

    def _ended(self, name: str, returncode: int | None) -> Ended:
        self._pipes.close(name)
        return Ended(name, returncode)

    def _died(self) -> None:
        """Count the death of the server and end its jobs: the kernel signals its children, which kill them."""
        self.deaths += 1
        self._lost += [self._ended(name, None) for name in self._pipes.names()]
        self.close()


class ColdWorkers:
    """Start a new process for each job, on systems where forking torch is not safe. With `ranks`, torchrun starts that
    many processes for each job."""

    def __init__(
        self,
        *,
        network: bool = False,
        python: str = sys.executable,
        variables: Mapping[str, str] = MappingProxyType({}),
        ranks: int = 1,
    ) -> None:
        self.command = [python, "-m", "benchsuite.engine.nanny", str(os.getpid())]
        if ranks > 1:
            self.command += [python, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={ranks}", "-m"]
            self.command += ["benchsuite.worker"]
        self.environment = {**environment(network=network), **variables}
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._pipes = _Pipes()

    def warm(self) -> None:
        """Do nothing: cold processes have no preparation."""

    def start(self, name: str, file: Path) -> None:
        theirs = self._pipes.open(name)
        job = json.loads(file.read_text())
        files.write(file, json.dumps({**job, "parent": None, "progress_fd": theirs}))
        log = job.get("log")
        handle = files.open_(Path(log), APPEND) if log else os.open(os.devnull, os.O_WRONLY)
        with open(handle, "ab") as said:
            self._processes[name] = subprocess.Popen(
                [*self.command, str(file)],
                env=self.environment,
                pass_fds=[theirs],
                start_new_session=True,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
            )
        os.close(theirs)

    def kill(self, name: str) -> None:
        if name in self._processes:
            self._end(self._processes[name])

    def waiting(self, name: str) -> bool:
        """Return False: jobs begin at once."""
        return False

    def events(self, timeout_s: float) -> list[Event]:
        """Return what happened, after `timeout_s` at the latest."""
        events: list[Event] = []
        deadline = time.monotonic() + timeout_s
        while not events:
            for key, _ in self._pipes.selector.select(min(0.05, timeout_s)):
                events += self._pipes.read(key.data)
            for name, process in list(self._processes.items()):
                if process.poll() is not None:
                    del self._processes[name]
                    self._pipes.close(name)
                    events.append(Ended(name, process.returncode))
            if time.monotonic() >= deadline:
                break
        return events

    def close(self) -> None:
        """Kill all jobs."""
        for process in self._processes.values():
            self._end(process)
        for name, process in self._processes.items():
            process.wait()
            self._pipes.close(name)
        self._processes.clear()

    @staticmethod
    def _end(process: subprocess.Popen[bytes]) -> None:
        """Tell the nanny to end its job, and wake the nanny if the job has stopped it."""
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGCONT)
