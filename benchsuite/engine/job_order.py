"""In which order jobs run: small before large, long before short."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace

from benchsuite.cache import digest
from benchsuite.records.case import KINDS, Case, Job

PREPARE_TIMEOUT_S = 3600.0
PREPARE = "prepare"
NOT_PREPARED = ("model", "train", "init_offset", "stages", "longest", "learning_rate")  # what no shared data depends on


def together_order(cases: Iterable[Case]) -> list[Job]:
    """The jobs of cases that run side by side: the preparations they need, then seed by seed, longest first, so that
    no long job is left for the end. What others wait for, the learning rates that are tried, comes before them."""
    cases = list(cases)
    preparations: dict[str, Job] = {}
    needs: dict[str, tuple[str, ...]] = {}
    for case in cases:
        target = KINDS[case.kind].prepare
        if target is None:
            continue
        shared = {key: value for key, value in case.params.items() if key not in NOT_PREPARED}
        name = f"{PREPARE}-{digest(shared, 8)}"
        if name not in preparations:
            label = f"{PREPARE} {case.training.corpus.name if case.training else case.label}"
            first = tuple(preparations)[:1]  # it makes what all share, the tokenizer; the others then only read it
            preparations[name] = Job(name, label, case.kind, case.params, 0, PREPARE_TIMEOUT_S, needs=first)
        needs[case.id] = (name,)
    seeds = sorted({replicate for case in cases for replicate in case.replicates})
    by_length = sorted(cases, key=lambda case: (case.kind != "search", -(case.estimate_s or 0)))
    jobs = [
        replace(job_of(case, seed), needs=needs.get(case.id, ()))
        for seed in seeds
        for case in by_length
        if seed in case.replicates
    ]
    return [*preparations.values(), *jobs]


def size(case: Case) -> int:
    """Elements of a speed case's activations; of the other kinds, which have no shape, 0."""
    shape = case.params.get("shape") or {}
    return math.prod(shape.get(key) or 1 for key in ("batch", "seq", "width")) if shape else 0


def larger(case: Case, other: Case) -> bool:
    """Return whether `case` is `other` at a larger shape: no size is smaller, one is larger, all else is the same."""
    mine, theirs = case.params.get("shape"), other.params.get("shape")
    if not mine or not theirs or mine.keys() != theirs.keys():
        return False
    if {**case.params, "shape": None} != {**other.params, "shape": None}:
        return False
    sizes = [(mine[key], theirs[key]) for key in mine if isinstance(mine[key], int)]
    same = all(mine[key] == theirs[key] for key in mine if not isinstance(mine[key], int))
    return same and all(a >= b for a, b in sizes) and any(a > b for a, b in sizes)


def job_of(case: Case, replicate: int) -> Job:
    """The job that measures one replicate of a case."""
    return Job(f"{case.id}-{replicate}", case.label, case.kind, case.params, replicate, case.timeout_s, case)
