"""Every variant against its baseline: tokens, time, speed, memory and quality, in a table."""

from __future__ import annotations

from benchsuite import format
from benchsuite.report import view
from benchsuite.report.blocks import Block, Cell, Column, Fields, Section, Table, Text

NOTE = (
    "Each variant against its baseline, everything else equal. Brackets are 95% intervals. Tokens: what the variant "
    "needs for the baseline's bits per byte of held-out text, over the baseline's own. Time to quality: tokens over "
    "speed. Speed: tokens per second over the baseline's. Accuracy: the difference in points at equal tokens. Verdicts "
    "on quality are corrected for the whole table (Holm)."
)
COLUMNS = (
    Column("Variant"),
    Column("Tokens", "for equal quality", scale="ratio"),
    Column("Time", "to quality", scale="ratio"),
    Column("Speed", scale="ratio"),
    Column("Memory", "peak", numeric=True),
    Column("Accuracy", "points", scale="difference"),
    Column("Detectable", "points", numeric=True),
    Column("Bits per byte", numeric=True),
)


def blocks(document: Fields) -> list[Block]:
    rows = [row(group, line) for group in view.main_table(document) for line in group["lines"]]
    if not rows:
        return []
    return [Text(NOTE, "note"), Table(COLUMNS, rows, "Variants against their baselines", cards=True, filter=True)]


def row(group: Fields, line: Fields, *, alone: bool = False) -> tuple[Cell, ...]:
    """Return the row of a variant; `alone` where its component is said elsewhere."""
    against = line["against"] or ("" if alone else f"against {group['against']}")
    about = ", ".join(part for part in ("" if alone else group["title"], against, line["matching"]) if part)
    return (
        Cell(line["apart"], about),
        _ratio(line, "tokens", line["tokens_reason"]),
        _ratio(line, "time"),
        _ratio(line, "speed", ", ".join(part for part in (line["speed_of"], line["speed_reason"]) if part)),
        Cell(line["memory"]),
        Cell(
            line["quality"],
            ", ".join(part for part in (line["source"], line["quality_reason"]) if part),
            line["quality_verdict"],
            sort=line["quality_range"][0],
            bar=line["quality_range"],
        ),
        Cell(line["detectable"]),
        Cell(line["bits"], verdict=line["bits_verdict"]),
    )


def _ratio(line: Fields, name: str, small: str = "") -> Cell:
    if not line[f"{name}_verdict"]:
        return Cell(format.UNKNOWN, small)
    values = line[f"{name}_range"]
    return Cell(line[name], small, line[f"{name}_verdict"], sort=values[0], bar=values)


SECTION = Section(key="variants", title="Every variant", blocks=blocks, fold=True)
