"""Two figures of cost against quality for every variant."""

from __future__ import annotations

import math

from benchsuite import format
from benchsuite.report import choice, words
from benchsuite.report.blocks import Block, Cell, Column, Fields, Figure, Grid, Interval, Section, Table, run_of
from benchsuite.report.chart import Axis, Chart

COST = (
    "Tokens for equal quality against the cost of a step: left is cheaper, down is better, and on a dashed line the "
    "time to quality is the same. Bars are 95% intervals. A faded point is dominated: another one is better on both "
    "axes, beyond both intervals."
)
ACCURACY = (
    "Zero-shot accuracy at equal tokens against the cost of a step: left is cheaper, up is better. A hollow point is "
    "unresolved in accuracy."
)
COLUMNS = (
    Column("Variant"),
    Column("Cost of a step"),
    Column("Tokens"),
    Column("Accuracy, points"),
    Column("Dominated by"),
)
ISO = (0.25, 0.35, 0.5, 0.7, 1.0, 1.4, 2.0, 2.8, 4.0)


def blocks(document: Fields) -> list[Block]:
    rows = words.headline_rows(document["rows"])
    named = [(row, name) for row, name in zip(rows, words.names_apart(rows), strict=True) if choice.cost(row)[0]]
    placed = [(row, name) for row, name in named if _tokens(row)[0] is not None]
    judged = [(row, name) for row, name in named if row["quality"]["delta"] is not None]
    if not placed and not judged:
        return []
    over = dominated([(choice.cost(row), _tokens(row), name) for row, name in placed])
    table = Table(
        COLUMNS, [_numbers(document, row, name, over.get(name, "")) for row, name in named], "Cost and quality"
    )
    figures: list[Block] = []
    if placed:
        alt = "Tokens for equal quality against the cost of a training step, for each variant, with 95% intervals"
        figures.append(
            Figure(lambda width: cost_figure(placed, over, width), alt, _left_out(rows, named) or COST, table, True)
        )
    if judged:
        alt = "Zero-shot accuracy against the cost of a training step, for each variant, with 95% intervals"
        behind = None if placed else table
        figures.append(Figure(lambda width: accuracy_figure(judged, width), alt, ACCURACY, behind, True))
    return [Grid(figures)]


def figure(document: Fields) -> str | None:
    """Return the figure that stands for the whole run, as `--format svg` writes it; None where nothing has both."""
    found = [block for grid in blocks(document) if isinstance(grid, Grid) for block in grid.blocks]
    return found[0].draw(640) if found and isinstance(found[0], Figure) else None


def dominated(points: list[tuple[Interval, Interval, str]]) -> dict[str, str]:
    """Return which points are dominated and by what: the other's intervals lie below on both axes, and apart."""
    known = [(a, b, name) for a, b, name in points if a[1] is not None and b[1] is not None]
    known.append(((1.0, 1.0, 1.0), (1.0, 1.0, 1.0), "the baseline"))
    return {
        name: other
        for a, b, name in known[:-1]
        for c, d, other in known
        if c[2] is not None and d[2] is not None and c[2] < (a[1] or 0) and d[2] < (b[1] or 0)
    }


def cost_figure(placed: list[tuple[Fields, str]], over: dict[str, str], width: int) -> str:
    """Return the plane of cost and tokens, with lines of equal time to quality."""
    across = _range([choice.cost(row) for row, _ in placed])
    up = _range([_tokens(row) for row, _ in placed])
    chart = Chart(
        width,
        430 if width > 400 else 360,
        Axis("cost of a step, over the baseline's", *across, kind="log", told=_times),
        Axis("tokens for equal quality", *up, kind="log", told=_times),
        right=62,
    )
    for time in ISO:
        inside = (max(across[0], time / up[1]), min(across[1], time / up[0]))
        if inside[0] < inside[1] * 0.97:
            ends = [(cost, time / cost) for cost in inside]
            chart.line(ends, "iso" if time != 1 else "iso one")
            if inside[1] == across[1]:
                end = chart.at(ends[1])
                chart.write(end[0] + 5, end[1] + 4, f"{format.tick(time)}x time", "tick iso-name")
    chart.point((1, 1), "baseline", "The baseline, at 1x", 3.5)
    for row, name in placed:
        cost, tokens = choice.cost(row), _tokens(row)
        classes = {"less": "better", "more": "worse"}.get(row["time"]["verdict"] or "", "unresolved")
        classes += " faded" if name in over else ""
        _cross(chart, cost, tokens, classes)
        title = f"{name}: {format.bounded(row['time'])} of the time ({format.ratio(*cost)} a step, {_told(row)} tokens)"
        chart.point((cost[0] or 1, tokens[0] or 1), classes, title)
    points = [((choice.cost(row)[0] or 1, _tokens(row)[0] or 1), _short(row, name, width)) for row, name in placed]
    chart.labels([((1.0, 1.0), "baseline"), *points])
    return chart.svg()


def accuracy_figure(judged: list[tuple[Fields, str]], width: int) -> str:
    """Return accuracy against the cost of a step."""
    values = [100 * v for row, _ in judged for v in _accuracy(row) if v is not None]
    low, high = min(values + [-1.0]), max(values + [1.0])
    margin = 0.08 * (high - low)
    chart = Chart(
        width,
        430 if width > 400 else 360,
        Axis(
            "cost of a step, over the baseline's",
            *_range([choice.cost(row) for row, _ in judged]),
            kind="log",
            told=_times,
        ),
        Axis(
            "accuracy, points over the baseline's", low - margin, high + margin, told=lambda v: f"{v:+g}" if v else "0"
        ),
        right=24,
    )
    chart.rule(x=1)
    chart.rule(y=0)
    chart.point((1, 0), "baseline", "The baseline", 3.5)
    for row, name in judged:
        cost, delta = choice.cost(row), _accuracy(row)
        classes = row["quality"]["verdict"] or "unresolved"
        points: Interval = (100 * (delta[0] or 0), *(None if v is None else 100 * v for v in delta[1:]))  # type: ignore[assignment]
        _cross(chart, cost, points, classes)
        chart.point(
            (cost[0] or 1, points[0] or 0),
            classes,
            f"{name}: {format.points(*delta)} points, {format.ratio(*cost)} a step",
        )
    chart.labels(
        [((choice.cost(row)[0] or 1, 100 * row["quality"]["delta"]), _short(row, name, width)) for row, name in judged]
    )
    return chart.svg()


def _cross(chart: Chart, across: Interval, up: Interval, classes: str) -> None:
    x, y = across[0] or 1.0, up[0] if up[0] is not None else 0.0
    if across[1] is not None and across[2] is not None:
        chart.interval((across[1], y), (across[2], y), classes)
    if up[1] is not None and up[2] is not None:
        chart.interval((x, up[1]), (x, up[2]), classes)


def _range(intervals: list[Interval]) -> tuple[float, float]:
    """Return the ends of a logarithmic axis that holds 1 and all estimates; intervals that are much wider are cut."""
    known = [_log(one[0]) for one in intervals if one[0]] + [0.0]
    slack = max(1.5 * (max(known) - min(known)), 0.25)
    ends = [_log(v) for one in intervals for v in one if v] + [0.0]
    low, high = max(min(ends), min(known) - slack), min(max(ends), max(known) + slack)
    margin = max(0.06 * (high - low), 0.02)
    return math.exp(low - margin), math.exp(high + margin)


def _log(value: float) -> float:
    """Return the logarithm of a ratio, kept finite for absurd ones."""
    return math.log(min(max(value, 1e-6), 1e6))


def _tokens(row: Fields) -> Interval:
    found = row["quality"]["tokens"]
    return (found["ratio"], found["low"], found["high"]) if found else (None, None, None)


def _accuracy(row: Fields) -> Interval:
    quality = row["quality"]
    return quality["delta"], quality["low"], quality["high"]


def _told(row: Fields) -> str:
    return format.bounded(row["quality"]["tokens"])


def _times(value: float) -> str:
    return f"{format.tick(value)}x"


def _short(row: Fields, name: str, width: int) -> str:
    told = name if width > 400 else words.short_name(row["component"], row["variant"])
    return told if len(told) <= 28 else f"{told[:27]}…"


def _left_out(rows: list[Fields], named: list[tuple[Fields, str]]) -> str:
    drawn = {id(row) for row, _ in named}
    left = [row for row in rows if id(row) not in drawn and _tokens(row)[0] is not None]
    if not left:
        return COST
    told = ", ".join(f"{words.variant_name(row['component'], row['variant'])} ({_told(row)} tokens)" for row in left)
    return f"{COST} Without a measured step, and so not drawn: {told}."


def _numbers(document: Fields, row: Fields, name: str, over: str) -> tuple[Cell, ...]:
    cost, tokens = choice.cost(row), _tokens(row)
    return (
        Cell(name, run_of(document, row)),
        Cell(format.ratio(*cost), sort=cost[0]),
        Cell(_told(row), sort=tokens[0]),
        Cell(format.points(*_accuracy(row)), sort=row["quality"]["delta"]),
        Cell(over),
    )


SECTION = Section(key="pareto", title="Cost against quality", blocks=blocks, absent="the cost of a step beside quality")
