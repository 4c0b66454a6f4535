"""Every measurement by itself: its time over processes, its distance from the roofline, what autograd keeps."""

from __future__ import annotations

from benchsuite import format
from benchsuite.report import speed
from benchsuite.report.blocks import Block, Cell, Column, Fields, Section, Table, Text, run_of

COLUMNS = (
    Column("Case"),
    Column("Timing mode"),
    Column("Time of a call", "between processes", numeric=True),
    Column("Processes", numeric=True),
    Column("Of the roofline", "bound", numeric=True),
    Column("Energy a token", numeric=True),
    Column("Saved for backward", "most of it", numeric=True),
)


def blocks(document: Fields) -> list[Block]:
    found = document["measurements"]
    if not found:
        return []
    note = (
        "Medians over processes, with the fastest and the slowest. Of the roofline: the time that arithmetic or memory "
        f"needs at peak, over the time taken; peaks are {found[0]['peaks'] or 'unknown'}."
    )
    rows = [row(document, one) for one in found]
    return [Text(note, "note"), Table(COLUMNS, rows, "Measurements", filter=True)]


def row(document: Fields, one: Fields) -> tuple[Cell, ...]:
    largest = one["largest_saved"]
    shape = " x ".join(str(size) for size in largest["shape"]) if largest else ""
    most = f"{largest['count']} of {shape} from {largest['made_by'].removesuffix('0')}" if largest else ""
    return (
        Cell(one["label"], run_of(document, one)),
        Cell(one["mode"] or format.UNKNOWN),
        Cell(
            format.seconds(one["time_s"]),
            f"{format.seconds(one['low_s'])} to {format.seconds(one['high_s'])}",
            sort=one["time_s"],
        ),
        Cell(str(one["processes"]), warn=f"{one['disturbed']} disturbed" if one["disturbed"] else ""),
        Cell(format.percent(one["roofline"]), one["roofline_note"] or _bound(one), sort=one["roofline"]),
        Cell(format.si(one["energy_per_token_j"], "J"), sort=one["energy_per_token_j"]),
        Cell(format.bytes_(one["saved_bytes"]), most, sort=one["saved_bytes"]),
    )


def _bound(one: Fields) -> str:
    """Return what would take longest at peak, with the cache where it is one."""
    cache = f" ({one['level']})" if one["bound"] == "memory" and one["level"] not in (None, "memory") else ""
    return f"{one['bound'] or ''}{cache}"


SECTION = Section(key="measurements", title="Every measurement", blocks=blocks, collect=speed.measurements, fold=True)
