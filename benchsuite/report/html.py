"""Blocks as HTML, everything escaped; the frame around them is `reports/templates/report.html.j2`."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from functools import singledispatch

from markupsafe import Markup, escape

from benchsuite import format
from benchsuite.report.blocks import (
    Block,
    Cell,
    Column,
    Definitions,
    Figure,
    Fold,
    Grid,
    Interval,
    Items,
    Scale,
    Table,
    Text,
    Verbatim,
    Warn,
)
from benchsuite.report.view import MARKS

WIDE, HALF, NARROW = 1080, 560, 350  # pixels that figures are drawn for
Bars = Sequence[tuple[Scale, float]]  # of each column of a table: what its bars are of, and the half of their range


def blocks(found: Sequence[Block]) -> Markup:
    """Return blocks one below another."""
    return Markup("\n").join(block(one) for one in found)


@singledispatch
def block(one: Block) -> Markup:
    raise TypeError(f"no HTML for {type(one).__name__}")


@block.register
def _(one: Text) -> Markup:
    return Markup('<p class="{}">{}</p>').format(one.kind, prose(one.text)) if one.kind else _p(one.text)


@block.register
def _(one: Warn) -> Markup:
    do = Markup(' <span class="do">{}</span>').format(prose(one.do)) if one.do else ""
    return Markup('<p class="warn" role="note"><span aria-hidden="true">!</span> {}{}</p>').format(prose(one.text), do)


@block.register
def _(one: Items) -> Markup:
    return Markup("<ul>{}</ul>").format(Markup("").join(Markup("<li>{}</li>").format(prose(t)) for t in one.items))


@block.register
def _(one: Definitions) -> Markup:
    value = Markup("<code>{}</code>") if one.code else Markup("{}")
    pairs = (Markup("<div><dt>{}</dt><dd>{}</dd></div>").format(t, value.format(m)) for t, m in one.items)
    return Markup("<dl>{}</dl>").format(Markup("\n").join(pairs))


@block.register
def _(one: Verbatim) -> Markup:
    return Markup("<pre><code>{}</code></pre>").format(one.text)


@block.register
def _(one: Table) -> Markup:
    if not one.rows:
        return Markup("")
    bars = [(column.scale, _reach(one, place)) for place, column in enumerate(one.columns)]
    heads = Markup("").join(map(_head, one.columns))
    lines = Markup("\n").join(_row(one, row, bars) for row in one.rows)
    classes = ("cards " if one.cards else "") + ("filter " if one.filter else "") + "sort"
    return Markup(
        '<div class="scroll" tabindex="0" role="region" aria-label="{}"><table class="{}"><thead><tr>{}</tr></thead>\n'
        "<tbody>\n{}\n</tbody></table></div>"
    ).format(one.name, classes, heads, lines)


@block.register
def _(one: Figure) -> Markup:
    sizes = (("half", HALF), ("narrow", NARROW)) if one.small else (("wide", WIDE), ("narrow", NARROW))
    drawn = Markup("").join(
        Markup('<div class="{}" role="img" aria-label="{}">{}</div>').format(name, one.alt, Markup(one.draw(width)))
        for name, width in sizes
    )
    table = Markup("<details><summary>The numbers</summary>{}</details>").format(block(one.table)) if one.table else ""
    caption = Markup("<figcaption>{}</figcaption>").format(prose(one.caption)) if one.caption else ""
    return Markup("<figure>{}{}{}</figure>").format(drawn, caption, table)


@block.register
def _(one: Grid) -> Markup:
    return Markup('<div class="grid">{}</div>').format(blocks(one.blocks))


@block.register
def _(one: Fold) -> Markup:
    told = Markup("").join(Markup('<span class="told">{}</span>').format(_cell(c, ("", 1.0))) for c in one.cells)
    return Markup('<details class="fold"{}><summary><span class="title">{}</span>{}</summary>\n{}\n</details>').format(
        Markup(" open") if one.open else "", one.title, told, blocks(one.blocks)
    )


def prose(text: str) -> Markup:
    """Return text with real minus signs before digits: "-1.2" reads as a hyphen."""
    return escape(re.sub(r"(?<![\w.])-(?=\d)", "−", text))


def chip(verdict: str) -> Markup:
    """Return a verdict as a word with its mark and its colour."""
    mark = MARKS.get(verdict, "")
    return Markup('<span class="chip {}"><span aria-hidden="true">{}</span> {}</span>').format(
        _class(verdict), mark, verdict
    )


def bar(values: Interval, reach: float, scale: Scale) -> Markup:
    """Return a small interval for a cell: around 1, or around 0, with `reach` to each side; empty without a value."""
    if values[0] is None:
        return Markup("")
    centre, line = _place(values[0], reach, scale), ""
    if values[1] is not None and values[2] is not None:
        line = f'<path d="M{_place(values[1], reach, scale)} 8H{_place(values[2], reach, scale)}"/>'
    return Markup(
        f'<svg class="bar" viewBox="0 0 120 16" aria-hidden="true"><path class="zero" d="M60 1V15"/>{line}'
        f'<circle cx="{centre}" cy="8" r="3.2"/></svg>'
    )


def _p(text: str) -> Markup:
    return Markup("<p>{}</p>").format(prose(text))


def _head(column: Column) -> Markup:
    small = Markup("<small>{}</small>").format(column.small) if column.small else ""
    return Markup('<th scope="col"{}>{}{}</th>').format(
        Markup(' class="num"') if column.numeric else "", column.name, small
    )


def _row(table: Table, row: Sequence[Cell], bars: Bars) -> Markup:
    first, *rest = row
    cells = [Markup('<th scope="row"{}>{}</th>').format(_sorted(first), _cell(first, bars[0]))]
    for place, (one, column) in enumerate(zip(rest, table.columns[1:], strict=True), start=1):
        classes = " ".join(filter(None, ("num" if column.numeric else "", _class(one.verdict))))
        label = Markup(' data-label="{}"').format(column.name) if table.cards else ""
        cells.append(
            Markup("<td{}{}{}>{}</td>").format(
                Markup(' class="{}"').format(classes) if classes else "", label, _sorted(one), _cell(one, bars[place])
            )
        )
    return Markup("<tr>{}</tr>").format(Markup("").join(cells))


def _sorted(one: Cell) -> Markup:
    return Markup("") if one.sort is None else Markup(' data-sort="{}"').format(format.exact(one.sort))


def _cell(one: Cell, drawn: tuple[Scale, float]) -> Markup:
    scale, reach = drawn
    line = bar(one.bar, reach, scale) if one.bar and scale else Markup("")
    text = Markup('<span class="none">{}</span>').format(one.text) if one.text == format.UNKNOWN else prose(one.text)
    parts = [
        Markup('<span class="value {}">{}<b>{}</b></span>').format(_class(one.verdict), line, text) if line else text
    ]
    if one.verdict and one.chip:
        parts.append(chip(one.verdict))
    if one.small:
        parts.append(Markup("<small>{}</small>").format(prose(one.small)))
    if one.warn:
        parts.append(
            Markup('<small class="warned"><span aria-hidden="true">!</span> {}</small>').format(prose(one.warn))
        )
    return Markup(" ").join(parts)


def _class(verdict: str) -> str:
    """Return a verdict as a class of CSS: only the known ones, since names may come from files."""
    return verdict if verdict in MARKS else ""


def _reach(table: Table, place: int) -> float:
    """Return half of the range of a column of bars: it holds all, but few absurd intervals do not flatten the rest."""
    scale = table.columns[place].scale
    bars = [row[place].bar for row in table.rows if row[place].bar]
    sizes = sorted(abs(_offset(v, scale)) for values in bars if values for v in values if v is not None)
    least = 0.1 if scale == "ratio" else 0.01
    return max(least, 1.03 * min(sizes[-1], 4 * sizes[int(0.75 * (len(sizes) - 1))])) if sizes else least


def _offset(value: float, scale: Scale) -> float:
    return math.log(min(max(value, 1e-6), 1e6)) if scale == "ratio" else value


def _place(value: float, reach: float, scale: Scale) -> float:
    return round(60 + 56 * max(-1.0, min(1.0, _offset(value, scale) / reach)), 1)
