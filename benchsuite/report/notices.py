"""Warnings of a report: the text, the section where it stands, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from benchsuite.records.load import Run
from benchsuite.verdicts import quality, searches

Fields = dict[str, Any]
TOP = ""  # stands at the answer: it bears on all of it
AGAIN = "Run again on an idle machine; the rows concerned are marked."


def notices(run: Run, models: quality.Models) -> list[Fields]:
    """Return the notices of a run: {text, about, do}, where `about` is the key of a section, or empty."""
    found = [
        *map(_of_reading, run.warnings),
        *_of_quality(models),
        *_of_searches(run),
        *_of_statuses(run),
        *_of_plan(run),
    ]
    return [{"run": run.name, "text": text, "about": about, "do": do} for text, about, do in found]


def of_controls(controls: Sequence[Fields]) -> list[Fields]:
    """Return a notice for each control that failed."""
    return [
        {
            "run": control["run"],
            "text": f"The control {control['name']} came out {control['observed']}, and must come out "
            f"{control['expected']}: distrust the {control['of']} verdicts.",
            "about": TOP,
            "do": "One in twenty fails by chance. Run again; if it fails again, something is wrong with the machine.",
        }
        for control in controls
        if control["passed"] is False
    ]


def of_hardware(machines: Sequence[Fields]) -> list[Fields]:
    """Return a notice where runs are of different machines."""
    if all(machine == machines[0] for machine in machines):
        return []
    text = "The runs differ in hardware: compare ratios between them with care, and tokens/s not at all."
    return [{"run": None, "text": text, "about": "machines", "do": ""}]


def _of_reading(text: str) -> tuple[str, str, str]:
    if "disturbed" in text:
        return text, "measurements", AGAIN
    return text, "failures", ""


def _of_quality(models: quality.Models) -> Iterator[tuple[str, str, str]]:
    for text in quality.warnings_of(models):
        yield text, TOP, "Run with `--seeds 3` or more."


def _of_searches(run: Run) -> Iterator[tuple[str, str, str]]:
    for text in searches.warnings_of(run):
        yield text, "learning_rates", "Try more of `quality.learning_rates` on that side."


def _of_statuses(run: Run) -> Iterator[tuple[str, str, str]]:
    statuses = run.statuses()
    if missing := statuses["missing"]:
        text = f"{missing} planned measurements have no record: `benchsuite run --resume` finishes the run."
        yield text, TOP if missing > statuses["ok"] else "failures", ""
    for status in ("throttled", "unstable"):
        if count := statuses[status]:
            do = "Let the device cool, or cap its power, and run again." if status == "throttled" else AGAIN
            yield f"{count} measurements are {status}: they are counted, and flagged in their rows.", "speeds", do


def _of_plan(run: Run) -> Iterator[tuple[str, str, str]]:
    compared = run.manifest.comparisons
    for c in compared:
        if not {c.case, c.base_case} <= run.cases.keys():
            about = f"{c.component or 'a control'}, {c.variant or c.name}"
            yield f"The comparison of {about}, names a case without a plan.", "failures", ""
    if any(c.kind == "quality" for c in compared) and not any(c.kind == "control" for c in compared):
        text = "This run has no controls: nothing shows that its quality verdicts can be wrong or right."
        yield text, "controls", "Add `controls:` to the suite, as `quick` has them."
