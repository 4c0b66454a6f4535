"""Rings: cases that are measured alive together and take turns, once around for each round.

A comparison is an edge between two cases; a ring is a set of edges with the cases at their ends. All processes of a
ring are started together, build and warm up, and are then timed in turns of some milliseconds
(`benchsuite.timing.turns`), so that a neighbour that comes and goes slows all of them alike. The records of one turn
around a ring have the same `round`.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from benchsuite import devices
from benchsuite.engine.job_order import job_of
from benchsuite.engine.processes import LOST, POLL_S, Ended, Processes
from benchsuite.hardware.fingerprint import usable_cores
from benchsuite.records.case import MEASURED, Case, Job, Record
from benchsuite.records.params import ProcessParams
from benchsuite.timing.turns import Turnstile
from benchsuite.worker import cores_of

LARGEST = 16  # cases of a ring: a cycle of turns then takes less than a second

Edge = tuple[Case, Case | None]  # a case and what it is compared with; None: nothing


@dataclass(frozen=True)
class Member:
    """A case at one replicate, and the processes that run it: those of a run, or of one side of a gate."""

    case: Case
    replicate: int
    processes: Processes
    place: int = 0  # the share of the cores that the device of the case has

    @property
    def job(self) -> Job:
        return job_of(self.case, self.replicate)


def pack(edges: Iterable[Edge], largest: Callable[[Edge], int] = lambda _: LARGEST) -> list[list[Edge]]:
    """Return the edges in rings, in their order: those of one group together as long as there are at most `largest`
    cases, or one edge. A case at the ends of edges of several rings, such as a baseline, is in each of these."""
    rings: list[list[Edge]] = []
    last: dict[str, tuple[set[str], list[Edge]]] = {}
    for edge in edges:
        ends = {case.id for case in edge if case is not None}
        known, ring = last.get(edge[0].group, (set(), []))
        if not ring or len(known | ends) > largest(edge):
            known, ring = last[edge[0].group] = (set(), [])
            rings.append(ring)
        known |= ends
        ring.append(edge)
    return rings


def cases_of(edges: Iterable[Edge]) -> list[Case]:
    """Return the cases at the ends of `edges`, each once."""
    return list({case.id: case for edge in edges for case in reversed(edge) if case is not None}.values())


def sample_s(case: Case) -> float:
    """Return the seconds for which a process of `case` samples in a round."""
    return _process(case).sample_s


def _process(case: Case) -> ProcessParams:
    assert isinstance(case.typed, ProcessParams), f"{case.label} takes no turns"
    return case.typed


def measure(
    members: Sequence[Member],
    round_: int,
    memory_limit_bytes: int | None,
    look: Callable[[], None],
    together: bool = True,
    longer: float = 1.0,
) -> list[Record]:
    """Measure the members together, in turns where there are several, or one after the other; return a record of each
    in their order.

    The turns of each take about its `sample_s` times `longer`. `look` is called while they run, and may raise to end
    the run. A fork server that dies costs one repetition, and where it dies again, each member is measured alone, which
    tells whose fault it was. The order of the turns is drawn for every second round and reversed in the next, so that
    nobody always goes first or follows the same.
    """
    order = list(range(len(members)))
    random.Random(round_ // 2).shuffle(order)
    if round_ % 2:
        order.reverse()
    ordered = [members[i] for i in order]
    died = False
    ended = [Ended(member.job, LOST, None, None, "", 0.0) for member in ordered]
    if together:
        ended = _around(ordered, memory_limit_bytes, look, longer)
        if died := any(end.status == LOST for end in ended):
            ended = _around(ordered, memory_limit_bytes, look, longer)
    if any(end.status == LOST for end in ended) and (len(members) > 1 or not together):
        ended = [_alone(member, memory_limit_bytes, look) for member in ordered]
    found = {i: _record(member, end, round_, died) for i, member, end in zip(order, ordered, ended, strict=True)}
    return [found[i] for i in range(len(members))]


def _alone(member: Member, memory_limit_bytes: int | None, look: Callable[[], None]) -> Ended:
    [end] = _around([member], memory_limit_bytes, look)
    return end if end.status != LOST else _around([member], memory_limit_bytes, look)[0]


def _around(
    members: Sequence[Member], memory_limit_bytes: int | None, look: Callable[[], None], longer: float = 1.0
) -> list[Ended]:
    """Start the members' processes and wait until all have ended."""
    if len(members) == 1:
        return _wait(members, None, memory_limit_bytes, look)
    case = members[0].case
    threads = _process(case).threads
    budget_s = longer * sum(sample_s(member.case) for member in members)
    patience_s = min(_limit_s(member, len(members)) for member in members) / 2
    cores = cores_of(threads, members[0].place)
    with Turnstile(len(members), budget_s=budget_s, patience_s=patience_s, cores=cores) as turnstile:
        ended = _wait(members, turnstile, memory_limit_bytes, look)
        seen = {} if devices.of(case.typed).scripted else turnstile.seen()
    return [_with_other_work(end, seen) for end in ended]


def _wait(
    members: Sequence[Member],
    turnstile: Turnstile | None,
    memory_limit_bytes: int | None,
    look: Callable[[], None],
) -> list[Ended]:
    names: dict[tuple[int, str], int] = {}
    everyone = list({id(member.processes): member.processes for member in members}.values())
    for number, member in enumerate(members):
        job = member.job
        names[id(member.processes), job.name] = number
        member.processes.start(
            job,
            threads=_process(member.case).threads,
            memory_limit_bytes=memory_limit_bytes,
            place=member.place,
            turns={"path": turnstile.path, "member": number, "members": len(members)} if turnstile else None,
            timeout_s=_limit_s(member, len(members)),
        )
    found: dict[int, Ended] = {}
    while len(found) < len(members):
        look()
        for processes in everyone:
            for end in processes.poll(POLL_S / len(everyone)):
                number = names[id(processes), end.job.name]
                found[number] = end
                if turnstile:
                    turnstile.left(number)
    return [found[number] for number in range(len(members))]


def _limit_s(member: Member, members: int) -> float:
    """Seconds that a member may take: while all of them build, each has a share of the cores."""
    return member.case.timeout_s * max(1.0, members / usable_cores())


def _with_other_work(end: Ended, seen: dict[str, object]) -> Ended:
    """Add what else ran on the cores to what the process itself could see, where it measured."""
    monitor = (end.result or {}).get("monitor") if end.status in MEASURED else None
    if not seen or monitor is None:
        return end
    disturbed = list(dict.fromkeys([*monitor.get("disturbed", []), *seen["disturbed"]]))  # type: ignore[misc]
    return replace(end, result={**(end.result or {}), "monitor": {**monitor, **seen, "disturbed": disturbed}})


def _record(member: Member, end: Ended, round_: int, died: bool) -> Record:
    status, reason = end.status, end.reason
    if status == LOST:
        status = "error"
    elif died:
        reason = "; ".join(part for part in ("the fork server died once while it ran", reason) if part)
    return Record(
        member.case.id, member.replicate, status, reason, end.started, round(end.time_s, 4), end.result, round=round_
    )
