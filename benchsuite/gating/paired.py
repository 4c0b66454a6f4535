"""Two sides measured in pairs of processes, until each case is decided or the pairs are used up.

Each side is an ordinary run directory, `base` and `head`, so that everything that reads runs reads them too. Pair by
pair, every case that is still undecided runs in two processes side by side, one for each side, which are timed in turns
of some milliseconds (`benchsuite.timing.turns`): a neighbour that comes and goes slows both. What the processes
themselves differ in, such as where their memory lies, is the same for all their turns; so a pair of processes is one
observation. A fork server hands much of that down to all its children, so each pair has two new ones: of two equal
programs one was 2.4% faster in 20 of 24 pairs from the same two servers, which no number of pairs would have mended.
Decisions are taken after every second pair, when either side was started first as often. What is left out because a
case was decided has a record that says so.

A base may also be a run of an earlier day. Its processes are then paired with those of head as they come: between equal
programs on an unchanged machine they could be exchanged too, but what changed in the machine since counts as head's.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Literal

from benchsuite import format as fmt
from benchsuite.errors import Interrupted
from benchsuite.gating.margins import Rules
from benchsuite.gating.measured_sides import MeasuredSide, Side, StoredSide, log_slowdown, side_by_side
from benchsuite.records.baselines import differences
from benchsuite.records.case import Record
from benchsuite.records.params import PytestParams
from benchsuite.stats.decisions import Decision, Rule, decide, settled, verdicts

INTERRUPTED, OUT_OF_TIME = "it was interrupted", "the budget of time was used up"
UNMEASURED = ("folder", "sample_s", "source")  # parameters that are no part of what is measured
MEMORY_FLOOR_BYTES = 2**20  # growth below it is no finding, whatever its share

Say = Callable[[str, int, int], None]  # what is measured, measurements done, measurements at most


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Something other than speed that the change did to a case: `new`, `missing`, `changed` (another measurement),
    `edited` (the test's own text), `fails`, `mended`, `memory`, `unmeasured` (on neither side, though it should run),
    `unsupported` (on neither side, as planned)."""

    case: str
    kind: str
    text: str
    regression: bool = False


@dataclass(frozen=True, kw_only=True)
class Paired:
    """The result of the pairs: a decision for each case that both sides measured, by label, and findings on what is not
    about speed."""

    logs: Mapping[str, Sequence[float]]  # log-ratios, one a pair
    decisions: Mapping[str, Decision]
    findings: tuple[Finding, ...]
    times_s: Mapping[str, tuple[float, float]]  # medians over processes, base and head
    pairs: int
    time_s: float = 0.0
    stopped: str | None = None  # why it ended before all was decided or the pairs were used up

    @property
    def verdict(self) -> Literal["regression", "unclear", "fine"]:
        """The verdict on the whole."""
        decided = {decision.verdict for decision in self.decisions.values()}
        if "slower" in decided or any(finding.regression for finding in self.findings):
            return "regression"
        open_ = any(finding.kind in ("missing", "changed", "unmeasured") for finding in self.findings)
        return "unclear" if "unclear" in decided or open_ else "fine"

    @property
    def incomparable(self) -> bool:
        """True if base and head have no case in common that is measured alike."""
        kinds = {finding.kind for finding in self.findings}
        return not self.decisions and kinds <= {"new", "missing", "changed", "edited"}

    @property
    def failed(self) -> bool:
        """True if nothing at all could be compared, or a case failed on both sides."""
        return not self.decisions or any(finding.kind == "unmeasured" for finding in self.findings)

    @property
    def interrupted(self) -> bool:
        """True if a signal ended the gate; the verdicts are about what was known by then."""
        return self.stopped == INTERRUPTED


class _OutOfTime(Exception):  # noqa: N818 - the end of a budget, no error
    """The budget of time is used up."""


@dataclass
class _Progress:
    """The state of a gate while it runs."""

    logs: dict[str, list[float]]
    times_s: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)


def run(
    base: Side,
    head: MeasuredSide,
    rules: Rules,
    *,
    pairs: int,
    budget_s: float | None = None,
    to_the_end: bool = False,
    meant: bool = False,
    say: Say = lambda *_: None,
) -> Paired:
    """Measure what both sides have until all is decided, or `pairs` (an even number) or the budget are used up;
    `to_the_end` uses all pairs, as a calibration does. With `meant` the sides are meant to differ in parameters. An
    interruption ends it too: what is known by then is judged."""
    known = _begun(base, head, meant)
    open_ = list(known.logs)
    done = pair = 0
    stopped = None
    started = time.monotonic()
    try:
        while open_ and pair < pairs:
            if pair:
                _renew(base, head)
            for label in list(open_):
                if budget_s is not None and time.monotonic() - started > budget_s:
                    raise _OutOfTime
                say(label, done, done + (pairs - pair) * 2 * len(open_))
                reason = _pair(base, head, label, pair, known)
                if reason is not None:
                    open_.remove(label)
                    _leave_out((base, head), label, range(pair, pairs), reason)
                done += 2
            pair += 1
            if pair % 2 == 0 and not to_the_end:
                own = _own(known, rules)
                told = verdicts(known.logs, rules.default, own)
                for label in [label for label in open_ if settled(told[label], known.logs[label], own[label])]:
                    open_.remove(label)
                    _leave_out((base, head), label, range(pair, pairs), f"decided after {pair} pairs")
    except _OutOfTime:
        stopped = OUT_OF_TIME
    except Interrupted:
        stopped = INTERRUPTED
    for label in known.logs:
        known.findings += _memory(base, head, label, rules.of(label))
    times = {label: _medians(values) for label, values in known.times_s.items() if label in known.logs}
    return Paired(
        logs=known.logs,
        decisions=decide(known.logs, rules.default, _own(known, rules)),
        findings=tuple(known.findings),
        times_s=times,
        pairs=max((len(values) for values in known.logs.values()), default=0),
        time_s=time.monotonic() - started,
        stopped=stopped,
    )


def _begun(base: Side, head: MeasuredSide, meant: bool) -> _Progress:
    """The cases that both sides have, without pairs yet, and findings of the others."""
    known = _Progress({})
    for label in head.cases:
        if label not in base.cases:
            known.findings.append(_only(label, "new"))
        elif (not meant or isinstance(base, StoredSide)) and (changes := _changes(base, head, label)):
            known.findings.append(_changed(label, changes))
        else:
            known.logs[label] = []
            if _edited(base, head, label):
                text = "the test itself is another than at base; what its speed changed by may be the test's own"
                known.findings.append(Finding(case=label, kind="edited", text=text))
    known.findings += [_only(label, "missing") for label in base.cases if label not in head.cases]
    return known


def _own(known: _Progress, rules: Rules) -> dict[str, Rule]:
    """Each case's own rule, its floor taken at base's time."""
    own = {label: rules.of(label) for label in known.logs}
    return {
        label: rule.at(_medians(known.times_s[label])[0]) if known.logs[label] else rule for label, rule in own.items()
    }


def _changes(base: Side, head: MeasuredSide, label: str) -> list[str]:
    """In which parameters the two sides are not one measurement."""
    theirs, ours = (
        {key: value for key, value in side.cases[label].params.items() if key not in UNMEASURED}
        for side in (base, head)
    )
    if "parameters" not in theirs:  # a run of an older version
        ours.pop("parameters", None)
    return differences(theirs, ours)


def _changed(label: str, changes: Sequence[str]) -> Finding:
    return Finding(case=label, kind="changed", text=f"base and head are not one measurement: {'; '.join(changes)}")


def _edited(base: Side, head: MeasuredSide, label: str) -> bool:
    """Return whether the text of a test is known of both sides and differs."""
    known = (side.cases[label].typed for side in (base, head))
    theirs, ours = (params.source if isinstance(params, PytestParams) else None for params in known)
    return theirs is not None and ours is not None and theirs != ours


def _leave_out(sides: Iterable[Side], label: str, pairs: range, reason: str) -> None:
    for side in sides:
        side.leave_out(label, pairs, reason)


def _renew(*sides: Side) -> None:
    """Start new servers, for the next pair."""
    with ThreadPoolExecutor(len(sides)) as pool:
        list(pool.map(lambda side: side.renew(), sides))


def _pair(base: Side, head: MeasuredSide, label: str, pair: int, known: _Progress) -> str | None:
    """One process on each side; why the case cannot go on, where it cannot: a failure is a finding, too."""
    if isinstance(base, StoredSide) and base.record(label, pair) is None:
        return "the run of base has no more processes"
    of_base, of_head = side_by_side(base, head, label, pair)
    theirs, ours = of_base.speed, of_head.speed
    if theirs is None or ours is None or theirs.time_s is None or ours.time_s is None:
        known.findings.append(_failure(label, of_base, of_head))
        del known.logs[label]
        return "what failed once is not repeated"
    # A run of an older version does not say what its fixture was given.
    if theirs.given and ours.given and (changes := differences(theirs.given, ours.given)):
        known.findings.append(_changed(label, changes))
        del known.logs[label]
        return "base and head are not one measurement"
    known.logs[label].append(log_slowdown(of_base, of_head))
    known.times_s.setdefault(label, []).append((theirs.time_s, ours.time_s))
    return None


def _failure(label: str, base: Record, head: Record) -> Finding:
    if base.speed is not None:
        text = f"{head.status} at head, and was measured at base: {head.reason}"
        return Finding(case=label, kind="fails", text=text, regression=True)
    if head.speed is not None:
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


def _memory(base: Side, head: MeasuredSide, label: str, rule: Rule) -> Iterator[Finding]:
    """Peak memory is counted, not timed: one process says it."""
    before, after = (_peak(side, label) for side in (base, head))
    if before is None or after is None:
        return
    grown = after - before
    if grown > MEMORY_FLOOR_BYTES and after > before * (1 + rule.catch):
        text = f"peak memory grew to {after / before:.2f}x, from {fmt.bytes_(before)} to {fmt.bytes_(after)}"
        yield Finding(case=label, kind="memory", text=text, regression=True)


def _peak(side: Side, label: str) -> float | None:
    return next((result.peak_bytes for result in side.results(label) if result.peak_bytes), None)


def _medians(times: Sequence[tuple[float, float]]) -> tuple[float, float]:
    ordered = [sorted(side) for side in zip(*times, strict=True)]
    return ordered[0][len(times) // 2], ordered[1][len(times) // 2]
