"""One implementation of a variant against another: what fusion brings, in time and in memory."""

from __future__ import annotations

from benchsuite import format
from benchsuite.records.case import Comparison
from benchsuite.records.load import Run
from benchsuite.report import speed, view, words
from benchsuite.report.blocks import Block, Cell, Column, Fields, Section, Table, Text, run_of

NOTE = "The same variant computed in another way: speed and peak memory over those of the first implementation."
COLUMNS = (
    Column("Variant"),
    Column("Implementation"),
    Column("Of what"),
    Column("Speed", scale="ratio"),
    Column("Time of a call", numeric=True),
    Column("Memory", "peak", numeric=True),
)


def collect(run: Run) -> list[Fields]:
    return [_implementation(run, c) for c in run.manifest.comparisons if c.kind == "implementation"]


def _implementation(run: Run, c: Comparison) -> Fields:
    """One implementation of a variant against another of the same: what fusion buys."""
    measured, memory = speed.speed_and_memory(run, c)
    named = ("component", "variant", "matching", "implementation", "scope", "direction", "dtype", "shape")
    about = {name: getattr(c, name) for name in named}
    return {"run": run.name, **about, "against": c.baseline, "speed": measured, "memory": memory}


def blocks(document: Fields) -> list[Block]:
    rows = [_row(document, row) for row in document["implementations"]]
    return [Text(NOTE, "note"), Table(COLUMNS, rows, "Implementations", filter=True)] if rows else []


def _row(document: Fields, row: Fields) -> tuple[Cell, ...]:
    found = row["speed"]
    return (
        Cell(words.variant_name(row["component"], row["variant"]), run_of(document, row)),
        Cell(row["implementation"], f"over {row['against']}"),
        Cell(words.speed_of_what(row | {"implementation": None})),
        view.speed_cell(found),
        Cell(format.seconds(found["time_s"]), sort=found["time_s"]),
        Cell(format.ratio(row["memory"]["ratio"]), sort=row["memory"]["ratio"]),
    )


SECTION = Section(
    key="implementations",
    title="What fusion brings",
    blocks=blocks,
    collect=collect,
    absent="several implementations of one variant",
    fold=True,
)
