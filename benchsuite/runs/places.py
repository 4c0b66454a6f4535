"""Where the two sides of a gate are measured: each in a run directory of its own, or, for a base of an earlier day, not
at all."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchsuite import __version__
from benchsuite.runs.case import KINDS, MEASUREMENT_VERSION, Case, Job, Record
from benchsuite.runs.scheduler import Observer, Scheduler
from benchsuite.runs.store import Store
from benchsuite.runs.workers import Event, Workers
from benchsuite.timing import fake
from benchsuite.timing.turns import Turnstile

MEASURED = ("ok", "throttled")


class Place:
    """One side: its cases by label, its records, and where its jobs run."""

    def __init__(self, cases: Mapping[str, Case], store: Store, workers: Workers, stop: Callable[[], bool]) -> None:
        self.cases = cases
        self.store = store
        self.workers = workers
        self._stop = stop

    def measure(self, label: str, pair: int, turns: str | None) -> Record:
        """The record of one process. Raises Interrupted and UserError as a run does."""
        done: dict[str, list[int]] = {}
        for record in self.store.records:
            done.setdefault(record.case_id, []).append(record.replicate)
        done.setdefault(self.cases[label].id, []).append(pair)
        known = [replace(case, replicates=tuple(done[case.id])) for case in self.cases.values() if case.id in done]
        Scheduler(known, self.store, _Kept(self.workers), _Silent(), stop=self._stop, turns=turns).run()
        return next(r for r in reversed(self.store.records) if r.key == (self.cases[label].id, pair))

    def leave_out(self, label: str, pairs: range, reason: str) -> None:
        """A record with the reason for each of `pairs` that has none."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        case_id = self.cases[label].id
        known = {record.replicate for record in self.store.records if record.case_id == case_id}
        for pair in [pair for pair in pairs if pair not in known]:
            self.store.append(Record(case_id, pair, "skipped", reason, now, 0.0))

    def results(self, label: str) -> Iterator[dict[str, Any]]:
        """Of the processes that have one."""
        return (r.result for r in self.store.records if r.case_id == self.cases[label].id and r.result)

    def renew(self) -> None:
        """What runs from here on is forked from a new server. Scripted times need none."""
        if all(fake.is_fake(case.params["device"]) for case in self.cases.values()):
            return
        self.workers.close()
        self.workers.warm()

    def close(self) -> None:
        self.workers.close()
        self.store.close()


class Stored:
    """A base that was measured earlier: the records of a run."""

    def __init__(self, cases: Mapping[str, Case], records: Iterable[Record]) -> None:
        self.cases = cases
        found = [r for r in records if r.status in MEASURED and r.result is not None]
        self._records = {label: [r for r in found if r.case_id == case.id] for label, case in cases.items()}

    def record(self, label: str, pair: int) -> Record | None:
        """The record of one process; None where the run has no more."""
        return self._records[label][pair] if pair < len(self._records[label]) else None

    def results(self, label: str) -> Iterator[dict[str, Any]]:
        return (r.result for r in self._records[label] if r.result)

    def leave_out(self, label: str, pairs: range, reason: str) -> None:
        """A run that is over gets no more records."""

    def renew(self) -> None:
        """Nothing runs."""

    def close(self) -> None:
        """Nothing is open."""


Base = Place | Stored


def manifest(plan: Mapping[str, Any], pairs: int, side: str, hardware: Mapping[str, Any]) -> dict[str, Any]:
    """The manifest of a side's run directory: its plan, with a replicate for each pair."""
    cases = [{**case, "replicates": list(range(pairs))} for case in plan["cases"]]
    about = {key: value for key, value in plan.items() if key not in ("schema_version", "estimate_s")}
    return {
        **about,
        "cases": cases,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": ["benchsuite", "gate"],
        "benchsuite_version": __version__,
        "measurement_version": MEASUREMENT_VERSION,
        "hardware": dict(hardware),
        "notes": [*plan.get("notes", []), f"One side of a gate: {side}."],
    }


def speed_cases(plan: Mapping[str, Any], pairs: int) -> dict[str, Case]:
    """The cases of a plan that have a speed, by label. A gate trains no models."""
    found = [Case.from_json({**case, "replicates": range(pairs)}) for case in plan["cases"]]
    return {case.label: case for case in found if KINDS[case.kind].alone}


def side_by_side(base: Base, head: Place, label: str, pair: int) -> tuple[Record, Record]:
    """The records of base and head, whose processes run at the same time and are timed in turns."""
    if isinstance(base, Stored):
        of_base = base.record(label, pair)
        assert of_base is not None
        return of_base, head.measure(label, pair, None)
    cases = [place.cases[label] for place in (base, head)]
    budget_s = sum(float(case.params["sample_s"]) for case in cases)
    patience_s = min(case.timeout_s for case in cases) / 2  # the one that hangs is killed, the other is measured
    turnstile = Turnstile(expected=2, budget_s=budget_s, patience_s=patience_s)
    with turnstile, ThreadPoolExecutor(2) as pool:

        def measure(place: Place) -> Record:
            try:
                return place.measure(label, pair, turnstile.path)
            finally:
                turnstile.left()

        started = [(place, pool.submit(measure, place)) for place in ((base, head) if pair % 2 == 0 else (head, base))]
        records = {id(place): future.result() for place, future in started}
    return records[id(base)], records[id(head)]


class _Kept:
    """Workers that outlive the scheduler that uses them."""

    def __init__(self, inner: Workers) -> None:
        self._inner = inner

    def warm(self) -> None:
        self._inner.warm()

    def start(self, name: str, file: Path) -> None:
        self._inner.start(name, file)

    def kill(self, name: str) -> None:
        self._inner.kill(name)

    def waiting(self, name: str) -> bool:
        return self._inner.waiting(name)

    def events(self, timeout_s: float) -> list[Event]:
        return self._inner.events(timeout_s)

    def close(self) -> None:
        """The gate closes them."""


class _Silent(Observer):
    """Watches nothing: the gate has a bar of its own."""

    def begin(self, total: int, done: int) -> None: ...
    def started(self, job: Job) -> None: ...
    def progressed(self, job: Job, fraction: float) -> None: ...
    def ended(self, job: Job, record: Record | None) -> None: ...
    def tick(self, remaining_s: float, honest: bool) -> None: ...
