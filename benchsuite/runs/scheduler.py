"""What runs when, and what becomes of it: from the cases of a plan to one record each.

Speed jobs come first, one at a time on each device, which they have to themselves with its share of the cores;
variants that are compared follow one another in alternating order. Then the data is made ready and the quality jobs
run side by side. Every planned (case, replicate) leaves exactly one record, whatever the job does.
"""

from __future__ import annotations

import contextlib
import functools
import json
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import psutil

from benchsuite import files
from benchsuite.errors import UserError
from benchsuite.hardware import cgroup
from benchsuite.runs import outcome
from benchsuite.runs.case import FAILED, KINDS, SNAPSHOTS, Case, Job, Record
from benchsuite.runs.cost import CostModel, makespan
from benchsuite.runs.order import alone_order, job_of, larger, together_order
from benchsuite.runs.rounds import Rounds
from benchsuite.runs.store import Store
from benchsuite.runs.workers import Event, Progressed, Workers

POLL_S = 0.25  # how late a time limit or a Ctrl-C may be noticed
LOG_BYTES = 64 * 1024**2  # of output that a job may write before it is ended
MEMORY_FRACTION = 0.8


class Interrupted(Exception):  # noqa: N818 - not an error of the program
    """The run was told to stop; its records are kept."""


class Observer(Protocol):
    """Who watches a run. Every method is called from the thread that runs it."""

    def begin(self, total: int, done: int) -> None: ...
    def started(self, job: Job) -> None: ...
    def progressed(self, job: Job, fraction: float) -> None: ...
    def ended(self, job: Job, record: Record | None) -> None: ...
    def tick(self, remaining_s: float, honest: bool) -> None: ...


@dataclass
class Running:
    """A job whose process is alive."""

    job: Job
    started: str
    clock_s: float
    fraction: float = 0.0
    killed: outcome.Outcome | None = None  # why the scheduler killed it

    @property
    def elapsed_s(self) -> float:
        return time.perf_counter() - self.clock_s


class Scheduler:
    """Runs what a store does not hold yet.

    `jobs` is the number of quality jobs at a time, `memory_limit_bytes` what one job may allocate (default: its share
    of 80 % of what is available), `stop` says whether to end early, `turns` is the path of a turnstile for speed jobs.
    With `budget_s` only so many replicates run as fit into that time, in any case as many as an interval needs; the
    speed phase has its share of it by the estimates.
    Raises Interrupted where `stop` says so, UserError where the disk or the workers refuse.
    """

    def __init__(
        self,
        cases: Iterable[Case],
        store: Store,
        workers: Workers,
        observer: Observer,
        *,
        jobs: int = 1,
        memory_limit_bytes: int | None = None,
        stop: Callable[[], bool] = lambda: False,
        turns: str | None = None,
        budget_s: float | None = None,
    ) -> None:
        self.cases = {case.id: case for case in cases}
        self.store = store
        self.workers = workers
        self.observer = observer
        self.jobs = max(1, jobs)
        self.memory_limit_bytes = memory_limit_bytes
        self.stop = stop
        self.turns = turns
        self.budget_s = budget_s
        self.cost = CostModel()
        self.running: dict[str, Running] = {}
        self.queue: list[Job] = []
        self._rounds = Rounds(None)
        self._devices: list[str] = []  # on which exclusive jobs run, one on each
        self._ends: float | None = None  # when the budget will be spent
        self._later: list[Job] = []  # of the phase to come, for the estimate
        self._done = {record.key for record in store.records}
        self._failed: dict[str, Record] = {}  # the first failure of each case
        self._prepared: dict[str, Record | None] = {}  # None: ready; a record: why not
        self._again: set[str] = set()  # jobs that the fork server's death cost a process
        for record in store.records:
            self._learn(record)

    def run(self) -> None:
        """Runs all jobs. The store then holds a record of every planned (case, replicate)."""
        from benchsuite.stats.speed import FEWEST_PAIRS  # and with it scipy, which a refusal need not wait for

        self._check_store()
        cases = list(self.cases.values())
        self.observer.begin(sum(len(case.replicates) for case in cases), len(self._done))
        for case in cases:
            if case.unsupported is not None:
                for replicate in self._missing(case):
                    self._record(job_of(case, replicate), "unsupported", case.unsupported, _now(), 0.0)
        todo = [case for case in cases if case.unsupported is None]
        alone = self._open(alone_order(case for case in todo if KINDS[case.kind].alone))
        left = [case for case in todo if not KINDS[case.kind].alone and self._missing(case)]
        together = self._open(together_order(left))
        if self.budget_s is not None:
            self._ends = time.monotonic() + self.budget_s
        try:
            self._later = together
            self._devices = sorted({str(job.params.get("device", "cpu")) for job in alone})
            self._phase(alone, len(self._devices) or 1, Rounds(self._share_s(alone, together), FEWEST_PAIRS))
            self._later = []
            self._phase(together, self.jobs, Rounds(None if self._ends is None else self._ends - time.monotonic()))
        finally:
            self.workers.close()

    def remaining_s(self) -> tuple[float, bool]:
        """Seconds until the end as far as is known, and whether every kind of job left has been seen to end."""
        now = [self._left_s(running) for running in self.running.values()]
        slots = len(self._devices) or 1 if self._later else self.jobs
        total = makespan([*now, *(self._estimate_s(job) for job in self.queue)], slots)
        total += makespan([self._estimate_s(job) for job in self._later], self.jobs) if self._later else 0
        if self._ends is not None:
            total = min(total, max(0.0, self._ends - time.monotonic()))
        left = [*self.queue, *self._later, *(running.job for running in self.running.values())]
        return total, all(self.cost.known(job.case) for job in left if job.case)

    def _share_s(self, alone: list[Job], together: list[Job]) -> float | None:
        """The seconds of the budget that the first phase has."""
        if self.budget_s is None:
            return None
        phases = ((alone, len(self._devices) or 1), (together, self.jobs))
        first, second = (sum(map(self._estimate_s, jobs)) / n for jobs, n in phases)
        return self.budget_s * first / max(first + second, 1e-9)

    def _phase(self, queue: list[Job], slots: int, rounds: Rounds) -> None:
        """Runs the jobs of `queue`, `slots` at a time, those of `rounds` that fit."""
        self.queue = queue
        self._rounds = rounds
        memory = self.memory_limit_bytes or int(available_memory() * MEMORY_FRACTION / slots)
        while self.queue or self.running:
            if self.stop():
                self._interrupt()
            while len(self.running) < slots and (job := self._next(slots)) is not None:
                self._start(job, memory, slots)
            for event in self.workers.events(POLL_S):
                self._handle(event)
            for running in self.running.values():
                self._check(running)
            self.observer.tick(*self.remaining_s())

    def _next(self, slots: int) -> Job | None:
        """Takes the next job that can start; records those that never will."""
        for job in list(self.queue):
            if any(need not in self._prepared for need in job.needs):
                continue
            if job.case and KINDS[job.kind].alone and self._busy(job):
                continue
            self.queue.remove(job)
            broken = next((self._prepared[need] for need in job.needs if self._prepared[need] is not None), None)
            if broken is not None and job.case is not None:  # among preparations a need is only an order
                self._finish(job, broken.status, f"its data could not be prepared: {broken.reason}", _now(), 0.0)
                continue
            late = (
                self._rounds.refused(job.replicate, functools.partial(self._round_s, job, slots)) if job.case else None
            )
            if late is not None:
                self._finish(job, "skipped", late, _now(), 0.0)
                continue
            hopeless = self._hopeless(job.case) if job.case and KINDS[job.kind].alone else None
            if hopeless is not None:
                self._finish(job, "skipped", hopeless, _now(), 0.0)
                continue
            return job
        return None

    def _busy(self, job: Job) -> bool:
        """Whether another job has the device of this one to itself."""
        return any(running.job.params.get("device") == job.params.get("device") for running in self.running.values())

    def _round_s(self, job: Job, slots: int) -> float:
        """Seconds until all jobs of `job`'s round are done, if it starts now."""
        round_ = [job, *(other for other in self.queue if other.case and other.replicate == job.replicate)]
        running = [self._left_s(running) for running in self.running.values()]
        return makespan([*running, *map(self._estimate_s, round_)], slots)

    def _hopeless(self, case: Case) -> str | None:
        """Why a case need not be tried: it has failed before, or a smaller shape of it did not fit into memory."""
        failed = self._failed.get(case.id)
        if failed is not None:
            return f"replicate {failed.replicate} ended with {failed.status}; what failed once is not repeated"
        for identity, record in self._failed.items():
            smaller = self.cases[identity]
            if record.status == "oom" and larger(case, smaller):
                return f"{smaller.label}, which is smaller, did not fit into memory"
        return None

    def _start(self, job: Job, memory: int, slots: int) -> None:
        folder = self.store.real / "work"
        kind = KINDS[job.kind]
        on_cpu = job.params.get("device", "cpu") == "cpu"
        spec = {
            "name": job.name,
            "measure": kind.measure if job.case else kind.prepare,
            "seeded": kind.seeded and job.case is not None,
            "alone": kind.alone and job.case is not None,
            "place": self._devices.index(device) if (device := job.params.get("device", "cpu")) in self._devices else 0,
            "params": job.params,
            "replicate": job.replicate,
            "threads": job.params.get("threads", slots if job.case is None else 1),
            "memory_limit_bytes": memory if on_cpu else None,  # CUDA maps far more than it uses
            "workdir": str(folder / job.name),
            "log": str(self._file(job, "log")),
            "result": str(self._file(job, "result.json")),
            "progress_fd": None,
            "turns": self.turns,
        }
        try:
            for suffix in ("result.json", "log"):
                files.remove(self._file(job, suffix))
            files.empty(folder / job.name, keep=(SNAPSHOTS,))  # with them an interrupted training goes on
            files.write(self._file(job, "json"), json.dumps(spec))
        except OSError as error:
            self._stop_all()
            raise self._unwritten(error) from error
        self.workers.warm()
        self.running[job.name] = Running(job, _now(), time.perf_counter())
        self.observer.started(job)
        self.workers.start(job.name, self._file(job, "json"))

    def _check(self, running: Running) -> None:
        """Kills a job that takes too long or writes without end."""
        if running.killed is not None:
            return
        job, log = running.job, self._file(running.job, "log")
        if self.workers.waiting(job.name):
            running.clock_s = time.perf_counter()  # its time begins when it does
        if running.elapsed_s > job.timeout_s:
            running.killed = outcome.Outcome("timeout", f"no result within {job.timeout_s:g} s")
        elif log.exists() and log.stat().st_size > LOG_BYTES:
            running.killed = outcome.Outcome("error", f"it wrote more than {LOG_BYTES} bytes of output")
        if running.killed is not None:
            self.workers.kill(job.name)

    def _handle(self, event: Event) -> None:
        running = self.running.get(event.name)
        if running is None:
            return
        if isinstance(event, Progressed):
            running.fraction = event.fraction
            self.observer.progressed(running.job, event.fraction)
            return
        del self.running[event.name]
        job = running.job
        if event.returncode is None and running.killed is None and job.name not in self._again:
            self._again.add(job.name)
            self.store.log(f"the fork server died while {job.name} ({job.label}) ran; it runs again")
            self.queue.insert(0, job)
            self.observer.ended(job, None)
            return
        ended = outcome.of(
            event.returncode,
            result=self._file(job, "result.json"),
            log=self._file(job, "log"),
            killed=running.killed,
        )
        if ended.status == outcome.NO_RESULT:
            raise UserError(
                f"{job.label} could not write its result: {ended.reason}",
                hint=f"nothing recorded is lost; make room, then: benchsuite run --resume {self.store.folder}",
            )
        reason = ended.reason
        if job.name in self._again:
            reason = "; ".join(part for part in ("the fork server died once while it ran", reason) if part)
        self._finish(job, ended.status, reason, running.started, running.elapsed_s, ended.result)

    def _finish(
        self,
        job: Job,
        status: str,
        reason: str | None,
        started: str,
        time_s: float,
        result: dict[str, Any] | None = None,
    ) -> None:
        """Records what became of `job`, keeps its model, and clears its files away where all went well."""
        if job.case is None:
            failure = Record("", 0, status, reason, started, time_s) if status != "ok" else None
            self._prepared[job.name] = failure
            self.store.log(f"{status} {job.name} ({job.label}) {time_s:.2f} s{f': {reason}' if reason else ''}")
            self.observer.ended(job, failure)
        else:
            model = self.store.real / "work" / job.name / "model"
            if status == "ok" and model.is_dir():
                kept = self.store.real / "models" / job.name
                try:
                    files.make(kept.parent)
                    files.remove_tree(kept)
                    files.move(model, kept)
                except OSError as error:
                    raise self._unwritten(error) from error
            self._record(job, status, reason, started, time_s, result)
        if status == "ok":
            for suffix in ("json", "result.json", "log"):
                files.remove(self._file(job, suffix))
            with contextlib.suppress(OSError):  # what is left of it only takes space
                files.remove_tree(self.store.real / "work" / job.name)

    def _record(
        self,
        job: Job,
        status: str,
        reason: str | None,
        started: str,
        time_s: float,
        result: dict[str, Any] | None = None,
    ) -> None:
        assert job.case is not None
        record = Record(job.case.id, job.replicate, status, reason, started, round(time_s, 4), result)
        self.store.append(record)
        self.store.log(f"{status} {job.name} ({job.label}) {time_s:.2f} s{f': {reason}' if reason else ''}")
        self._done.add(record.key)
        self._learn(record)
        self.observer.ended(job, record)

    def _learn(self, record: Record) -> None:
        if record.status == "ok" and record.case_id in self.cases:
            self.cost.learn(self.cases[record.case_id], record.time_s)
        elif record.status in (*FAILED, "unsupported"):
            self._failed.setdefault(record.case_id, record)

    def _check_store(self) -> None:
        planned = {(case.id, replicate) for case in self.cases.values() for replicate in case.replicates}
        strange = self._done - planned
        if strange:
            raise UserError(
                f"{self.store.folder} holds {len(strange)} records of cases that its manifest does not plan",
                hint="the directory was edited or mixed with another run's; measure it anew",
            )

    def _missing(self, case: Case) -> list[int]:
        return [replicate for replicate in case.replicates if (case.id, replicate) not in self._done]

    def _open(self, jobs: list[Job]) -> list[Job]:
        return [job for job in jobs if job.key not in self._done]

    def _estimate_s(self, job: Job) -> float:
        return self.cost.estimate(job.case) if job.case else 1.0

    def _left_s(self, running: Running) -> float:
        if running.fraction > 0.05:
            return running.elapsed_s * (1 - running.fraction) / running.fraction
        return max(0.0, self._estimate_s(running.job) - running.elapsed_s)

    def _interrupt(self) -> None:
        self._stop_all()
        raise Interrupted

    def _stop_all(self) -> None:
        self.running.clear()
        self.workers.close()

    def _file(self, job: Job, suffix: str) -> Path:
        return self.store.real / "work" / f"{job.name}.{suffix}"

    def _unwritten(self, error: OSError) -> UserError:
        hint = f"nothing recorded is lost; then: benchsuite run --resume {self.store.folder}"
        return UserError(f"{error.filename or self.store.folder} cannot be written: {error.strerror}", hint=hint)


def available_memory() -> int:
    """Bytes that can be had now: the machine's, or what is left of this process's control group where that is
    less."""
    free, left = psutil.virtual_memory().available, cgroup.memory_left()
    return free if left is None else min(free, left)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
