"""Every speed comparison, with the absolute figures behind its ratio."""

from __future__ import annotations

from benchsuite import format
from benchsuite.report import view, words
from benchsuite.report.blocks import Block, Cell, Column, Fields, Section, Table, run_of

COLUMNS = (
    Column("Variant"),
    Column("Of what"),
    Column("Speed", scale="ratio"),
    Column("Tokens/s", "time of a call", numeric=True),
    Column("Baseline", "tokens/s", numeric=True),
    Column("GB/s", numeric=True),
    Column("TFLOP/s", numeric=True),
    Column("Peak memory", "saved for backward", numeric=True),
    Column("Error", "to float64", numeric=True),
)


def blocks(document: Fields) -> list[Block]:
    rows = [row(document, one) for one in document["rows"] if one["speed"]["verdict"] is not None]
    return [Table(COLUMNS, rows, "Speed comparisons", filter=True)] if rows else []


def row(document: Fields, one: Fields) -> tuple[Cell, ...]:
    speed, memory = one["speed"], one["memory"]
    variant = words.variant_name(one["component"], one["variant"])
    against = f"against {words.mid_sentence(words.variant_name(one['component'], one['baseline']))}"
    fusion = f"fusion: {speed['fusion']}" if speed["fusion"] and speed["fusion"] != one["implementation"] else ""
    return (
        Cell(variant, ", ".join(part for part in (against, run_of(document, one)) if part)),
        Cell(words.speed_of_what(one), fusion),
        view.speed_cell(speed),
        Cell(format.si(speed["tokens_per_s"], ""), format.seconds(speed["time_s"]), sort=speed["tokens_per_s"]),
        Cell(format.si(speed["baseline_tokens_per_s"], ""), sort=speed["baseline_tokens_per_s"]),
        Cell(format.number(speed["gb_per_s"])),
        Cell(format.number(speed["tflop_per_s"])),
        Cell(format.bytes_(memory["peak_bytes"]), format.bytes_(memory["saved_bytes"]), sort=memory["peak_bytes"]),
        Cell(format.scientific(speed["error"]), sort=speed["error"]),
    )


SECTION = Section(key="speeds", title="All speeds", blocks=blocks, absent="speed", fold=True)
