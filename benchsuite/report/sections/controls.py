"""Comparisons whose answer is known: if one fails, the verdicts of its kind are not to be trusted."""

from __future__ import annotations

from benchsuite.report import view
from benchsuite.report.blocks import Block, Cell, Column, Fields, Section, Table, Text, Warn, run_of

NOTE = (
    "Comparisons whose answer is known. If one fails, do not trust the verdicts of its kind. One in twenty fails by "
    "chance."
)
COLUMNS = (
    Column("Control"),
    Column("Expected"),
    Column("Observed"),
    Column("Tokens", "of the baseline's", numeric=True),
    Column("Accuracy", "points", numeric=True),
    Column("Detectable", "points", numeric=True),
    Column("Outcome"),
)


def blocks(document: Fields) -> list[Block]:
    found = view.controls_table(document)
    if not found:
        return [
            Warn(
                "This run has no controls: nothing shows that its verdicts can be right or wrong.",
                "Add `controls:` to the suite, as in `quick`.",
            )
        ]
    rows = [
        (
            Cell(c["name"], ", ".join(part for part in (c["description"], run_of(document, c)) if part)),
            Cell(c["expected"]),
            Cell(c["observed"], c["reason"]),
            Cell(c["tokens"]),
            Cell(c["delta"]),
            Cell(c["detectable"]),
            Cell(verdict=c["outcome"]) if c["outcome"] in view.MARKS else Cell(c["outcome"]),
        )
        for c in found
    ]
    return [Text(NOTE, "note"), Table(COLUMNS, rows, "Controls", cards=True)]


SECTION = Section(key="controls", title="Controls", blocks=blocks)
