"""The sections of the report, in their order on the page. A new one is a file here and a line in `SECTIONS`."""

from __future__ import annotations

from benchsuite.report.blocks import Section
from benchsuite.report.sections import (
    beyond,
    cases,
    controls,
    curves,
    findings,
    fusion,
    hardware,
    measurements,
    models,
    reproduce,
    rules,
    speeds,
    stability,
    steps,
    task_index,
    tasks,
    tradeoff,
    variants,
    vocabulary,
)

SECTIONS: tuple[Section, ...] = (
    findings.SECTION,
    rules.SECTION,
    variants.SECTION,
    tradeoff.SECTION,
    curves.SECTION,
    tasks.SECTION,
    task_index.SECTION,
    beyond.SECTION,
    stability.SECTION,
    controls.SECTION,
    speeds.SECTION,
    fusion.SECTION,
    steps.SECTION,
    measurements.SECTION,
    models.SECTION,
    cases.SECTION,
    reproduce.SECTION,
    hardware.SECTION,
    vocabulary.SECTION,
)
