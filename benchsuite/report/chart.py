"""Figures as inline SVG that takes its colours from the page, so that it follows light and dark.

A `Chart` has two axes and draws in data coordinates. Everything is a pure function of its input: no ids, no dates. Text
stays text. What a mark shows is in its <title>, which the page's script turns into a tooltip.

>>> chart = Chart(320, 200, Axis("tokens", 1, 8, kind="log"), Axis("loss", 0, 4))
>>> chart.line([(1, 4), (8, 1)], "s1")
>>> chart.svg()[:27]
'<svg viewBox="0 0 320 200" '
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from markupsafe import escape

from benchsuite import format

CHARACTER = 7.0  # pixels of a character of 12 px, on average: generous, since the page's fonts are not known
Point = tuple[float, float]
Box = tuple[float, float, float, float]  # left, top, right, bottom, in pixels


@dataclass(frozen=True)
class Axis:
    """An axis from `low` to `high`. `told` makes the text of a tick; `ticks` are chosen where none are given."""

    name: str
    low: float
    high: float
    kind: Literal["linear", "log"] = "linear"
    ticks: Sequence[float] | None = None
    told: Callable[[float], str] = format.tick

    def place(self, value: float) -> float:
        """Return where a value is between the ends: 0 to 1, cut to a little beyond."""
        low, high, at = (self._scaled(v) for v in (self.low, self.high, value))
        return min(1.02, max(-0.02, (at - low) / (high - low)))

    def marks(self, most: int) -> list[float]:
        """Return the ticks, at most about `most`."""
        ticks = list(self.ticks) if self.ticks is not None else nice(self.low, self.high, self.kind, most)
        return [tick for tick in ticks if self.low <= tick <= self.high]

    def _scaled(self, value: float) -> float:
        return math.log(max(value, 1e-12)) if self.kind == "log" else value


def nice(low: float, high: float, kind: str, most: int) -> list[float]:
    """Return round numbers from `low` to `high`: in factors on a wide logarithmic axis, else in equal steps."""
    if kind == "log" and high / low > 3:
        for parts in ((1, 1.5, 2, 3, 5, 7), (1, 2, 5), (1, 3), (1,)):
            powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
            ticks = [part * 10.0**power for power in powers for part in parts]
            ticks = [tick for tick in ticks if low <= tick <= high]
            if len(ticks) <= most:
                return ticks
        return ticks
    power = 10.0 ** math.floor(math.log10((high - low) / most))
    step = next(part * power for part in (1, 2, 2.5, 5, 10, 20) if (high - low) / (part * power) <= most)
    return [
        round(step * number, 12) for number in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)
    ]


@dataclass
class Chart:
    """A figure of `width` by `height` pixels. Classes of marks are those of the page's style: s1 to s6, better, …"""

    width: int
    height: int
    x: Axis
    y: Axis
    left: int = 52
    right: int = 12
    top: int = 12
    bottom: int = 40
    parts: list[str] = field(default_factory=list)
    taken: list[Box] = field(default_factory=list)

    def at(self, point: Point) -> Point:
        """Return a point of the data in pixels."""
        across = self.left + self.x.place(point[0]) * (self.width - self.left - self.right)
        up = self.top + (1 - self.y.place(point[1])) * (self.height - self.top - self.bottom)
        return round(across, 1), round(up, 1)

    def line(self, points: Sequence[Point], classes: str, title: str = "", *, avoid: bool = False) -> None:
        """Draw a line through points of the data; labels keep off it where they are to `avoid` it."""
        path = "".join(f"{'L' if n else 'M'}{_n(x)} {_n(y)}" for n, (x, y) in enumerate(map(self.at, points)))
        self.parts.append(f'<path class="line {classes}" d="{path}">{_title(title)}</path>')
        for (a, b), (c, d) in itertools.pairwise(map(self.at, points)) if avoid else ():
            steps = max(1, int(max(abs(c - a), abs(d - b)) / 8))
            spots = ((a + (c - a) * n / steps, b + (d - b) * n / steps) for n in range(steps + 1))
            self.taken += [(x - 4, y - 2, x + 4, y + 2) for x, y in spots]

    def interval(self, start: Point, end: Point, classes: str) -> None:
        """Draw an error bar between two points of the data."""
        (a, b), (c, d) = self.at(start), self.at(end)
        self.parts.append(f'<path class="bar {classes}" d="M{_n(a)} {_n(b)}L{_n(c)} {_n(d)}"/>')
        self.taken.append((min(a, c) - 1, min(b, d) - 1, max(a, c) + 1, max(b, d) + 1))

    def point(self, at: Point, classes: str, title: str = "", radius: float = 4.5) -> None:
        """Draw a point; its title is what a reader who points at it is told."""
        x, y = self.at(at)
        focus = ' tabindex="0"' if title else ""
        self.parts.append(
            f'<circle class="point {classes}" cx="{_n(x)}" cy="{_n(y)}" r="{_n(radius)}"{focus}>'
            f"{_title(title)}</circle>"
        )
        self.taken.append((x - radius, y - radius, x + radius, y + radius))

    def block(self, start: float, end: float, top: float, classes: str, title: str) -> None:
        """Draw a piece of a horizontal bar, 14 pixels high, from one value of the x axis to another."""
        (a, _), (b, _) = self.at((start, self.y.low)), self.at((end, self.y.low))
        size = f'x="{_n(a)}" y="{_n(top)}" width="{_n(max(0.5, b - a))}" height="14"'
        self.parts.append(f'<rect class="{classes}" {size}>{_title(title)}</rect>')

    def rule(self, *, x: float | None = None, y: float | None = None, classes: str = "rule") -> None:
        """Draw a line across the whole plot, at a value of one of the axes; labels keep off it."""
        start = (x if x is not None else self.x.low, y if y is not None else self.y.low)
        end = (x if x is not None else self.x.high, y if y is not None else self.y.high)
        self.line([start, end], classes, avoid=True)

    def text(self, at: Point, told: str, classes: str = "", anchor: str = "start", shift: Point = (0, 0)) -> None:
        """Write text at a point of the data, `shift` pixels away."""
        x, y = self.at(at)
        self.write(x + shift[0], y + shift[1], told, classes, anchor)

    def write(self, x: float, y: float, told: str, classes: str = "", anchor: str = "start") -> None:
        """Write text at a place in pixels."""
        self.parts.append(_text(x, y, classes, told, anchor))

    def labels(self, named: Sequence[tuple[Point, str]]) -> None:
        """Write a name beside each point, where it covers the least of other names, points and intervals."""
        for at, name in sorted(named, key=lambda one: self.at(one[0])[1]):
            x, y = self.at(at)
            size = len(name) * CHARACTER
            places = [
                (x + dx * gap - (size if dx < 0 else 0), y + dy * gap + 4)
                for gap in (9, 14, 21, 30, 42)
                for dx, dy in ((1, -0.7), (1, 0.9), (-1, -0.7), (-1, 0.9), (1, 0), (-1, 0))
            ]
            left, base = min(
                enumerate(places), key=lambda one: (self._covered(one[1][0], one[1][1], size) + 3 * one[0], one[0])
            )[1]
            self.write(left, base, name, "name")
            self.taken.append((left - 2, base - 11, left + size + 2, base + 3))

    def svg(self) -> str:
        """Return the figure: axes first, then what was drawn, cut to the plot."""
        return (
            f'<svg viewBox="0 0 {self.width} {self.height}" aria-hidden="true">'
            f"{''.join(self._axes())}{''.join(self.parts)}</svg>"
        )

    def _covered(self, left: float, base: float, size: float) -> float:
        box = (left - 2, base - 11, left + size + 2, base + 3)
        area = sum(_overlap(box, other) for other in self.taken)
        outside = max(0, self.left - box[0]) + max(0, box[2] - self.width + 2)
        outside += max(0, self.top - 8 - box[1]) + max(0, box[3] - self.height + self.bottom)
        return area + 100 * outside

    def _axes(self) -> list[str]:
        floor, right = self.height - self.bottom, self.width - self.right
        found = []
        for tick in self.x.marks(max(4, (right - self.left) // 80)):
            x, _ = self.at((tick, self.y.low))
            found.append(f'<path class="grid" d="M{_n(x)} {self.top}V{floor}"/>')
            found.append(_text(x, floor + 16, "tick", self._told(self.x, tick), "middle"))
        for tick in self.y.marks(max(3, (floor - self.top) // 45)):
            _, y = self.at((self.x.low, tick))
            found.append(f'<path class="grid" d="M{self.left} {_n(y)}H{right}"/>')
            found.append(_text(self.left - 7, y + 4, "tick", self._told(self.y, tick), "end"))
        if self.x.name:
            found.append(_text((self.left + right) / 2, self.height - 4, "axis", self.x.name, "middle"))
        if self.y.name:
            middle = _n((self.top + floor) / 2)
            found.append(
                f'<text class="axis" transform="translate(12 {middle}) rotate(-90)" text-anchor="middle">'
                f"{escape(self.y.name)}</text>"
            )
        return found

    @staticmethod
    def _told(axis: Axis, tick: float) -> str:
        return axis.told(tick).replace("-", "−")


def legend(named: Sequence[tuple[str, str]]) -> str:
    """Return a legend of (class, name); the page's script makes its entries switch their series on and off."""
    keys = (f'<span class="key {cls}" data-series="{cls}">{escape(name)}</span>' for cls, name in named)
    return f'<p class="legend">{"".join(keys)}</p>'


def series(number: int) -> str:
    """Return the class of the series of a number, counted from 0."""
    return f"s{number % 6 + 1}"


def _text(x: float, y: float, classes: str, told: str, anchor: str = "start") -> str:
    end = f' text-anchor="{anchor}"' if anchor != "start" else ""
    kind = f' class="{classes}"' if classes else ""
    return f'<text x="{_n(x)}" y="{_n(y)}"{end}{kind}>{escape(told)}</text>'


def _title(text: str) -> str:
    return f"<title>{escape(text)}</title>" if text else ""


def _n(value: float) -> str:
    """A coordinate to a tenth of a pixel."""
    return f"{value:.1f}".removesuffix(".0")


def _overlap(a: Box, b: Box) -> float:
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    return width * height if width > 0 and height > 0 else 0.0


def panels(width: int, charts: Sequence[Chart], columns: int, gap: int = 18) -> str:
    """Return several charts as one figure, in rows of `columns`."""
    each, tall = (width - gap * (columns - 1)) / columns, max(chart.height for chart in charts)
    rows = math.ceil(len(charts) / columns)
    height = rows * tall + gap * (rows - 1)
    placed = "".join(
        f'<svg x="{_n(number % columns * (each + gap))}" y="{number // columns * (tall + gap)}" width="{_n(each)}" '
        f'height="{chart.height}" {chart.svg().removeprefix("<svg ")}'
        for number, chart in enumerate(charts)
    )
    return f'<svg viewBox="0 0 {width} {height}" aria-hidden="true">{placed}</svg>'


@dataclass(frozen=True)
class Estimate:
    """A line of a forest: a name, an estimate with its interval, a class, and the value that it should have."""

    name: str
    value: float
    low: float | None
    high: float | None
    classes: str
    title: str = ""
    expected: float | None = None


def forest(width: int, title: str, lines: Sequence[Estimate], x: Axis, zero: float, left: int = 120) -> Chart:
    """Return intervals one below another around `zero`, each with its name: a forest plot."""
    height = 20 * len(lines) + (26 if title else 8) + (40 if x.name else 26)
    chart = Chart(
        width, height, x, Axis("", len(lines) - 0.5, -0.5, ticks=()), left, 14, 26 if title else 8, 40 if x.name else 26
    )
    if title:
        chart.write(0, 13, title, "title")
    chart.rule(x=zero)
    for place, one in enumerate(lines):
        fits = int((left - 10) / CHARACTER)
        name = one.name if len(one.name) <= fits else f"{one.name[: fits - 1]}…"
        chart.write(left - 8, chart.at((zero, place))[1] + 4, name, "tick row", "end")
        if one.low is not None and one.high is not None:
            chart.interval((one.low, place), (one.high, place), one.classes)
        if one.expected is not None:
            across, up = chart.at((one.expected, place))
            chart.parts.append(f'<path class="expected" d="M{_n(across)} {_n(up - 7)}V{_n(up + 7)}"/>')
        chart.point((one.value, place), one.classes, one.title, 4)
    return chart
