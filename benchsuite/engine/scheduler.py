"""Run the cases of a plan in a good order, and record what becomes of each.

Speed cases come first, in rounds of rings that have their device to themselves (`benchsuite.engine.sampling`). Then the
data is made ready and the quality jobs run side by side. Every planned (case, replicate) leaves exactly one record,
whatever the job does.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import psutil

from benchsuite import devices
from benchsuite.engine.job_order import job_of, together_order
from benchsuite.engine.processes import LOST, POLL_S, Ended, Observer, Processes, Running, now
from benchsuite.engine.rounds import SEEDS, Resolution, Rounds
from benchsuite.engine.workers import Routed, Workers
from benchsuite.errors import Interrupted, UserError
from benchsuite.hardware import cgroup
from benchsuite.limits import FIRST_LOOK
from benchsuite.planning.cost import CostModel, makespan
from benchsuite.records import rates
from benchsuite.records.case import KINDS, Case, Comparison, Job, Record
from benchsuite.records.params import RuleParams, TrainingParams
from benchsuite.records.store import Store

MEMORY_FRACTION = 0.8


class Scheduler:
    """Run what a store does not hold yet.

    `workers` makes a place where jobs run: each device has its own. With `trainings` models are trained there. `jobs`
    is the number of quality jobs at a time, `memory_limit_bytes` what one job may allocate (default: its share of 80 %
    of what is available), `stop` says whether to end early, `resolution` when speed comparisons have had enough rounds.
    With `budget_s` only so many rounds and seeds run as fit into that time, in any case as many as an interval needs;
    the speed phase has its share of it by the estimates. With `undecided`, the comparisons that the records leave so, a
    seed begins when all before it are done, and only while there are any. Raises Interrupted where `stop` says so,
    UserError where the disk or the workers refuse.
    """

    def __init__(
        self,
        cases: Iterable[Case],
        store: Store,
        workers: Callable[[], Workers],
        observer: Observer,
        *,
        comparisons: Iterable[Comparison] = (),
        trainings: Workers | None = None,
        jobs: int = 1,
        memory_limit_bytes: int | None = None,
        stop: Callable[[], bool] = lambda: False,
        resolution: Resolution | None = None,
        budget_s: float | None = None,
        undecided: Callable[[], Sequence[str]] | None = None,
    ) -> None:
        self.cases = {case.id: case for case in cases}
        self.comparisons = list(comparisons)
        self.store = store
        self.workers = workers
        self.trainings = trainings
        self.observer = observer
        self.jobs = max(1, jobs)
        self.memory_limit_bytes = memory_limit_bytes
        self.stop = stop
        self.resolution = resolution or Resolution()
        self.budget_s = budget_s
        self.undecided = undecided
        self._enough: str | None = None  # why no further seed is needed
        self._looked = FIRST_LOOK - 1  # the last seed before which was looked
        self.cost = CostModel()
        self.queue: list[Job] = []
        self._processes: Processes | None = None
        self._ends: float | None = None  # when the budget will be spent
        self._done = {record.key for record in store.records}
        self._prepared: dict[str, Record | None] = {}  # None: ready; a record: why not
        self._again: set[str] = set()  # jobs that the fork server's death cost a process
        self._alone: set[str] = set()  # jobs that did not fit into a device's memory beside others
        # Trainings at the shared learning rate, by id; they run only where the best rate is another one.
        self._twins = {rates.at_shared_rate(case): case for case in self.cases.values() if rates.tried(case.typed)}
        self._learn_from_store()

    def run(self) -> None:
        """Run all jobs. The store then holds a record of every planned (case, replicate)."""
        self._check_store()
        cases = list(self.cases.values())
        self.observer.begin(sum(len(case.replicates) for case in cases), len(self._done))
        for case in cases:
            if case.unsupported is not None:
                for replicate in self._missing(case):
                    self._record(job_of(case, replicate), "unsupported", case.unsupported, now(), 0.0)
        todo = [case for case in cases if case.unsupported is None]
        alone = [case for case in todo if KINDS[case.kind].alone]
        left = [case for case in todo if not KINDS[case.kind].alone and self._missing(case)]
        together = [job for job in together_order(left) if job.key not in self._done]
        if self.budget_s is not None:
            self._ends = time.monotonic() + self.budget_s
        if alone:
            self._sample(alone, together)
        if together:
            self._train(together)

    def _sample(self, cases: list[Case], later: list[Job]) -> None:
        """Measure the speed cases; `later` are the jobs of the other phase, for the estimates."""
        from benchsuite.engine.sampling import Sampling  # and with it scipy, which a refusal need not wait for

        later_s = makespan(map(self._estimate_s, later), self.jobs)
        share_s = None
        if self.budget_s is not None:
            first_s = sum(self.cost.estimate(case) * len(self._missing(case)) for case in cases)
            share_s = self.budget_s * first_s / max(first_s + later_s, 1e-9)

        def look(left_s: float, honest: bool) -> None:
            if self.stop():
                raise Interrupted
            self.observer.tick(left_s + later_s, honest and all(self.cost.known(job.case) for job in later if job.case))

        Sampling(
            cases,
            self.comparisons,
            self.store,
            lambda: Processes(self.store, self.workers(), self.observer),
            self.observer,
            resolution=self.resolution,
            cost=self.cost,
            memory_limit_bytes=self.memory_limit_bytes or int(available_memory() * MEMORY_FRACTION),
            each_has_limit=self.memory_limit_bytes is not None,
            stop=look,
            budget_s=share_s,
        ).run()
        self.observer.tick(later_s, True)

    def _train(self, queue: list[Job]) -> None:
        """Run the jobs of `queue` side by side, those that fit into the time."""
        self.queue = queue
        rounds = Rounds(None if self._ends is None else self._ends - time.monotonic())
        memory = self.memory_limit_bytes or int(available_memory() * MEMORY_FRACTION / self.jobs)
        workers = self.workers() if self.trainings is None else Routed(self.workers(), self.trainings)
        processes = self._processes = Processes(self.store, workers, self.observer)
        try:
            while self.queue or processes.running:
                if self.stop():
                    raise Interrupted
                while len(processes.running) < self.jobs and (job := self._next(rounds, processes)) is not None:
                    processes.start(job, threads=self._threads(job), memory_limit_bytes=memory)
                for end in processes.poll(POLL_S):
                    self._handle(end, processes)
                self.observer.tick(*self.remaining_s())
        finally:
            processes.close()

    def remaining_s(self) -> tuple[float, bool]:
        """Seconds until the end as far as is known, and whether every kind of job left has been seen to end."""
        running = list(self._processes.running.values()) if self._processes else []
        total = makespan([*map(self._left_s, running), *map(self._estimate_s, self.queue)], self.jobs)
        if self._ends is not None:  # what an interval needs runs even where the time is spent
            sure = [self._estimate_s(job) for job in self.queue if job.replicate < SEEDS]
            least_s = makespan([*map(self._left_s, running), *sure], self.jobs)
            total = min(total, max(least_s, self._ends - time.monotonic()))
        left = [*self.queue, *(one.job for one in running)]
        return total, all(self.cost.known(job.case) for job in left if job.case)

    def _next(self, rounds: Rounds, processes: Processes) -> Job | None:
        """Take the next job that can start; record those that never will."""
        for job in list(self.queue):
            if any(need not in self._prepared for need in job.needs):
                continue
            if job.case and any((tried, rates.SEED) not in self._done for tried in self._tried(job.case).values()):
                continue
            if self.undecided is not None and job.case and self._before(job, processes):
                continue
            self.queue.remove(job)
            broken = next((self._prepared[need] for need in job.needs if self._prepared[need] is not None), None)
            if broken is not None and job.case is not None:  # among preparations a need is only an order
                self._record(job, broken.status, f"its data could not be prepared: {broken.reason}", now(), 0.0)
                continue
            if (needless := self._needless(job)) is not None:
                self._record(job, "skipped", needless, now(), 0.0)
                continue
            if (enough := self._look(job)) is not None:
                self._record(job, "skipped", enough, now(), 0.0)
                continue
            late = rounds.refused(job.replicate, functools.partial(self._round_s, job, processes)) if job.case else None
            if late is not None:
                self._record(job, "skipped", late, now(), 0.0)
                continue
            choice, params = self._choice(job), job.typed
            if choice is None or not isinstance(params, TrainingParams) or not params.learning_rate:
                return job
            return replace(job, params=rates.at(params, choice).json())
        return None

    def _threads(self, job: Job) -> int:
        """Threads of a training, and of a preparation, which others wait for."""
        if isinstance(job.typed, RuleParams):
            return job.typed.threads
        return self.jobs if job.case is None else 1

    def _before(self, job: Job, processes: Processes) -> bool:
        """Return whether a job of an earlier seed has not ended, where seeds are added one at a time."""
        if job.replicate < FIRST_LOOK:
            return False
        open_ = [*self.queue, *(running.job for running in processes.running.values())]
        return any(other.case is not None and other.replicate < job.replicate for other in open_)

    def _look(self, job: Job) -> str | None:
        """Return why a job of a further seed is left out, if it is. There is one look a seed."""
        if self.undecided is None or job.case is None or job.replicate < FIRST_LOOK:
            return None
        if self._enough is None and job.replicate > self._looked:
            self._looked = job.replicate
            if not (left := self.undecided()):
                self._enough = f"every comparison was decided after {job.replicate} seeds"
            self.store.log(f"after {job.replicate} seeds {len(left)} comparisons are undecided: {', '.join(left)}")
        return self._enough

    def _tried(self, case: Case) -> dict[float, str]:
        """The cases whose learning rates decide that of `case`, or whether it is trained at all."""
        return rates.tried(self._twins.get(case.id, case).typed)

    def _choice(self, job: Job) -> rates.Choice | None:
        if job.case is None or not self._tried(job.case):
            return None
        found: dict[str, dict[int, Record]] = {}
        for record in self.store.records:
            found.setdefault(record.case_id, {})[record.replicate] = record
        return rates.chosen(self._twins.get(job.case.id, job.case).typed, found)

    def _needless(self, job: Job) -> str | None:
        """Return why a training that depends on a search of learning rates is left out, if it is."""
        if job.case is None or not self._tried(job.case):
            return None
        choice, twin = self._choice(job), self._twins.get(job.case.id)
        if choice is None:
            return "none of the learning rates that were tried gave a score"
        if twin is not None and choice.multiple == rates.SHARED:
            return f"the best learning rate is the shared one, so {twin.label} is the same training"
        return None

    def _round_s(self, job: Job, processes: Processes) -> float:
        """Seconds until all jobs of `job`'s seed are done, if it starts now."""
        round_ = [job, *(other for other in self.queue if other.case and other.replicate == job.replicate)]
        running = [self._left_s(running) for running in processes.running.values()]
        return makespan([*running, *map(self._estimate_s, round_)], self.jobs)

    def _handle(self, end: Ended, processes: Processes) -> None:
        """Record what became of a job, keep its model, and clear its files away where all went well."""
        job, status, reason = end.job, end.status, end.reason
        if status == LOST and job.name not in self._again:
            self._again.add(job.name)
            self.store.log(f"the fork server died while {job.name} ({job.label}) ran; it runs again")
            self.queue.insert(0, job)
            self.observer.ended(job, None)
            return
        if status == "oom" and job.name not in self._alone and processes.running and not devices.of(job.typed).is_host:
            self._alone.add(job.name)
            self.jobs = max(1, self.jobs // 2)
            self.store.log(f"{job.name} ({job.label}) did not fit beside others; {self.jobs} at a time from here on")
            self.queue.insert(0, job)
            self.observer.ended(job, None)
            return
        status = "error" if status == LOST else status
        if job.name in self._again:
            reason = "; ".join(part for part in ("the fork server died once while it ran", reason) if part)
        if job.case is None:
            failure = Record("", 0, status, reason, end.started, end.time_s) if status != "ok" else None
            self._prepared[job.name] = failure
            self._log(job, status, reason, end.time_s)
            self.observer.ended(job, failure)
        else:
            if status == "ok":
                processes.keep_model(job)
            self._record(job, status, reason, end.started, end.time_s, end.result)
        if status == "ok":
            processes.finish(job)

    def _record(
        self,
        job: Job,
        status: str,
        reason: str | None,
        started: str,
        time_s: float,
        result: dict[str, object] | None = None,
    ) -> None:
        assert job.case is not None
        record = Record(job.case.id, job.replicate, status, reason, started, round(time_s, 4), result)
        self.store.append(record)
        self._log(job, status, reason, time_s)
        self._done.add(record.key)
        if status == "ok":
            self.cost.learn(job.case, record.time_s)
        self.observer.ended(job, record)

    def _log(self, job: Job, status: str, reason: str | None, time_s: float) -> None:
        self.store.log(f"{status} {job.name} ({job.label}) {time_s:.2f} s{f': {reason}' if reason else ''}")

    def _learn_from_store(self) -> None:
        """Learn the cost of what ended well; those of a round shared its time."""
        members: dict[int, int] = {}
        for record in self.store.records:
            if record.round is not None:
                members[record.round] = members.get(record.round, 0) + 1
        for record in self.store.records:
            if record.status == "ok" and record.case_id in self.cases:
                share = members.get(record.round, 1) if record.round is not None else 1
                self.cost.learn(self.cases[record.case_id], record.time_s / share)

    def _check_store(self) -> None:
        """Raise UserError where the store holds records that nobody planned; what is timed may have further rounds."""
        strange = 0
        for record in self.store.records:
            case = self.cases.get(record.case_id)
            further = case is not None and KINDS[case.kind].alone and record.round is not None
            strange += case is None or not (further or record.replicate in case.replicates)
        if strange:
            raise UserError(
                f"{self.store.folder} holds {strange} records of cases that its manifest does not plan",
                hint="the directory was edited or mixed with another run's; measure it again",
            )

    def _missing(self, case: Case) -> list[int]:
        return [replicate for replicate in case.replicates if (case.id, replicate) not in self._done]

    def _estimate_s(self, job: Job) -> float:
        return self.cost.estimate(job.case) if job.case else 1.0

    def _left_s(self, running: Running) -> float:
        if running.fraction > 0.05:
            return running.elapsed_s * (1 - running.fraction) / running.fraction
        return max(0.0, self._estimate_s(running.job) - running.elapsed_s)


def available_memory() -> int:
    """Bytes that can be had now: the machine's, or what is left of this process's control group where that is
    less."""
    free, left = psutil.virtual_memory().available, cgroup.memory_left()
    return free if left is None else min(free, left)
