"""Blocks as Markdown: tables in place of figures, headings in place of folds."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import singledispatch

from benchsuite import format
from benchsuite.report.blocks import (
    Block,
    Cell,
    Definitions,
    Figure,
    Fold,
    Grid,
    Items,
    Section,
    Table,
    Text,
    Verbatim,
    Warn,
)
from benchsuite.text import markdown

_NUMBERS = re.compile(r"[\d.,x\[\]()<>+±/% -]*")  # needs no escapes but those of HTML


def page(
    title: str,
    lead: Sequence[str],
    notices: str,
    sections: Sequence[tuple[Section, Sequence[Block]]],
    end: Sequence[str],
) -> str:
    """Return the whole report: a title, paragraphs, warnings, the sections with their blocks, and paragraphs."""
    parts = [f"# {markdown(title)}", *map(markdown, lead), notices]
    for section, found in sections:
        parts += [f"## {markdown(section.title)}", blocks(found)]
    parts += map(markdown, end)
    return re.sub(r"\n{3,}", "\n\n", "\n\n".join(parts)).strip() + "\n"


def blocks(found: Sequence[Block], level: int = 3) -> str:
    """Return blocks under a heading of the level above `level`."""
    return "\n\n".join(part for part in (block(one, level) for one in found) if part)


@singledispatch
def block(one: Block, level: int) -> str:
    raise TypeError(f"no Markdown for {type(one).__name__}")


@block.register
def _(one: Text, level: int) -> str:
    return markdown(one.text)


@block.register
def _(one: Warn, level: int) -> str:
    return f"> **Warning:** {markdown(one.text)}" + (f" {markdown(one.do)}" if one.do else "")


@block.register
def _(one: Items, level: int) -> str:
    return "\n".join(f"- {markdown(item)}" for item in one.items)


@block.register
def _(one: Definitions, level: int) -> str:
    return "\n".join(f"- **{markdown(term)}**: {markdown(meaning)}" for term, meaning in one.items)


@block.register
def _(one: Verbatim, level: int) -> str:
    return f"`{' '.join(one.text.replace('`', chr(39)).split())}`"


@block.register
def _(one: Table, level: int) -> str:
    if not one.rows:
        return ""
    heads = [markdown(f"{c.name} ({c.small})" if c.small else c.name) for c in one.columns]
    lines = [heads, ["---"] * len(heads), *([cell(c) for c in row] for row in one.rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


@block.register
def _(one: Figure, level: int) -> str:
    return "\n\n".join(filter(None, (markdown(one.caption), block(one.table, level) if one.table else "")))


@block.register
def _(one: Grid, level: int) -> str:
    return blocks(one.blocks, level)


@block.register
def _(one: Fold, level: int) -> str:
    told = ", ".join(cell(c) for c in one.cells if c.text)
    parts = [f"{'#' * level} {markdown(one.title)}", told, blocks(one.blocks, level + 1)]
    return "\n\n".join(part for part in parts if part)


def cell(one: Cell) -> str:
    """Return the text of a cell with its verdict and its second line, on one line."""
    told = _escaped(one.text)
    if one.verdict and one.chip and one.text != one.verdict:
        told = f"{told}, {markdown(one.verdict)}" if told and one.text != format.UNKNOWN else markdown(one.verdict)
    small = "; ".join(part for part in (one.small, one.warn) if part)
    return f"{told} ({_escaped(small)})" if small and told else told or _escaped(small)


def _escaped(text: str) -> str:
    return text.replace("<", "&lt;").replace(">", "&gt;") if _NUMBERS.fullmatch(text) else markdown(text)
