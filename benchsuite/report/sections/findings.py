"""What each variant costs and what it brings, a sentence each."""

from __future__ import annotations

from benchsuite.report import view
from benchsuite.report.blocks import Block, Fields, Fold, Items, Section, Text


def blocks(document: Fields) -> list[Block]:
    groups = view.main_table(document)
    if not groups:
        return [Text("This run compares nothing yet.")]
    return [
        Fold(
            f"{group['title']}, against {group['against']}",
            [Items([line["sentence"] for line in group["lines"]])],
            open=True,
        )
        for group in groups
    ]


SECTION = Section(key="findings", title="Findings", blocks=blocks)
