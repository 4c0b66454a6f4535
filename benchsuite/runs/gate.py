"""Two sides measured in pairs of processes, until each case is decided or the pairs are used up.

Each side is an ordinary run directory, `base` and `head`, so that everything that reads runs reads them too. Pair by
pair, every case that is still undecided runs once on each side, one right after the other, AB in even pairs and BA in
odd ones; decisions are taken after every second pair, when both orders have been seen alike. What is left out because
a case was decided has a record that says so.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchsuite import __version__
from benchsuite.runs.case import MEASUREMENT_VERSION, Case, Job, Record
from benchsuite.runs.scheduler import Observer, Scheduler
from benchsuite.runs.store import Store
from benchsuite.runs.workers import Event, Workers
from benchsuite.stats.gate import Decision, Rule, decide

MEASURED = ("ok", "throttled")
MEMORY_FLOOR_BYTES = 2**20  # growth below it is no finding, whatever its share

Say = Callable[[str, int, int], None]  # what is measured, measurements done, measurements at most


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Something other than speed that the change did to a case: `new`, `missing`, `fails`, `mended`, `memory`,
    `unmeasured` (on neither side, though it should run), `unsupported` (on neither side, as planned)."""

    case: str
    kind: str
    text: str
    regression: bool = False


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a gate found: a decision for each case that both sides measured, by label, and findings."""

    logs: Mapping[str, Sequence[float]]  # log-ratios, one a pair
    decisions: Mapping[str, Decision]
    findings: tuple[Finding, ...]
    times_s: Mapping[str, tuple[float, float]]  # medians over processes, base and head
    pairs: int


class Place:
    """One side: its cases by label, its records, and where its jobs run."""

    def __init__(self, cases: Mapping[str, Case], store: Store, workers: Workers, stop: Callable[[], bool]) -> None:
        self.cases = cases
        self.store = store
        self.workers = workers
        self._stop = stop

    def measure(self, label: str, pair: int) -> Record:
        """The record of one process. Raises Interrupted and UserError as a run does."""
        done: dict[str, list[int]] = {}
        for record in self.store.records:
            done.setdefault(record.case_id, []).append(record.replicate)
        done.setdefault(self.cases[label].id, []).append(pair)
        known = [replace(case, replicates=tuple(done[case.id])) for case in self.cases.values() if case.id in done]
        Scheduler(known, self.store, _Kept(self.workers), _Silent(), stop=self._stop).run()
        return next(r for r in reversed(self.store.records) if r.key == (self.cases[label].id, pair))

    def leave_out(self, label: str, pairs: range, reason: str) -> None:
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        for pair in pairs:
            self.store.append(Record(self.cases[label].id, pair, "skipped", reason, now, 0.0))

    def close(self) -> None:
        self.workers.close()
        self.store.close()


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
    """The speed cases of a plan by label. A gate trains no models."""
    found = [Case.from_json({**case, "replicates": range(pairs)}) for case in plan["cases"]]
    return {case.label: case for case in found if case.kind == "speed"}


@dataclass
class _Progress:
    """What is known of a gate while it runs."""

    logs: dict[str, list[float]]
    times_s: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)


def run(
    base: Place, head: Place, rule: Rule, *, pairs: int, to_the_end: bool = False, say: Say = lambda *_: None
) -> Outcome:
    """Measures what both sides have until all is decided or `pairs` are used up (an even number); `to_the_end` uses
    all pairs, as a calibration does."""
    shared = [label for label in head.cases if label in base.cases]
    known = _Progress({})
    known.findings += [_only(label, "new") for label in head.cases if label not in base.cases]
    known.findings += [_only(label, "missing") for label in base.cases if label not in head.cases]
    for label in shared:
        known.logs[label] = []
    open_ = list(shared)
    done = pair = 0
    while open_ and pair < pairs:
        for label in list(open_):
            say(label, done, done + (pairs - pair) * 2 * len(open_))
            if not _pair(base, head, label, pair, known):
                open_.remove(label)
                del known.logs[label]
                _leave_out((base, head), label, range(pair + 1, pairs), "what failed once is not repeated")
            done += 2
        pair += 1
        if pair % 2 == 0 and not to_the_end:
            decisions = decide(known.logs, rule)
            for label in [label for label in open_ if decisions[label].verdict != "unclear"]:
                open_.remove(label)
                _leave_out((base, head), label, range(pair, pairs), f"decided after {pair} pairs")
    for label in known.logs:
        known.findings += _memory(base, head, label, rule)
    times = {label: _medians(values) for label, values in known.times_s.items() if label in known.logs}
    decisions = decide(known.logs, rule)
    return Outcome(logs=known.logs, decisions=decisions, findings=tuple(known.findings), times_s=times, pairs=pair)


def _leave_out(places: Iterable[Place], label: str, pairs: range, reason: str) -> None:
    for place in places:
        place.leave_out(label, pairs, reason)


def _pair(base: Place, head: Place, label: str, pair: int, known: _Progress) -> bool:
    """One process on each side; False where the case cannot go on, which is then a finding."""
    first, second = (base, head) if pair % 2 == 0 else (head, base)
    records = {id(place): place.measure(label, pair) for place in (first, second)}
    of_base, of_head = records[id(base)], records[id(head)]
    good = [record.status in MEASURED and record.result is not None for record in (of_base, of_head)]
    if all(good):
        assert of_base.result is not None
        assert of_head.result is not None
        times = (of_base.result["time_s"], of_head.result["time_s"])
        known.logs[label].append(math.log(times[1] / times[0]))
        known.times_s.setdefault(label, []).append(times)
        return True
    known.findings.append(_failure(label, of_base, of_head, *good))
    return False


def _failure(label: str, base: Record, head: Record, base_good: bool, head_good: bool) -> Finding:
    if base_good:
        text = f"{head.status} at head, and was measured at base: {head.reason}"
        return Finding(case=label, kind="fails", text=text, regression=True)
    if head_good:
        return Finding(
            case=label, kind="mended", text=f"measured at head, and was {base.status} at base: {base.reason}"
        )
    if base.status == head.status == "unsupported":
        return Finding(case=label, kind="unsupported", text=str(head.reason))
    text = f"{base.status} at base, {head.status} at head: {head.reason}"
    return Finding(case=label, kind="unmeasured", text=text)


def _only(label: str, kind: str) -> Finding:
    where, lacking = ("head", "base") if kind == "new" else ("base", "head")
    return Finding(case=label, kind=kind, text=f"{where} has this case and {lacking} has not")


def _memory(base: Place, head: Place, label: str, rule: Rule) -> Iterator[Finding]:
    """Peak memory is counted, not timed: one process says it."""
    before, after = (_peak(place, label) for place in (base, head))
    if before is None or after is None:
        return
    grown = after - before
    if grown > MEMORY_FLOOR_BYTES and after > before * (1 + rule.catch):
        text = f"peak memory grew from {before} to {after} bytes"
        yield Finding(case=label, kind="memory", text=text, regression=True)


def _peak(place: Place, label: str) -> int | None:
    results = [r.result for r in place.store.records if r.case_id == place.cases[label].id and r.result]
    return next((result["peak_bytes"] for result in results if result.get("peak_bytes")), None)


def _medians(times: Sequence[tuple[float, float]]) -> tuple[float, float]:
    ordered = [sorted(side) for side in zip(*times, strict=True)]
    return ordered[0][len(times) // 2], ordered[1][len(times) // 2]


def verdict(outcome: Outcome) -> str:
    """Of the whole: `regression`, `unclear`, or `fine`."""
    if any(d.verdict == "slower" for d in outcome.decisions.values()) or any(f.regression for f in outcome.findings):
        return "regression"
    undecided = any(d.verdict == "unclear" for d in outcome.decisions.values())
    return "unclear" if undecided or any(f.kind in ("missing", "unmeasured") for f in outcome.findings) else "fine"


def failed(outcome: Outcome) -> bool:
    """Whether nothing at all could be compared, or a case failed on both sides."""
    return any(f.kind == "unmeasured" for f in outcome.findings) or not outcome.decisions


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
