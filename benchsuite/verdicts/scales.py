"""Token ratios over scales: each variant at the suite's own size and budget and at the rungs of the ladder, with the
trend."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from benchsuite.records.case import Comparison
from benchsuite.stats.curve import Ratio
from benchsuite.stats.trend import trend
from benchsuite.verdicts.quality import Models, margin_of
from benchsuite.verdicts.tokens import Placed

Fields = dict[str, Any]
Subject = tuple[str, str, str | None]  # component, variant, matching

SUITE = "suite"  # the rung that the suite's own size and budget are
FLOPS = 6  # of a parameter and token (arXiv:2001.08361)


def subject(comparison: Comparison) -> Subject:
    """What a comparison is about."""
    return comparison.component, comparison.variant, comparison.matching


def subject_of(entry: Fields) -> Subject:
    """What an entry of `told` is about."""
    return entry["component"], entry["variant"], entry["matching"]


def told(models: Models, placed: Placed) -> list[Fields]:
    """One entry for each variant that was measured at several scales.

    `rungs`, rising: name, and of the baseline there parameters, tokens and FLOPs; the token ratio (`Placed.ratio`).
    `trend`: of the ratio over FLOPs (`benchsuite.stats.trend`), None where `reason` says why there is none.
    """
    comparisons = [c for c in models.run.manifest.comparisons if c.kind in ("quality", "rung")]
    laddered = dict.fromkeys(subject(c) for c in comparisons if c.kind == "rung")
    return [_entry(models, placed, [c for c in comparisons if subject(c) == one]) for one in laddered]


def _entry(models: Models, placed: Placed, comparisons: list[Comparison]) -> Fields:
    rungs = [_rung(models, placed, comparison) for comparison in comparisons]
    rungs.sort(key=lambda rung: rung["flops"] or 0.0)
    first, margin = comparisons[0], margin_of(models.run)
    known = [rung for rung in rungs if rung["flops"] and rung["ratio"]["ratio"] is not None]
    entry: Fields = {
        "run": models.run.name,
        "component": first.component,
        "variant": first.variant,
        "baseline": first.baseline,
        "matching": first.matching,
        "rungs": rungs,
        "margin": margin,
        "trend": None,
        "reason": next((rung["ratio"]["reason"] for rung in rungs if rung not in known), None),
    }
    try:
        found = trend([rung["flops"] for rung in known], [_ratio(rung["ratio"]) for rung in known], margin)
    except ValueError as error:
        return entry | {"reason": entry["reason"] or str(error)}
    return entry | {"trend": asdict(found) | {"scales": len(known)}}


def _rung(models: Models, placed: Placed, comparison: Comparison) -> Fields:
    results = [models.results[comparison.base_case, seed] for seed in models.seeds(comparison.base_case)]
    parameters = results[0].parameters if results else None
    tokens = results[0].train.tokens if results else None
    return {
        "name": comparison.name or SUITE,
        "parameters": parameters,
        "tokens": tokens,
        "flops": FLOPS * parameters * tokens if parameters and tokens else None,
        "ratio": placed.ratio(comparison),
    }


def _ratio(fields: Fields) -> Ratio:
    named = {name: fields[name] for name in ("low", "high", "bound", "low_open", "high_open")}
    return Ratio(value=fields["ratio"], **named)
