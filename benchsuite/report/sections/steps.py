"""Every whole training step: its rate, how much of the device's peak that is, memory and energy."""

from __future__ import annotations

from benchsuite import format
from benchsuite.report.blocks import Block, Cell, Column, Fields, Section, Table, Text, run_of

COLUMNS = (
    Column("Case"),
    Column("Tokens/s", numeric=True),
    Column("MFU", numeric=True),
    Column("HFU", numeric=True),
    Column("Allocated", "reserved", numeric=True),
    Column("Energy a token", numeric=True),
)


def blocks(document: Fields) -> list[Block]:
    found = [one for one in document["measurements"] if one["scope"] == "step"]
    if not found:
        return []
    note = (
        "MFU is the model's arithmetic over what the device could do in that time, HFU the same with what is computed "
        f"again in the backward pass; peaks are {found[0]['peaks'] or 'unknown'}. Memory is that of the worst moment."
    )
    return [Text(note, "note"), Table(COLUMNS, [row(document, one) for one in found], "Training steps")]


def row(document: Fields, one: Fields) -> tuple[Cell, ...]:
    reserved = "" if one["reserved_bytes"] is None else format.bytes_(one["reserved_bytes"])
    return (
        Cell(one["label"], run_of(document, one)),
        Cell(format.si(one["tokens_per_s"], ""), sort=one["tokens_per_s"]),
        Cell(format.percent(one["mfu"]), sort=one["mfu"]),
        Cell(format.percent(one["hfu"]), sort=one["hfu"]),
        Cell(format.bytes_(one["peak_bytes"]), reserved, sort=one["peak_bytes"]),
        Cell(format.si(one["energy_per_token_j"], "J"), sort=one["energy_per_token_j"]),
    )


SECTION = Section(key="steps", title="Training steps", blocks=blocks)
