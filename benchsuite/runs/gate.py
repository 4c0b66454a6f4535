"""Two sides measured in pairs of processes, until each case is decided or the pairs are used up.

Each side is an ordinary run directory, `base` and `head`, so that everything that reads runs reads them too. Pair by
pair, every case that is still undecided runs in two processes side by side, one for each side, which are timed in turns
of some milliseconds (`benchsuite.timing.turns`): a neighbour that comes and goes slows both. What the processes
themselves differ in, such as where their memory lies, is the same for all their turns; so a pair of processes is one
observation. Decisions are taken after every second pair, when either side was started first as often. What is left out
because a case was decided has a record that says so.

A base may also be a run of an earlier day. Its processes are then paired with those of head as they come: between equal
programs on an unchanged machine they could be exchanged too, but what changed in the machine since counts as head's.
"""

from __future__ import annotations

import fnmatch
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, TypeAdapter, field_validator

from benchsuite import __version__
from benchsuite.errors import UserError
from benchsuite.runs.case import KINDS, MEASUREMENT_VERSION, Case, Job, Record
from benchsuite.runs.scheduler import Interrupted, Observer, Scheduler
from benchsuite.runs.store import Store
from benchsuite.runs.workers import Event, Workers
from benchsuite.stats.gate import Decision, Rule, decide
from benchsuite.timing.turns import Turnstile

MEASURED = ("ok", "throttled")
INTERRUPTED = "it was interrupted"
MEMORY_FLOOR_BYTES = 2**20  # growth below it is no finding, whatever its share

Say = Callable[[str, int, int], None]  # what is measured, measurements done, measurements at most


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Something other than speed that the change did to a case: `new`, `missing`, `changed`, `fails`, `mended`,
    `memory`, `unmeasured` (on neither side, though it should run), `unsupported` (on neither side, as planned)."""

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
    time_s: float = 0.0
    stopped: str | None = None  # why it ended before all was decided or the pairs were used up


class Own(BaseModel):
    """What a line of a margins file says of the cases that its pattern fits."""

    model_config = ConfigDict(extra="forbid")

    case: str
    margin: float | None = None
    catch: float | None = None
    floor_s: float | None = None

    @field_validator("margin", "catch", mode="before")
    @classmethod
    def _share(cls, value: Any) -> Any:
        return float(value.removesuffix("%")) / 100 if isinstance(value, str) and value.endswith("%") else value


@dataclass(frozen=True)
class Rules:
    """The rule of all cases, and those of single ones; where several patterns fit, the last that says it counts."""

    default: Rule
    own: tuple[Own, ...] = ()

    @classmethod
    def read(cls, default: Rule, path: Path | None) -> Rules:
        """Rules with the margins of a YAML file: a list of {case: PATTERN, margin: 5%, catch: 10%, floor_s: 1e-5}.
        Raises UserError."""
        if path is None:
            return cls(default)
        try:
            rows = yaml.safe_load(path.read_text(encoding="utf-8")) or []
            rules = cls(default, tuple(TypeAdapter(list[Own]).validate_python(rows)))
            for own in rules.own:
                rules.of(own.case)
        except (OSError, UnicodeDecodeError, yaml.YAMLError, ValueError) as error:
            told = " ".join(str(error).split())
            hint = "a list of {case: PATTERN, margin: 5%, catch: 10%, floor_s: 1e-5}"
            raise UserError(f"{path} gives no margins: {told}", hint=hint) from error
        return rules

    def of(self, label: str) -> Rule:
        """The rule of a case. Raises ValueError where its margin is not below what is to be caught."""
        said: dict[str, float] = {}
        for own in self.own:
            if own.case == label or fnmatch.fnmatchcase(label, own.case):
                said |= own.model_dump(exclude={"case"}, exclude_none=True)
        if "margin" in said and "catch" not in said:
            said["catch"] = max(self.default.catch, 2 * said["margin"])
        return replace(self.default, **said)


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
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        for pair in pairs:
            self.store.append(Record(self.cases[label].id, pair, "skipped", reason, now, 0.0))

    def results(self, label: str) -> Iterator[dict[str, Any]]:
        """Of the processes that have one."""
        return (r.result for r in self.store.records if r.case_id == self.cases[label].id and r.result)

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


@dataclass
class _Progress:
    """What is known of a gate while it runs."""

    logs: dict[str, list[float]]
    times_s: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)


def run(
    base: Base,
    head: Place,
    rules: Rules,
    *,
    pairs: int,
    budget_s: float | None = None,
    to_the_end: bool = False,
    say: Say = lambda *_: None,
) -> Outcome:
    """Measures what both sides have until all is decided, or `pairs` (an even number) or the budget are used up;
    `to_the_end` uses all pairs, as a calibration does. An interruption ends it too: what is known by then is judged."""
    shared = [label for label in head.cases if label in base.cases and not _changed(base, head, label)]
    known = _Progress({})
    known.findings += [_only(label, "new") for label in head.cases if label not in base.cases]
    known.findings += [_only(label, "missing") for label in base.cases if label not in head.cases]
    known.findings += [
        Finding(case=label, kind="changed", text="it is measured with other parameters than in the run of base")
        for label in head.cases
        if label in base.cases and label not in shared
    ]
    for label in shared:
        known.logs[label] = []
    open_ = list(shared)
    done = pair = 0
    stopped = None
    started = time.monotonic()
    while open_ and pair < pairs and stopped is None:
        for label in list(open_):
            if budget_s is not None and time.monotonic() - started > budget_s:
                stopped = "the budget of time was used up"
                break
            say(label, done, done + (pairs - pair) * 2 * len(open_))
            if isinstance(base, Stored) and base.record(label, pair) is None:
                open_.remove(label)
                _leave_out((base, head), label, range(pair, pairs), "the run of base has no more processes")
            else:
                try:
                    good = _pair(base, head, label, pair, known)
                except Interrupted:
                    stopped = INTERRUPTED
                    break
                if not good:
                    open_.remove(label)
                    del known.logs[label]
                    _leave_out((base, head), label, range(pair + 1, pairs), "what failed once is not repeated")
            done += 2
        pair += 1
        if pair % 2 == 0 and not to_the_end and stopped is None:
            decisions = _decide(known, rules)
            for label in [label for label in open_ if decisions[label].verdict != "unclear"]:
                open_.remove(label)
                _leave_out((base, head), label, range(pair, pairs), f"decided after {pair} pairs")
    for label in known.logs:
        known.findings += _memory(base, head, label, rules.of(label))
    times = {label: _medians(values) for label, values in known.times_s.items() if label in known.logs}
    return Outcome(
        logs=known.logs,
        decisions=_decide(known, rules),
        findings=tuple(known.findings),
        times_s=times,
        pairs=max((len(values) for values in known.logs.values()), default=0),
        time_s=time.monotonic() - started,
        stopped=stopped,
    )


def _decide(known: _Progress, rules: Rules) -> dict[str, Decision]:
    """By each case's own rule, its floor taken at base's time."""
    own = {label: rules.of(label) for label in known.logs}
    own = {
        label: rule.at(_medians(known.times_s[label])[0]) if known.logs[label] else rule for label, rule in own.items()
    }
    return decide(known.logs, rules.default, own)


def _changed(base: Base, head: Place, label: str) -> bool:
    """Whether a stored case was measured with other parameters; between two sides of today they may be what is
    compared."""
    ours, theirs = (
        {key: value for key, value in place.cases[label].params.items() if key not in ("folder", "sample_s")}
        for place in (head, base)
    )
    return isinstance(base, Stored) and ours != theirs


def _leave_out(places: Iterable[Base], label: str, pairs: range, reason: str) -> None:
    for place in places:
        place.leave_out(label, pairs, reason)


def _pair(base: Base, head: Place, label: str, pair: int, known: _Progress) -> bool:
    """One process on each side; False where the case cannot go on, which is then a finding."""
    of_base, of_head = _side_by_side(base, head, label, pair)
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


def _side_by_side(base: Base, head: Place, label: str, pair: int) -> tuple[Record, Record]:
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


def _memory(base: Base, head: Place, label: str, rule: Rule) -> Iterator[Finding]:
    """Peak memory is counted, not timed: one process says it."""
    before, after = (_peak(place, label) for place in (base, head))
    if before is None or after is None:
        return
    grown = after - before
    if grown > MEMORY_FLOOR_BYTES and after > before * (1 + rule.catch):
        text = f"peak memory grew from {before} to {after} bytes"
        yield Finding(case=label, kind="memory", text=text, regression=True)


def _peak(place: Base, label: str) -> int | None:
    return next((result["peak_bytes"] for result in place.results(label) if result.get("peak_bytes")), None)


def _medians(times: Sequence[tuple[float, float]]) -> tuple[float, float]:
    ordered = [sorted(side) for side in zip(*times, strict=True)]
    return ordered[0][len(times) // 2], ordered[1][len(times) // 2]


def verdict(outcome: Outcome) -> str:
    """Of the whole: `regression`, `unclear`, or `fine`."""
    if any(d.verdict == "slower" for d in outcome.decisions.values()) or any(f.regression for f in outcome.findings):
        return "regression"
    undecided = any(d.verdict == "unclear" for d in outcome.decisions.values())
    return (
        "unclear"
        if undecided or any(f.kind in ("missing", "changed", "unmeasured") for f in outcome.findings)
        else "fine"
    )


def incomparable(outcome: Outcome) -> bool:
    """Whether base and head have no case in common that is measured alike."""
    return not outcome.decisions and all(f.kind in ("new", "missing", "changed") for f in outcome.findings)


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
