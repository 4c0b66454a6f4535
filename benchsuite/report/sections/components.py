"""A row for each component that unfolds to its evidence: the sentences, all figures of its variants, all its speeds."""

from __future__ import annotations

from benchsuite import format
from benchsuite.report import choice, view, words
from benchsuite.report.blocks import Block, Cell, Fields, Fold, Items, Section, Table, Text, several
from benchsuite.report.sections import speeds, variants


def blocks(document: Fields) -> list[Block]:
    groups = {(group["run"], group["component"]): group for group in view.main_table(document)}
    return [_fold(document, one, groups[one.run, one.component]) for one in choice.choices(document)]


def _fold(document: Fields, one: choice.Choice, group: Fields) -> Fold:
    name = words.component_name(one.component)
    title = f"{name}, {one.run}" if several(document) else name
    lines = [line for line in group["lines"] if line["base"] == one.baseline]
    found: list[Block] = [
        Text(one.told, "lead"),
        Text(one.sure),
        Items([line["sentence"] for line in lines]),
        Table(
            variants.COLUMNS,
            [variants.row(group, line, alone=True) for line in lines],
            f"Variants of {name}",
            cards=True,
        ),
    ]
    measured = [
        speeds.row(document, row)
        for row in document["rows"]
        if (row["run"], row["component"], row["baseline"]) == (one.run, one.component, one.baseline)
        and row["speed"]["verdict"] is not None
    ]
    if measured:
        found.append(Fold(f"All speeds ({len(measured)})", [Table(speeds.COLUMNS, measured, f"Speeds of {name}")]))
    return Fold(title, found, _told(one))


def _told(one: choice.Choice) -> tuple[Cell, ...]:
    """Return the line of a component: what to choose, what it brings, and how sure that is."""
    chosen = f"use {one.name}" if one.pick else f"keep {one.name}" if one.judged else "quality not measured"
    sure = "clear" if one.clear else "open"
    if not one.judged:
        return (Cell(chosen),)
    if one.pick is None:
        return Cell(chosen), Cell(verdict=sure)
    row = one.pick.row
    value = {
        "time": f"{format.bounded(row['time'])} of the time",
        "tokens": f"{format.bounded(row['quality']['tokens'])} of the tokens",
    }.get(one.pick.basis, f"{format.points(row['quality']['delta'])} points")
    return Cell(chosen), Cell(value), Cell(verdict=sure)


SECTION = Section(key="components", title="Components", blocks=blocks)
