"""The two sides of a gate: each is measured into a run directory of its own, or is a run of an earlier day."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from benchsuite import devices
from benchsuite.engine import rings
from benchsuite.engine.processes import Observer, Processes, now
from benchsuite.engine.rings import Member
from benchsuite.engine.scheduler import MEMORY_FRACTION, available_memory
from benchsuite.engine.workers import Workers
from benchsuite.errors import Interrupted
from benchsuite.records.case import Case, Record
from benchsuite.records.load import Run
from benchsuite.records.results import SpeedResult, checked
from benchsuite.records.schema import CASE, new_manifest
from benchsuite.records.store import Store
from benchsuite.stats.speed import log_ratio


class MeasuredSide:
    """One side: its cases by label, its records, and where its jobs run."""

    def __init__(self, cases: Mapping[str, Case], store: Store, workers: Workers, stop: Callable[[], bool]) -> None:
        self.cases = cases
        self.store = store
        self.processes = Processes(store, workers, Observer())
        self.memory_limit_bytes = int(available_memory() * MEMORY_FRACTION / 2)
        self._stop = stop

    def member(self, label: str, pair: int) -> Member:
        return Member(self.cases[label], pair, self.processes)

    def look(self) -> None:
        """Raise Interrupted if a signal has asked the gate to stop."""
        if self._stop():
            raise Interrupted

    def keep(self, label: str, pair: int, record: Record) -> None:
        """Write the record of one process and clear its files away where all went well."""
        self.store.append(record)
        self.store.log(f"{record.status} {label} pair {pair}{f': {record.reason}' if record.reason else ''}")
        if record.status == "ok":
            self.processes.finish(self.member(label, pair).job)

    def leave_out(self, label: str, pairs: range, reason: str) -> None:
        """Write a record with the reason for each of `pairs` that has none."""
        case_id = self.cases[label].id
        known = {record.replicate for record in self.store.records if record.case_id == case_id}
        for pair in [pair for pair in pairs if pair not in known]:
            self.store.append(Record(case_id, pair, "skipped", reason, now(), 0.0))

    def results(self, label: str) -> Iterator[SpeedResult]:
        """Of the processes that have one."""
        return (r.speed for r in self.store.records if r.case_id == self.cases[label].id and r.speed)

    def renew(self) -> None:
        """Fork what runs from here on from a new server. Scripted times need none."""
        if all(devices.of(case.typed).scripted for case in self.cases.values()):
            return
        self.processes.workers.close()
        self.processes.workers.warm()

    def close(self) -> None:
        self.processes.close()
        self.store.close()


class StoredSide:
    """A base that was measured earlier: the records of a run."""

    def __init__(self, cases: Mapping[str, Case], run: Run) -> None:
        self.cases = cases
        found = [record for record in run if record.speed is not None]
        self._records = {label: [r for r in found if r.case_id == case.id] for label, case in cases.items()}

    def record(self, label: str, pair: int) -> Record | None:
        """The record of one process; None where the run has no more."""
        return self._records[label][pair] if pair < len(self._records[label]) else None

    def results(self, label: str) -> Iterator[SpeedResult]:
        return (r.speed for r in self._records[label] if r.speed)

    def leave_out(self, label: str, pairs: range, reason: str) -> None:
        """A run that is over gets no more records."""

    def renew(self) -> None:
        """Nothing runs."""

    def close(self) -> None:
        """Nothing is open."""


Side = MeasuredSide | StoredSide


def manifest(plan: Mapping[str, Any], pairs: int, side: str, hardware: Mapping[str, Any]) -> dict[str, Any]:
    """The manifest of a side's run directory: its plan, with a replicate for each pair."""
    cases = [{**case, "replicates": list(range(pairs))} for case in plan["cases"]]
    about = {key: value for key, value in plan.items() if key not in ("schema_version", "estimate_s")}
    about |= {"cases": cases, "notes": [*plan.get("notes", []), f"One side of a gate: {side}."]}
    return new_manifest(about, hardware, ["benchsuite", "gate"])


def speed_cases(plan: Mapping[str, Any], pairs: int) -> dict[str, Case]:
    """The cases of a plan that have a speed, by label. A gate trains no models."""
    found = [replace(checked(CASE, case, "a plan"), replicates=tuple(range(pairs))) for case in plan["cases"]]
    return {case.label: case for case in found if case.timed}


def side_by_side(base: Side, head: MeasuredSide, label: str, pair: int) -> tuple[Record, Record]:
    """Return the records of base and head, whose processes run at the same time and are timed in turns. Raises
    Interrupted and UserError as a run does."""
    limit = head.memory_limit_bytes
    if isinstance(base, StoredSide):
        of_base = base.record(label, pair)
        assert of_base is not None
        [of_head] = rings.measure([head.member(label, pair)], pair, limit, head.look)
    else:
        of_base, of_head = rings.measure([base.member(label, pair), head.member(label, pair)], pair, limit, head.look)
        base.keep(label, pair, of_base)
    head.keep(label, pair, of_head)
    return of_base, of_head


def log_slowdown(base: Record, head: Record) -> float:
    """Return the log of head's time over base's: turn by turn where both took turns, else of their times."""
    theirs, ours = base.speed, head.speed
    assert theirs is not None
    assert ours is not None
    if base.round is not None and theirs.stop == ours.stop == "turns":
        return log_ratio(theirs.samples_s, ours.samples_s)
    assert theirs.time_s is not None
    assert ours.time_s is not None
    return math.log(ours.time_s / theirs.time_s)
