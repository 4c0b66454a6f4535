"""The sections of the report, in their order on the page. A new one is a file here and a line in `SECTIONS`."""

from __future__ import annotations

from benchsuite.report.blocks import Section
from benchsuite.report.sections import (
    answer,
    beyond,
    cases,
    components,
    controls,
    curves,
    equal,
    fusion,
    hardware,
    machines,
    measurements,
    memory,
    models,
    pareto,
    reproduce,
    rules,
    speeds,
    stability,
    task_index,
    tasks,
    variants,
    vocabulary,
)

SECTIONS: tuple[Section, ...] = (
    answer.SECTION,
    rules.SECTION,
    machines.SECTION,
    pareto.SECTION,
    components.SECTION,
    equal.SECTION,
    curves.SECTION,
    tasks.SECTION,
    beyond.SECTION,
    stability.SECTION,
    memory.SECTION,
    controls.SECTION,
    variants.SECTION,
    task_index.SECTION,
    speeds.SECTION,
    fusion.SECTION,
    measurements.SECTION,
    models.SECTION,
    cases.SECTION,
    reproduce.SECTION,
    hardware.SECTION,
    vocabulary.SECTION,
)
