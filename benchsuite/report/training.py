"""The trained models of a run: who is compared with whom, and their training curves."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any

from benchsuite import format
from benchsuite.records.case import Case, Comparison
from benchsuite.records.load import Run
from benchsuite.suite.corpora import displayed
from benchsuite.verdicts import quality

Fields = dict[str, Any]
CURVE_POINTS = 200


def compared(run: Run, kind: str) -> Iterator[tuple[str, str, str, Case]]:
    """(role, component, name, case) of the baselines of the comparisons of a kind, then of the variants, each once."""
    cases = run.cases
    compared = [c for c in run.manifest.comparisons if c.kind == kind and {c.case, c.base_case} <= cases.keys()]
    bases: dict[str, Comparison] = {c.base_case: c for c in compared}
    variants: dict[str, Comparison] = {c.case: c for c in compared}
    for identity in bases:
        yield "baseline", "", "baseline", cases[identity]
    for identity, c in itertools.filterfalse(lambda item: item[0] in bases, variants.items()):
        yield "variant", c.component, c.variant, cases[identity]


def training(run: Run, models: quality.Models) -> list[Fields]:
    """One entry for each trained model and seed, with its loss curve thinned to at most `CURVE_POINTS` means."""
    roles: dict[str, tuple[str, str, str]] = {}
    for c in run.manifest.comparisons:
        if c.kind == "control":
            roles.setdefault(c.case, ("control", "", c.name))
    for c in run.manifest.comparisons:
        if c.kind == "curve":
            roles.setdefault(c.case, ("curve", "", f"baseline, {c.variant}{f' of {c.name}' if c.name else ''}"))
    for c in run.manifest.comparisons:
        if c.kind in ("shared", "rung"):
            told = "shared rate" if c.kind == "shared" else c.name
            roles.setdefault(c.case, (c.kind, c.component, f"{c.variant}, {told}"))
            roles.setdefault(c.base_case, (c.kind, "", f"baseline, {told}"))
    for c in run.manifest.comparisons:
        if c.kind == "quality":
            roles[c.base_case] = ("baseline", "", "baseline")
    for c in run.manifest.comparisons:
        if c.kind == "quality":  # what others are compared with may itself be compared with something
            roles[c.case] = ("variant", c.component, c.variant)
    bases = list(dict.fromkeys(c.base_case for c in run.manifest.comparisons if c.kind == "quality"))
    cases = [case.id for case in run.manifest.cases if case.kind == "quality"]
    read = {
        case.id: case.training.corpus.name if case.training else None
        for case in run.manifest.cases
        if case.kind == "quality"
    }
    shown = displayed(sorted({name for name in read.values() if name is not None}))
    entries = []
    own = [(case, seed) for case, seed in models.results if models.trained(case, seed)]
    for case, seed in sorted(own, key=lambda cell: (cases.index(cell[0]), cell[1])):
        result = models.results[case, seed]
        role, component, name = roles.get(case, ("", "", run.cases[case].label))
        if role == "baseline" and case in bases[1:]:  # of a comparison at another budget
            name += f", {format.si(result.train.tokens, 'tokens')}"
        entries.append(
            {
                "run": run.name,
                "case": case,
                "label": run.cases[case].label,
                "role": role,
                "component": component,
                "name": name,
                "corpus": shown.get(read[case] or ""),
                "seed": seed,
                "parameters": result.parameters,
                "tokens": result.train.tokens,
                "tokens_per_s": result.train.tokens_per_s,
                "final_loss": result.train.final_loss,
                "acc": quality.mean_acc(result, models.index),
                "bits_per_byte": result.bits_per_byte.value if result.bits_per_byte else None,
                "curve": _thinned(result.train.curve),
            }
        )
    return entries


def _thinned(curve: Sequence[tuple[float, float]]) -> list[list[float]]:
    """The finite points of a curve; where there are many, means over runs of neighbours."""
    points = [(tokens, loss) for tokens, loss in curve if math.isfinite(tokens) and math.isfinite(loss)]
    size = math.ceil(len(points) / CURVE_POINTS) or 1
    blocks = [points[start : start + size] for start in range(0, len(points), size)]
    return [[sum(p[0] for p in b) / len(b), sum(p[1] for p in b) / len(b)] for b in blocks]
