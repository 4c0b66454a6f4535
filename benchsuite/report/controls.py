"""Comparisons whose answer is known: of models on fewer tokens, of a model or of a training step with itself."""

from __future__ import annotations

from typing import Any

from benchsuite import format
from benchsuite.records.case import Comparison
from benchsuite.records.load import Run
from benchsuite.report import speed
from benchsuite.verdicts import quality, tokens

Fields = dict[str, Any]


def controls(run: Run, judge: quality.QualityRows, placed: tokens.Placed) -> list[Fields]:
    """Return the controls of a run, those of quality first."""
    compared = run.manifest.comparisons
    models = [_control(run, c, judge, placed) for c in compared if c.kind == "control"]
    return models + [_twin(run, c) for c in compared if c.kind == "twin"]


def _control(run: Run, comparison: Comparison, judge: quality.QualityRows, placed: tokens.Placed) -> Fields:
    """A control passes where the verdict is the one that must come, or where the interval of its place on the learning
    curve holds the one that must; `passed` is None where it could not be judged."""
    judged, multiple, expected = judge.compare(comparison), placed.multiple(comparison), comparison.expected
    if expected.endswith("x"):
        measured = multiple["ratio"] is not None
        observed = format.bounded(multiple)
        passed = measured and multiple["low"] <= float(expected[:-1]) <= multiple["high"]
    else:
        measured, observed = judged["delta"] is not None, judged["verdict"]
        passed = observed == expected
    return {
        "run": run.name,
        "of": "quality",
        "name": comparison.name,
        "description": comparison.description,
        "expected": expected,
        "observed": observed if measured else "not measured",
        "passed": passed if measured else None,
        "tokens": multiple,
        "delta": judged["delta"],
        "low": judged["low"],
        "high": judged["high"],
        "minimum_detectable": judged["minimum_detectable"],
        "seeds": judged["seeds"],
        "reason": judged["reason"] or (multiple["reason"] if expected.endswith("x") else None),
    }


def _twin(run: Run, comparison: Comparison) -> Fields:
    """A speed against itself passes where the interval of its ratio holds 1."""
    found, _ = speed.speed_and_memory(run, comparison)
    measured = found["low"] is not None
    nothing = quality.empty(None)
    return {
        "run": run.name,
        "of": "speed",
        "name": comparison.name,
        "description": comparison.description,
        "expected": comparison.expected,
        "observed": format.ratio(found["ratio"], found["low"], found["high"]) if measured else "not measured",
        "passed": found["low"] <= 1 <= found["high"] if measured else None,
        "tokens": tokens.unplaced(None),
        **{key: nothing[key] for key in ("delta", "low", "high", "minimum_detectable")},
        "seeds": 0,
        "reason": found["reason"],
    }
