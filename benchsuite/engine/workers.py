"""Workers run jobs: as children of a fork server (`benchsuite.engine.fork_workers`), or as processes started cold. Both
isolate them in the same way.

workers = make(preload=("benchsuite.measure.speed",))
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
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

from benchsuite import files, git

APPEND = os.O_WRONLY | os.O_APPEND | os.O_CREAT

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
    """The best that this system has: a fork server on Linux, cold processes elsewhere. `python` is the interpreter that
    the jobs run in, `variables` are laid over their environment."""
    from benchsuite.engine.fork_workers import ForkWorkers

    options: dict[str, Any] = {"network": network, "python": python, "variables": variables}
    return ForkWorkers(preload, **options) if platform.system() == "Linux" else ColdWorkers(**options)


class Routed:
    """Trainings by one kind of workers, all other jobs by another."""

    def __init__(self, others: Workers, trainings: Workers) -> None:
        self._both = others, trainings
        self._of: dict[str, Workers] = {}

    def warm(self) -> None:
        for workers in self._both:
            workers.warm()

    def start(self, name: str, file: Path) -> None:
        self._of[name] = self._both[bool(json.loads(file.read_text())["seeded"])]
        self._of[name].start(name, file)

    def kill(self, name: str) -> None:
        if name in self._of:
            self._of[name].kill(name)

    def waiting(self, name: str) -> bool:
        return name in self._of and self._of[name].waiting(name)

    def events(self, timeout_s: float) -> list[Event]:
        """Return the events of both; wait for the one that has jobs."""
        others, trainings = self._both
        training = any(workers is trainings for workers in self._of.values())
        events = trainings.events(0.0) + others.events(min(timeout_s, 0.1) if training else timeout_s)
        for event in events:
            if isinstance(event, Ended):
                del self._of[event.name]
        return events

    def close(self) -> None:
        for workers in self._both:
            workers.close()


class Pipes:
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
        self._pipes = Pipes()

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
