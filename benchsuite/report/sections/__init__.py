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
    learning_rates,
    measurements,
    models,
    reproduce,
    rules,
    scales,
    speeds,
    stability,
    task_index,
    tasks,
    token_ratios,
    tradeoff,
    variants,
    vocabulary,
)

SECTIONS: tuple[Section, ...] = (
    findings.SECTION,
    rules.SECTION,
    variants.SECTION,
    token_ratios.SECTION,
    scales.SECTION,
    tradeoff.SECTION,
    curves.SECTION,
    tasks.SECTION,
    task_index.SECTION,
    beyond.SECTION,
    learning_rates.SECTION,
    stability.SECTION,
    controls.SECTION,
    speeds.SECTION,
    fusion.SECTION,
    measurements.SECTION,
    models.SECTION,
    cases.SECTION,
    reproduce.SECTION,
    hardware.SECTION,
    vocabulary.SECTION,
)
