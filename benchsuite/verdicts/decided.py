"""Whether the seeds of a run have said what they were asked, for runs that add seeds until they have."""

from __future__ import annotations

from benchsuite import format
from benchsuite.records.load import Run
from benchsuite.verdicts import quality
from benchsuite.verdicts.tokens import Placed


def undecided(run: Run) -> list[str]:
    """Return the comparisons of variants that further seeds may decide, by the labels of their cases.

    A comparison is decided where its token ratio excludes 1, after the correction for the table and for all looks, or
    lies within the margin of 1 with its whole interval. One that has no token ratio, such as of languages, is decided
    by the verdict on zero-shot accuracy. One with nothing measured on a side is left out: no seed will change that.
    """
    models = quality.models_of(run)
    judge, placed = quality.QualityRows(models), Placed(models)
    comparisons = [c for c in run.manifest.comparisons if c.kind == "quality"]
    family = quality.as_one_family([judge.compare(c) for c in comparisons])
    left = []
    for comparison, judged in zip(comparisons, family, strict=True):
        if not judged["seeds"]:
            continue
        ratio = placed.ratio(comparison, judged["bits_per_byte"]["p_holm"])
        verdict = judged["verdict"] if ratio["ratio"] is None else ratio["verdict"]
        if verdict == "unresolved":
            left.append(run.cases[comparison.case].label.removesuffix("/quality"))
    return left


def notes_of(run: Run) -> list[str]:
    """Say how many looks there were, where seeds were added until they decided."""
    looks = quality.looks_of(run)
    if looks is None:
        return []
    models = quality.models_of(run)
    cases = [c.base_case for c in run.manifest.comparisons if c.kind == "quality"]
    seeds = max((len(models.seeds(case)) for case in cases), default=0)
    taken = max(0, seeds - looks.first + 1)
    left = undecided(run)
    margin, level = format.margin(quality.margin_of(run)), f"{looks.confidence:.1%}"
    outcome = f"undecided: {', '.join(left)}" if left else "every comparison is decided"
    return [
        f"Seeds were added until each token ratio excludes 1 or lies within {margin} of it, at most {looks.last}: "
        f"{seeds} seeds, {taken} looks; {outcome}. Every interval of quality is one of {level}, so that "
        "those of all looks that could have been cover together in 95 of 100 runs."
    ]
