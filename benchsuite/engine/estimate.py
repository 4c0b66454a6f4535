"""Estimate the time that a plan takes before anything has run: the rounds of its rings, then its trainings.

found = estimate.of(plan, jobs=2)
found.least_s     # what a valid answer takes: the rounds that an interval needs, and two seeds
found.planned_s   # all that is planned
found.most_s      # with what may come: further rounds, seeds, models at the shared learning rate
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass

from benchsuite import devices
from benchsuite.engine import rings, sampling
from benchsuite.engine.job_order import together_order
from benchsuite.engine.rings import Edge
from benchsuite.engine.rounds import SEEDS, resolution_of
from benchsuite.planning import cost
from benchsuite.planning.cost import PREPARE_S, makespan
from benchsuite.planning.plan import Plan
from benchsuite.records import rates
from benchsuite.records.case import KINDS, Case

SERVER_S = 3.0  # a new fork server in every round: it imports torch
REPORT_S = 5.0


@dataclass(frozen=True)
class Estimate:
    """Seconds, on a machine that does nothing else."""

    least_s: float
    planned_s: float
    most_s: float


def of(plan: Plan, jobs: int, done: Collection[tuple[str, int]] = ()) -> Estimate:
    """Estimate `plan` with `jobs` trainings side by side; what is `done` (case id and replicate) takes no time."""
    resolution = resolution_of(plan.suite)
    todo = [case for case in plan.cases if case.unsupported is None]
    alone = [case for case in todo if KINDS[case.kind].alone]
    trained = [case for case in todo if not KINDS[case.kind].alone]
    edges = _edges(alone, plan)
    had = {case.id: sum(one == case.id for one, _ in done) for case in alone}

    def speeds(rounds: Callable[[Edge], int]) -> float:
        by_device: dict[str, list[tuple[Edge, int]]] = defaultdict(list)
        for edge in edges:
            left = rounds(edge) - min(had[case.id] for case in edge if case is not None)
            by_device[devices.of(edge[0].typed).name].append((edge, left))
        first_s = sum(cost.guess_first(case.typed) for case in alone if not had[case.id])
        return first_s + max((_rounds_s(told) for told in by_device.values()), default=0.0)

    again = {rates.at_shared_rate(case) for case in trained if rates.tried(case.typed)}

    def trainings(seeds: int, maybe: bool = False) -> float:
        sure = [case for case in trained if maybe or case.id not in again]
        wanted = [job for job in together_order(sure) if job.case and job.replicate in job.case.replicates[:seeds]]
        left = [(job.case and job.case.estimate_s) or 0.0 for job in wanted if job.key not in done]
        return PREPARE_S + makespan(left, jobs) if left else 0.0

    planned_s = speeds(sampling.planned)
    most_s = speeds(lambda edge: max(sampling.planned(edge), resolution.most if edge[1] else 0))
    if resolution.budget_s is not None:
        most_s = max(planned_s, min(most_s, resolution.budget_s))
    every = max((len(case.replicates) for case in trained), default=0)
    quality = plan.suite.quality
    sure = min(SEEDS, every) if quality and quality.until == "decided" else every
    return Estimate(
        speeds(sampling.fewest) + trainings(SEEDS) + REPORT_S,
        planned_s + trainings(sure) + REPORT_S,
        most_s + trainings(every, maybe=True) + REPORT_S,
    )


def _edges(cases: Sequence[Case], plan: Plan) -> list[Edge]:
    """Return the compared pairs of cases, and each other case by itself."""
    edges = sampling.edges_of(cases, plan.comparisons)
    compared = {case.id for edge in edges for case in edge if case is not None}
    return edges + [(case, None) for case in cases if case.id not in compared]


def _rounds_s(told: Iterable[tuple[Edge, int]]) -> float:
    """Seconds of one device for edges with so many rounds each."""
    told = [(edge, rounds) for edge, rounds in told if rounds > 0]
    total_s, before = 0.0, 0
    for rounds in sorted({rounds for _, rounds in told}):
        total_s += (rounds - before) * _round_s([edge for edge, own in told if own >= rounds])
        before = rounds
    return total_s


def _round_s(edges: Sequence[Edge]) -> float:
    """Seconds of one round of all rings; a case that is in several of them is measured in each."""
    scripted = devices.of(edges[0][0].typed).scripted
    shares = (case.estimate_s or 0.0 for ring in rings.pack(edges) for case in rings.cases_of(ring))
    return sum(shares) + (0.0 if scripted else SERVER_S)
