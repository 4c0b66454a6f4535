"""The speed part of a run: rounds of rings, added to what is compared until each comparison is resolved.

Every comparison gets `least` rounds. Further rounds go to those whose interval is still wider than `resolve`, until
there are `most` of them or the time is spent; a case that no open comparison needs is not measured on. What is known
comes from the records alone, so a run that is resumed goes on as if it had never ended.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

from benchsuite import devices, format
from benchsuite.engine import rings
from benchsuite.engine.job_order import job_of, larger, size
from benchsuite.engine.lengths import Lengths
from benchsuite.engine.processes import Observer, Processes, now
from benchsuite.engine.rings import Edge, Member
from benchsuite.engine.rounds import Resolution
from benchsuite.planning.cost import CostModel
from benchsuite.records.case import MEASURED, Case, Comparison, Record
from benchsuite.records.store import Store
from benchsuite.stats.rounds import timed
from benchsuite.stats.speed import FEWEST_ROUNDS, LEAST_ROUNDS, paired_logs, resolved, round_error

SPEED_COMPARISONS = ("speed", "implementation", "twin", "rule")


class Sampling:
    """Measures the speed cases of a run that the store does not hold yet.

    `processes` makes those of one device; each device has its own, and works at the same time as the others. The
    planned replicates of a case are the rounds that it gets in any case; with `budget_s`, the seconds for the whole
    part, as many of them as fit, and at least those that an interval needs. `stop` is called while processes run, with
    the estimate of the seconds left and whether it rests on measurements, and raises where the run ends.
    """

    def __init__(
        self,
        cases: Iterable[Case],
        comparisons: Iterable[Comparison],
        store: Store,
        processes: Callable[[], Processes],
        observer: Observer,
        *,
        resolution: Resolution,
        cost: CostModel,
        memory_limit_bytes: int,
        each_has_limit: bool,
        stop: Callable[[float, bool], None],
        budget_s: float | None = None,
    ) -> None:
        self.cases = {case.id: case for case in cases}
        self.store = store
        self.observer = observer
        self.resolution = resolution
        self.cost = cost
        self.memory_limit_bytes = memory_limit_bytes
        self.each_has_limit = each_has_limit
        self.budget_s = budget_s
        self._stop = stop
        self._lock = threading.Lock()
        self._devices = sorted({_device(case) for case in self.cases.values()})
        self._processes = {device: processes() for device in self._devices}
        self._lengths = Lengths(resolution.resolve)
        self._largest: dict[str, int] = defaultdict(lambda: rings.LARGEST)  # by group, less where memory is short
        self._records: dict[str, list[Record]] = defaultdict(list)
        self._closed: dict[str, Record] = {}  # why a case is not measured on
        self._began = time.monotonic()
        self._spent_s = sum(_round_s(store.records))  # by rounds, sessions before this one included
        self._round = 0
        self._left_s = 0.0
        for record in store.records:
            self._keep(record)
        self.edges = edges_of(self.cases.values(), comparisons)

    def run(self) -> None:
        """Measure until everything is resolved or the time is spent. Then each case has a record of each planned
        replicate. Raises what `stop` raises, and UserError where the disk or the workers refuse."""
        try:
            while edges := self._open():
                self._around(edges)
                self._settle_lengths()
        finally:
            for processes in self._processes.values():
                processes.close()
        for case in self.cases.values():
            if self._missing(case):
                self._leave_out(case, self._why_left_out(case))

    def _is_open(self, edge: Edge) -> bool:
        """Return whether neither end has failed or was left out."""
        return not any(case is not None and case.id in self._closed for case in edge)

    def _alive(self) -> list[Edge]:
        """The cases that nothing is compared with, such as checks, each by itself, and then the edges that are open."""
        alive = {case.id for case in self.cases.values() if case.id not in self._closed}
        edges = [edge for edge in self.edges if self._is_open(edge)]
        compared = {case.id for edge in edges for case in edge if case is not None}
        alone: list[Edge] = [(self.cases[one], None) for one in self.cases if one in alive - compared]
        return alone + edges

    def _open(self) -> list[Edge]:
        """The edges of the next round; none where all is resolved or the time is spent."""
        edges = self._alive()
        session_s = time.monotonic() - self._began
        few = [edge for edge in edges if self._rounds(edge) < fewest(edge)]
        due = [edge for edge in edges if self._rounds(edge) < planned(edge)]
        added = [edge for edge in edges if self._rounds(edge) < self.resolution.most and not self._resolved(edge)]
        if few:  # however long they take
            chosen = few
        elif due:
            chosen = due if self._fits(due, session_s, self.budget_s) else []
        else:
            fits = self._fits(added, session_s, self.budget_s)
            chosen = added if fits and self._fits(added, self._spent_s, self.resolution.budget_s) else []
            self.observer.more(len(rings.cases_of(chosen)))
        self._left_s = sum(
            self._estimate(case) * max(1, len(case.replicates) - len(self._records[case.id]))
            for case in rings.cases_of(chosen)
        )
        return chosen

    def _rounds(self, edge: Edge) -> int:
        """Return how many rounds an edge has had, whatever its records can tell of time."""
        case, base = edge
        if base is None:
            return len(self._of(case))
        return len({record.round for record in self._of(case)} & {record.round for record in self._of(base)} - {None})

    def _resolved(self, edge: Edge) -> bool:
        case, base = edge
        return base is None or resolved(self._logs(case, base), self.resolution.resolve)

    def _logs(self, case: Case, base: Case) -> list[float]:
        return paired_logs(timed(self._of(case)), timed(self._of(base)))

    def _of(self, case: Case) -> list[Record]:
        return self._records[case.id]

    def _fits(self, edges: Sequence[Edge], elapsed_s: float, budget_s: float | None) -> bool:
        """Return whether a round of `edges` ends within the budget. Devices work at the same time."""
        by_device: dict[str, float] = defaultdict(float, {"": 0.0})
        for ring in rings.pack(edges):
            for case in rings.cases_of(ring):
                by_device[_device(case)] += self._estimate(case)
        return budget_s is None or elapsed_s + max(by_device.values()) <= budget_s

    def _around(self, edges: list[Edge]) -> None:
        """One round of all rings, those of each device after one another."""
        by_device: dict[str, list[Edge]] = defaultdict(list)
        for edge in edges:
            by_device[_device(edge[0])].append(edge)
        with ThreadPoolExecutor(len(by_device)) as pool:
            list(pool.map(lambda item: self._of_device(*item), by_device.items()))

    def _of_device(self, device: str, edges: list[Edge]) -> None:
        processes = self._processes[device]
        if not devices.named(device).scripted:  # what a server hands down to its children is another in each round
            processes.workers.close()
        for ring in rings.pack(edges, lambda edge: self._largest[edge[0].group]):
            with self._lock:
                for case in rings.cases_of(ring):
                    self._give_up(case)
            if open_ := [edge for edge in ring if self._is_open(edge)]:
                self._measure(processes, open_)

    def _measure(self, processes: Processes, ring: list[Edge]) -> None:
        """One round of one ring. What does not fit into memory with the others is measured in smaller rings, at last
        one after the other."""
        cases = rings.cases_of(ring)
        group = cases[0].group
        with self._lock:
            self._round += 1
            number = self._round
        place = self._devices.index(_device(cases[0]))
        members = [Member(case, self._next_replicate(case), processes, place) for case in cases]
        together = self._largest[group] > 1
        shared = together and not self.each_has_limit
        limit = self.memory_limit_bytes // len(members) if shared else self.memory_limit_bytes
        longer = self._lengths.of(group)
        began = time.monotonic()
        records = rings.measure(members, number, limit, self._look, together, longer)
        wall_s = time.monotonic() - began
        added_s = (longer - 1) * sum(map(rings.sample_s, cases)) if together else 0.0
        short: set[str] = set()
        if shared and len(members) > 1:
            short = {record.case_id for record in records if record.status == "oom"}
        with self._lock:
            self._spent_s += wall_s
            for member, record in zip(members, records, strict=True):
                if member.case.id in short:
                    processes.observer.ended(member.job, None)
                else:
                    self._record(processes, member, record, max(0.0, wall_s - added_s) / len(members))
            if together and len(members) > 1 and not short:
                self._lengths.pilot(group, _errors(ring, records), sum(map(rings.sample_s, cases)), wall_s)
        if short:
            self._largest[group] = len(members) // 2 if len(members) > 2 else 1
            self.store.log(f"{len(short)} of {len(members)} processes did not fit into memory; smaller rings follow")
            again = [edge for edge in ring if any(case is not None and case.id in short for case in edge)]
            for part in rings.pack(filter(self._is_open, again), lambda edge: self._largest[edge[0].group]):
                self._measure(processes, part)

    def _record(self, processes: Processes, member: Member, record: Record, share_s: float) -> None:
        self.store.append(record)
        reason = f": {record.reason}" if record.reason else ""
        text = f"{record.status} {member.job.name} ({member.case.label}) round {record.round} {record.time_s:.2f} s"
        self.store.log(text + reason)
        self._keep(record)
        if record.status == "ok":
            self.cost.learn(member.case, share_s)
            processes.finish(member.job)
        processes.observer.ended(member.job, record)

    def _estimate(self, case: Case) -> float:
        """Seconds that a process of `case` adds to its next round."""
        return self.cost.estimate(case) + (self._lengths.of(case.group) - 1) * rings.sample_s(case)

    def _settle_lengths(self) -> None:
        """After the pilots: how long all further rounds are. What is planned, or `LEAST_ROUNDS`, should fit."""
        budgets = [budget for budget in (self.budget_s, self.resolution.budget_s) if budget is not None]
        left_s = min(budgets) - self._spent_s if budgets else None
        for group, factor in self._lengths.settle(None if left_s is None else left_s / (LEAST_ROUNDS - 1)).items():
            if factor > 1:
                self.store.log(f"the turns of further rounds of {group} are {factor:.2g} times as long")

    def _look(self) -> None:
        self._stop(self._left_s, all(self.cost.known(case) for case in self.cases.values()))

    def _next_replicate(self, case: Case) -> int:
        return 1 + max((record.replicate for record in self._of(case)), default=-1)

    def _keep(self, record: Record) -> None:
        if record.case_id not in self.cases:
            return
        self._round = max(self._round, record.round or 0)
        if record.status not in MEASURED:
            self._closed.setdefault(record.case_id, record)
        if record.status != "skipped":
            self._records[record.case_id].append(record)

    def _give_up(self, case: Case) -> None:
        """Leave out a case of which a smaller shape did not fit into memory."""
        if self._records[case.id] or case.id in self._closed:
            return
        for other, record in list(self._closed.items()):
            if record.status == "oom" and larger(case, self.cases[other]):
                self._leave_out(case, f"{self.cases[other].label}, which is smaller, did not fit into memory")
                return

    def _why_left_out(self, case: Case) -> str:
        failure = self._closed.get(case.id)
        if failure is not None:
            return f"replicate {failure.replicate} ended with {failure.status}; what failed once is not repeated"
        if self.budget_s is None:
            return "what it is compared with could not be measured"
        return f"its round would have ended after the {format.seconds(self.budget_s)} that there were"

    def _missing(self, case: Case) -> list[int]:
        known = {record.replicate for record in self.store.records if record.case_id == case.id}
        return [replicate for replicate in case.replicates if replicate not in known]

    def _leave_out(self, case: Case, reason: str) -> None:
        """Write a record with `reason` for each planned replicate that has none."""
        for replicate in self._missing(case):
            record = Record(case.id, replicate, "skipped", reason, now(), 0.0)
            self.store.append(record)
            self.store.log(f"skipped {case.id}-{replicate} ({case.label}): {reason}")
            self._keep(record)
            self.observer.ended(job_of(case, replicate), record)


def _errors(ring: Iterable[Edge], records: Iterable[Record]) -> list[float]:
    """Return the standard errors of the ratios of a round; those that cannot be estimated are left out."""
    found = {record.case_id: one.times_s for record in records for one in timed([record]) if one.in_turns}
    pairs = [(found.get(case.id), found.get(base.id)) for case, base in ring if base is not None]
    errors = [round_error(mine, theirs) for mine, theirs in pairs if mine is not None and theirs is not None]
    return [error for error in errors if error is not None]


def edges_of(cases: Iterable[Case], comparisons: Iterable[Comparison]) -> list[Edge]:
    """Return what is compared, small shapes before large ones."""
    known = {case.id: case for case in cases}
    edges: dict[tuple[str, str], Edge] = {}
    for one in comparisons:
        case, base = known.get(one.case), known.get(one.base_case)
        if one.kind in SPEED_COMPARISONS and case and base:
            edges.setdefault((case.id, base.id), (case, base))
    return sorted(edges.values(), key=lambda edge: size(edge[0]))


def planned(edge: Edge) -> int:
    """Return the rounds that an edge gets where there is time."""
    return max(len(case.replicates) for case in edge if case is not None)


def fewest(edge: Edge) -> int:
    """Return the rounds that an edge gets however long they take: those that an interval needs, if so many are
    planned."""
    return min(planned(edge), FEWEST_ROUNDS)


def _round_s(records: Iterable[Record]) -> list[float]:
    """The seconds of each round."""
    longest: dict[int, float] = {}
    for record in records:
        if record.round is not None:
            longest[record.round] = max(longest.get(record.round, 0.0), record.time_s)
    return list(longest.values())


def _device(case: Case) -> str:
    return devices.of(case.typed).name
