"""The figures, as SVG that takes its colours from the page, so that it follows light and dark.

matplotlib draws with marker colours, and each is then replaced by a CSS variable. Everything is deterministic: fixed
ids, no dates. Text stays text. Each figure comes in two widths, because an SVG that is scaled down to a phone cannot be
read.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from benchsuite import format
from benchsuite.report import view, words
from benchsuite.report.svg import BAD, CARD, GOOD, INK, MUTED, NEUTRAL, SERIES, style, svg

Fields = dict[str, Any]

Side = Literal["left", "right"]
CORNERS: tuple[tuple[int, float, Side], ...] = (
    (1, 0.6, "left"),
    (1, -1.7, "left"),
    (-1, 0.6, "right"),
    (-1, -1.7, "right"),
    (1, -0.5, "left"),
    (-1, -0.5, "right"),
)
WIDE, NARROW = 10.5, 3.9  # inches at 72 px


def tradeoff(document: Fields, width: float = WIDE) -> str | None:
    """Speed against quality: variants at (speed ratio, delta in points) with both intervals; None without points."""
    rows = [
        row
        for row in words.headline_rows(document["rows"])
        if row["speed"]["ratio"] is not None and row["quality"]["delta"] is not None
    ]
    if not rows:
        return None
    with style(f"tradeoff {width}"):
        figure = Figure(figsize=(width, 5.4 if width > 5 else 4.6))
        axes = figure.subplots()
        x = np.array([row["speed"]["ratio"] for row in rows])
        y = np.array([100 * row["quality"]["delta"] for row in rows])
        x_low, x_high = (_side(rows, "speed", "ratio", side) for side in ("low", "high"))
        y_low, y_high = (100 * _side(rows, "quality", "delta", side) for side in ("low", "high"))
        _limits(axes, x_low, x_high, y_low, y_high)
        axes.axhline(0, color=MUTED, linewidth=0.8)
        axes.axvline(1, color=MUTED, linewidth=0.8)
        for index, row in enumerate(rows):
            verdict = row["quality"]["verdict"]
            colour = {"better": GOOD, "worse": BAD}.get(verdict, NEUTRAL)
            axes.plot(
                [x_low[index], x_high[index]], [y[index]] * 2, color=colour, linewidth=1.4, solid_capstyle="round"
            )
            axes.plot(
                [x[index]] * 2, [y_low[index], y_high[index]], color=colour, linewidth=1.4, solid_capstyle="round"
            )
            face = colour if verdict in ("better", "worse") else CARD
            axes.plot([x[index]], [y[index]], "o", markersize=6, color=colour, markerfacecolor=face, zorder=3)
        _ratio_axis(axes)
        axes.set_xlabel("speed, variant / baseline")
        axes.set_ylabel("zero-shot accuracy, points")
        axes.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:+.0f}".replace("-", "−") if v else "0"))
        axes.yaxis.set_major_locator(MaxNLocator(7, integer=True, min_n_ticks=3))
        quadrants = (
            ("slower, better", 0, 1),
            ("faster, better", 1, 1),
            ("slower, worse", 0, 0),
            ("faster, worse", 1, 0),
        )
        for text, right, top in quadrants:
            axes.text(
                *(0.985 if right else 0.015, 0.98 if top else 0.02),
                text,
                transform=axes.transAxes,
                ha="right" if right else "left",
                va="top" if top else "bottom",
                color=MUTED,
                fontsize=9,
                fontstyle="italic",
            )
        figure.tight_layout(pad=0.4)
        name = words.variant_name if width > 5 else words.short_name
        names = [_shortened(name(row["component"], row["variant"])) for row in rows]
        _place_labels(figure, axes, names, x, y, (x_low, x_high, y_low, y_high))
        return svg(figure, "Speed ratio against zero-shot quality of each variant, with 95% intervals")


def curves(document: Fields, width: float = WIDE) -> str | None:
    """Training loss against tokens, a panel for each component: seeds thin, their mean bold, the baseline in grey."""
    panels = _panels(document)
    if not panels:
        return None
    with style(f"curves {width}"):
        columns = min(len(panels), 3 if width > 5 else 1)
        lines = -(-len(panels) // columns)
        figure = Figure(figsize=(width, (2.7 if width > 5 else 2.4) * lines))
        grid = figure.subplots(lines, columns, squeeze=False, sharex=True, sharey=True)
        bottom, top = _loss_range(document)
        for axes, (title, models) in zip(grid.flat, panels.items(), strict=False):
            colours = iter([*SERIES] * 4)
            for label, (role, seeds) in models.items():
                colour = MUTED if role == "baseline" else next(colours)
                for curve in seeds:
                    axes.plot(curve[:, 0], curve[:, 1], color=colour, linewidth=0.5, alpha=0.55)
                mean = _mean_curve(seeds)
                axes.plot(mean[:, 0], mean[:, 1], color=colour, linewidth=1.6, label=_shortened(label))
            axes.set_title(_shortened(title), loc="left", fontsize=10, color=INK)
            axes.set_ylim(bottom, top)
            axes.set_xlim(left=0)
            axes.xaxis.set_major_locator(MaxNLocator(4))
            axes.xaxis.set_major_formatter(FuncFormatter(lambda v, _: format.tick(v)))
            legend = axes.legend(fontsize=8.5, labelcolor=INK, handlelength=1.2, loc="upper right", edgecolor="none")
            legend.get_frame().set(facecolor=CARD, alpha=0.85)
        for axes in list(grid.flat)[len(panels) :]:
            axes.set_visible(False)
        for axes in grid[:, 0]:
            axes.set_ylabel("training loss, nats / token")
        for column in range(columns):
            last = max(line for line in range(lines) if line * columns + column < len(panels))
            grid[last, column].set_xlabel("tokens")
            grid[last, column].tick_params(labelbottom=True)
        figure.tight_layout(pad=0.4, w_pad=1.2, h_pad=1.2)
        return svg(figure, "Training loss against tokens for each component")


def bar(values: tuple[float | None, float | None, float | None], extent: float, zero: float, logarithmic: bool) -> str:
    """A small interval for a table cell: SVG around the value `zero`, `extent` to each side; "" without value."""
    if values[0] is None:
        return ""

    def place(value: float) -> float:
        offset = log(value / zero) if logarithmic else value - zero
        return round(60 + 56 * float(np.clip(offset / extent, -1, 1)), 1)

    centre = place(values[0])
    line = ""
    if values[1] is not None and values[2] is not None:
        left, right = place(values[1]), place(values[2])
        line = f'<path d="M{left} 8H{right}"/>'
    return (
        f'<svg class="bar" viewBox="0 0 120 16" aria-hidden="true"><path class="zero" d="M60 1V15"/>{line}'
        f'<circle cx="{centre}" cy="8" r="3.2"/></svg>'
    )


def _side(rows: list[Fields], of: str, centre: str, side: str) -> np.ndarray:
    """One end of the intervals; the estimate itself where there is none."""
    return np.array([row[of][centre] if row[of][side] is None else row[of][side] for row in rows])


def _limits(axes: Axes, x_low: np.ndarray, x_high: np.ndarray, y_low: np.ndarray, y_high: np.ndarray) -> None:
    """Limits that hold 1 and 0 and all points; an interval wider than four times the points' range is cut."""
    reach = max(abs(np.log(np.clip(np.concatenate([x_low, x_high]), 0.05, 20))).max(), np.log(1.05)) * 1.15
    axes.set_xscale("log")
    left, right = min(x_low.min(), 1), max(x_high.max(), 1)
    axes.set_xlim(max(left / np.exp(0.18 * reach), 0.05), min(right * np.exp(0.28 * reach), 20))
    bottom, top = min(y_low.min(), -1), max(y_high.max(), 1)
    margin = 0.14 * (top - bottom)
    axes.set_ylim(bottom - margin, top + margin)


def _ratio_axis(axes: Axes) -> None:
    """Round ratios as ticks: on a narrow axis in equal steps around 1, on a wide one in factors of about 2."""
    low, high = axes.get_xlim()
    wide = high / low > 4
    if wide:
        ticks = np.array([0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20])
    else:
        step = next(s for s in (0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0) if (high - low) / s <= 7)
        ticks = 1 + step * np.arange(np.ceil((low - 1) / step), np.floor((high - 1) / step) + 1)
    axes.xaxis.set_major_locator(FixedLocator(ticks[(ticks >= low) & (ticks <= high) & (ticks > 0)].tolist()))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{format.tick(v)}x" if wide else format.ratio(v)))


def _place_labels(figure: Figure, axes: Axes, names: list[str], x: np.ndarray, y: np.ndarray, ends: Any) -> None:
    """Puts each name beside its point, where it covers the least of other names, points and intervals."""
    renderer = FigureCanvasAgg(figure).get_renderer()  # only measures text
    to_display = axes.transData.transform
    points = to_display(np.c_[x, y])
    obstacles: list[tuple[float, float, float, float]] = []
    for index in range(len(names)):
        (left, _), (right, _) = to_display([(ends[0][index], y[index]), (ends[1][index], y[index])])
        (_, bottom), (_, top) = to_display([(x[index], ends[2][index]), (x[index], ends[3][index])])
        px, py = points[index]
        obstacles += [(left, py - 1, right, py + 1), (px - 1, bottom, px + 1, top), (px - 5, py - 5, px + 5, py + 5)]
    frame = axes.get_window_extent()
    (one, zero) = to_display((1, 0))
    obstacles += [(one - 1, frame.y0, one + 1, frame.y1), (frame.x0, zero - 1, frame.x1, zero + 1)]
    for index in np.argsort(-y):
        text = axes.annotate(
            names[index], (x[index], y[index]), (0, 0), textcoords="offset points", color=INK, zorder=4
        )
        best: tuple[float, float, float, Side] = (float("inf"), 0.0, 0.0, "left")
        for distance in (7, 12, 18, 26, 36):
            for dx, dy, align in CORNERS:
                text.set_position((dx * distance, dy * distance if dy > 0 else dy * distance - 2))
                text.set_horizontalalignment(align)
                box = text.get_window_extent(renderer)
                area = sum(_overlap((box.x0 - 2, box.y0, box.x1 + 2, box.y1), other) for other in obstacles)
                outside = max(0, frame.x0 - box.x0) + max(0, box.x1 - frame.x1) + max(0, frame.y0 - box.y0)
                outside += max(0, box.y1 - frame.y1)
                cost = area + 100 * outside + 5 * distance
                if cost < best[0]:
                    best = (cost, *text.get_position(), align)
        text.set_position(best[1:3])
        text.set_horizontalalignment(best[3])
        box = text.get_window_extent(renderer)
        obstacles.append((box.x0 - 2, box.y0 - 1, box.x1 + 2, box.y1 + 1))


def _shortened(name: str, length: int = 30) -> str:
    return name if len(name) <= length else f"{name[: length - 1]}…"


def _overlap(a: tuple[float, float, float, float], b: tuple[float, float, float, float]) -> float:
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    return width * height if width > 0 and height > 0 else 0.0


def _panels(document: Fields) -> dict[str, dict[str, tuple[str, list[np.ndarray]]]]:
    """Panel title -> label -> (role, curves of the seeds), the baseline first in every panel."""
    several = len(document["runs"]) > 1
    trained = _drawn(document)
    panels: dict[str, dict[str, tuple[str, list[np.ndarray]]]] = {}
    for run in dict.fromkeys(model["run"] for model in trained):
        models = [model for model in trained if model["run"] == run]
        baselines = [model for model in models if model["role"] == "baseline"]
        for model in models:
            if model["role"] == "baseline":
                continue
            control = model["role"] == "control"
            title = ("Controls" if control else words.component_name(model["component"])) + (
                f", {run}" if several else ""
            )
            panel = panels.setdefault(title, {})
            for base in [] if panel else baselines:
                panel.setdefault(base["name"], ("baseline", []))[1].append(np.array(base["curve"]))
            label = view.model_name(model)
            panel.setdefault(label, (model["role"], []))[1].append(np.array(model["curve"]))
        if baselines and not any(model["role"] != "baseline" for model in models):
            panel = panels.setdefault(f"Baseline, {run}" if several else "Baseline", {})
            for base in baselines:
                panel.setdefault(base["name"], ("baseline", []))[1].append(np.array(base["curve"]))
    return panels


def _drawn(document: Fields) -> list[Fields]:
    """The models whose curves can be compared: the losses of other objectives are other quantities."""
    others = [
        m
        for m in document["training"]
        if m["role"] not in ("curve", "shared", "rung") and m["component"] not in words.RECIPES
    ]
    return [m for m in others if len(m["curve"]) > 1]


def _mean_curve(seeds: list[np.ndarray]) -> np.ndarray:
    """Mean loss over seeds on the first seed's tokens, as far as all seeds go."""
    tokens = seeds[0][:, 0]
    tokens = tokens[tokens <= min(curve[-1, 0] for curve in seeds)]
    return np.c_[tokens, np.mean([np.interp(tokens, curve[:, 0], curve[:, 1]) for curve in seeds], axis=0)]


def _loss_range(document: Fields) -> tuple[float, float]:
    """From just below the lowest loss to where the curves are after a fifth of the tokens: the start tells nothing."""
    curves_ = [np.array(m["curve"]) for m in _drawn(document)]
    low = min(curve[:, 1].min() for curve in curves_)
    end = max(curve[-1, 0] for curve in curves_)
    high = max(float(np.interp(0.2 * end, curve[:, 0], curve[:, 1])) for curve in curves_)
    return float(low - 0.05 * (high - low)), float(max(high, low + 1e-6))


def log(value: float) -> float:
    """Natural logarithm, kept finite for ratios of 0 and of absurd size."""
    return float(np.log(np.clip(value, 1e-6, 1e6)))
