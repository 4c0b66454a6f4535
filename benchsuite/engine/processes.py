"""Jobs as processes: start them, watch their limits, and say how each of them ended.

processes = Processes(store, workers, observer)
processes.start(job, threads=1, memory_limit_bytes=None)
for ended in processes.poll(0.25):
    ...  # Ended: the job, its status, reason and result
"""

from __future__ import annotations

import contextlib
import json
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchsuite import devices, files
from benchsuite.engine import outcome
from benchsuite.engine.workers import Event, Progressed, Workers
from benchsuite.errors import UserError
from benchsuite.records.case import KINDS, SNAPSHOTS, Job, Record
from benchsuite.records.store import Store

POLL_S = 0.25  # how late a time limit or a Ctrl-C may be noticed
LOG_BYTES = 64 * 1024**2  # of output that a job may write before it is ended
LOST = "lost"  # the status of a job that died with its fork server


class Observer:
    """The display of a run, which shows nothing. A subclass overrides what it shows; every method is called from the
    thread that runs the jobs."""

    def begin(self, total: int, done: int) -> None: ...
    def more(self, count: int) -> None: ...
    def started(self, job: Job) -> None: ...
    def progressed(self, job: Job, fraction: float) -> None: ...
    def ended(self, job: Job, record: Record | None) -> None: ...
    def tick(self, remaining_s: float, honest: bool) -> None: ...
    def close(self) -> None: ...


@dataclass
class Running:
    """A job whose process is alive."""

    job: Job
    timeout_s: float
    started: str
    clock_s: float
    fraction: float = 0.0
    killed: outcome.Outcome | None = None  # why it was killed

    @property
    def elapsed_s(self) -> float:
        return time.perf_counter() - self.clock_s


@dataclass(frozen=True)
class Ended:
    """The end of a job: `started` is UTC in ISO 8601, `time_s` the life of the process."""

    job: Job
    status: str
    reason: str | None
    result: dict[str, Any] | None
    started: str
    time_s: float


class Processes:
    """The processes of one run directory. Raises UserError where the disk or the workers refuse."""

    def __init__(self, store: Store, workers: Workers, observer: Observer) -> None:
        self.store = store
        self.workers = workers
        self.observer = observer
        self.running: dict[str, Running] = {}

    def start(
        self,
        job: Job,
        *,
        threads: int,
        memory_limit_bytes: int | None,
        place: int = 0,
        turns: dict[str, Any] | None = None,
        timeout_s: float | None = None,
    ) -> None:
        """Start `job`. `place` numbers the share of the cores that an exclusive job has, `turns` is where it takes
        turns with others (`benchsuite.timing.turns`), `timeout_s` replaces the limit of the job."""
        kind, on_host = KINDS[job.kind], devices.of(job.typed).is_host
        spec = {
            "name": job.name,
            "measure": kind.measure if job.case else kind.prepare,
            "seeded": kind.seeded and job.case is not None,
            "alone": kind.alone and job.case is not None,
            "place": place,
            "params": job.params,
            "replicate": job.replicate,
            "threads": threads,
            "memory_limit_bytes": memory_limit_bytes if on_host else None,  # CUDA maps far more than it uses
            "workdir": str(self.folder / job.name),
            "log": str(self._file(job, "log")),
            "result": str(self._file(job, "result.json")),
            "progress_fd": None,
            "turns": turns,
        }
        try:
            self._clear(job)
            files.write(self._file(job, "json"), json.dumps(spec))
        except OSError as error:
            self.close()
            raise self._unwritten(error) from error
        self.workers.warm()
        self.running[job.name] = Running(job, timeout_s or job.timeout_s, now(), time.perf_counter())
        self.observer.started(job)
        self.workers.start(job.name, self._file(job, "json"))

    def poll(self, timeout_s: float = POLL_S) -> list[Ended]:
        """Return the jobs that ended, at the latest after `timeout_s`; kill those that are over a limit."""
        ended = [end for event in self.workers.events(timeout_s) if (end := self._handle(event)) is not None]
        for running in self.running.values():
            self._check(running)
        return ended

    def finish(self, job: Job) -> None:
        """Remove the files of a job that ended well."""
        for suffix in ("json", "result.json", "log"):
            files.remove(self._file(job, suffix))
        with contextlib.suppress(OSError):  # what is left of it only takes space
            files.remove_tree(self.folder / job.name)

    def keep_model(self, job: Job) -> None:
        """Move the model that a job wrote, if any, to the models of the run."""
        model = self.folder / job.name / "model"
        if not model.is_dir():
            return
        kept = self.store.real / "models" / job.name
        try:
            files.make(kept.parent)
            files.remove_tree(kept)
            files.move(model, kept)
        except OSError as error:
            raise self._unwritten(error) from error

    def close(self) -> None:
        """Kill all jobs and end the workers."""
        self.running.clear()
        self.workers.close()

    @property
    def folder(self) -> Path:
        """Return where the files of the jobs are while they run."""
        return self.store.real / "work"

    def _check(self, running: Running) -> None:
        """Kill a job that takes too long or writes without end."""
        if running.killed is not None:
            return
        log = self._file(running.job, "log")
        if self.workers.waiting(running.job.name):
            running.clock_s = time.perf_counter()  # its time begins when it does
        if running.elapsed_s > running.timeout_s:
            running.killed = outcome.Outcome("timeout", f"no result within {running.timeout_s:g} s")
        elif log.exists() and log.stat().st_size > LOG_BYTES:
            running.killed = outcome.Outcome("error", f"it wrote more than {LOG_BYTES} bytes of output")
        if running.killed is not None:
            self.workers.kill(running.job.name)

    def _handle(self, event: Event) -> Ended | None:
        running = self.running.get(event.name)
        if running is None:
            return None
        if isinstance(event, Progressed):
            running.fraction = event.fraction
            self.observer.progressed(running.job, event.fraction)
            return None
        del self.running[event.name]
        job = running.job
        found = outcome.of(
            event.returncode,
            result=self._file(job, "result.json"),
            log=self._file(job, "log"),
            killed=running.killed,
            kind=job.kind if job.case else None,
        )
        if found.status == outcome.NO_RESULT:
            raise UserError(
                f"{job.label} could not write its result: {found.reason}",
                hint=f"nothing recorded is lost; make room, then: benchsuite run --resume {self.store.folder}",
            )
        if event.returncode is None and running.killed is None and found.status != "ok":
            found = outcome.Outcome(LOST, found.reason)
        return Ended(job, found.status, found.reason, found.result, running.started, running.elapsed_s)

    def _clear(self, job: Job) -> None:
        """Remove what an earlier attempt at the job left, but for the snapshots from which a training goes on."""
        for suffix in ("result.json", "log"):
            files.remove(self._file(job, suffix))
        files.empty(self.folder / job.name, keep=(SNAPSHOTS,))

    def _unwritten(self, error: OSError) -> UserError:
        hint = f"nothing recorded is lost; then: benchsuite run --resume {self.store.folder}"
        return UserError(f"{error.filename or self.store.folder} cannot be written: {error.strerror}", hint=hint)

    def _file(self, job: Job, suffix: str) -> Path:
        return self.folder / f"{job.name}.{suffix}"


def now() -> str:
    """UTC in ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")
