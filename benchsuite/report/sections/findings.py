"""What each variant costs and what it brings, a sentence each."""

from __future__ import annotations

from benchsuite.report import view
from benchsuite.report.blocks import Block, Fields, Fold, Items, Section, Text
from benchsuite.report.sections import rules


def blocks(document: Fields) -> list[Block]:
    groups, by_rules = view.main_table(document), rules.sentences(document)
    if not groups and not document["rules"]:
        return [Text("This run compares nothing yet.")]
    found: list[Block] = []
    if by_rules:
        found.append(Fold("Learning rule, against backpropagation", [Items(by_rules)], open=True))
    return found + [
        Fold(
            f"{group['title']}, against {group['against']}",
            [Items([line["sentence"] for line in group["lines"]])],
            open=True,
        )
        for group in groups
    ]


SECTION = Section(key="findings", title="Findings", blocks=blocks)
