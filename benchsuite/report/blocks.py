"""The blocks of a section: paragraphs, tables, figures and folds, the same for HTML and Markdown.

A section gives texts and numbers that are already formatted (`benchsuite.format`); `benchsuite.report.html` and
`benchsuite.report.md` lay them out and escape them. Adding a section: CONTRIBUTING.md, "Add a report section".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from benchsuite.records.load import Run

Fields = dict[str, Any]
Interval = tuple[float | None, float | None, float | None]  # estimate, low, high
Scale = Literal["", "ratio", "difference"]


@dataclass(frozen=True)
class Text:
    """A paragraph. `kind`: "" for running text, "note" for small print, "lead" for a sentence that stands out."""

    text: str
    kind: str = ""


@dataclass(frozen=True)
class Warn:
    """Something that a reader must know where it stands, and what to do about it."""

    text: str
    do: str = ""


@dataclass(frozen=True)
class Items:
    """A bullet list."""

    items: Sequence[str]


@dataclass(frozen=True)
class Definitions:
    """Terms with their meanings, or names with their values. `code` shows the values as code."""

    items: Sequence[tuple[str, str]]
    code: bool = False


@dataclass(frozen=True)
class Verbatim:
    """A command, or other text that is shown as it is."""

    text: str


@dataclass(frozen=True)
class Column:
    """A column of a table. Columns with a `scale` draw the `bar` of their cells, around 1 or around 0."""

    name: str
    small: str = ""
    numeric: bool = False
    scale: Scale = ""


@dataclass(frozen=True)
class Cell:
    """A cell of a table.

    text  what stands in it. small  a second line. verdict  its colour, and with `chip` its word. sort  the number that
    the column is sorted by, where the text is none. bar  the interval that is drawn. warn  what to do about it.
    """

    text: str = ""
    small: str = ""
    verdict: str = ""
    chip: bool = True
    sort: float | None = None
    bar: Interval | None = None
    warn: str = ""


@dataclass(frozen=True)
class Table:
    """Rows of cells; the first cell of a row names it. `cards`: on a phone each row becomes a card. `name` is read to
    those who do not see it."""

    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]
    name: str
    cards: bool = False
    filter: bool = False


@dataclass(frozen=True)
class Figure:
    """A figure.

    draw  gives an <svg> of a width in pixels (`benchsuite.report.chart`). alt  what it shows, for those who do not see
    it. table  its numbers, which Markdown has in its place. small  half of the page wide.
    """

    draw: Callable[[int], str]
    alt: str
    caption: str = ""
    table: Table | None = None
    small: bool = False


@dataclass(frozen=True)
class Grid:
    """Blocks side by side where the page is wide enough."""

    blocks: Sequence[Block]


@dataclass(frozen=True)
class Fold:
    """Blocks behind a line that unfolds them. `cells` are shown on that line, `open` unfolds it from the start."""

    title: str
    blocks: Sequence[Block]
    cells: Sequence[Cell] = ()
    open: bool = False


Block = Text | Warn | Items | Definitions | Verbatim | Table | Figure | Grid | Fold


@dataclass(frozen=True)
class Section:
    """A section of the report.

    key      its anchor, and the key of its data in the document where it collects any
    title    its heading
    blocks   makes its blocks of the document; an empty list where nothing of it was measured
    collect  makes a JSON-ready list of the records of one run; the lists of all runs are `document[key]`
    absent   where it is empty, what was not measured, as an item of a list: "text beyond the training length"
    """

    key: str
    title: str
    blocks: Callable[[Fields], list[Block]]
    collect: Callable[[Run], list[Fields]] | None = None
    absent: str = ""
    fold: bool = field(default=False)  # below the fold: its content is behind its heading


def several(document: Fields) -> bool:
    """Return whether the document has several runs, whose names must then be said."""
    return len(document["runs"]) > 1


def run_of(document: Fields, fields: Fields) -> str:
    """Return the name of the run that an entry is of; empty where there is one run only."""
    return str(fields["run"]) if several(document) else ""
