"""Learning curves of the rules of learning, and views that their models render."""

from __future__ import annotations

from html import escape
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from benchsuite import format
from benchsuite.report.rules import RULES
from benchsuite.report.svg import INK, MUTED, SERIES, style, svg

Fields = dict[str, Any]
NAMES = {"backprop": "backpropagation", "dfa": "direct feedback alignment", "shallow": "shallow"}
VIEW = 150  # pixels of a rendered view


def curves(rows: list[Fields], width: float) -> str:
    """The score on validation data against training steps, a panel for each row, a line for each seed; <svg>."""
    with style(f"rules {width}"):
        columns = 4 if width > 5 else 2
        lines = -(-len(rows) // columns)
        height = 1.75 * lines + 0.3
        figure = Figure(figsize=(width, height))
        grid = figure.subplots(lines, columns, squeeze=False)
        colours = dict(zip(RULES, [MUTED, *SERIES], strict=False))
        for axes, row in zip(grid.flat, rows, strict=False):
            for rule in RULES:
                for number, curve in enumerate(row["rules"][rule]["curves"]):
                    label = NAMES[rule] if number == 0 else None
                    axes.plot(*zip(*curve, strict=True), color=colours[rule], linewidth=0.9, alpha=0.8, label=label)
            axes.set_title(f"{row['title'].split()[0]}, {row['task']}", loc="left", fontsize=8.5, color=INK)
            axes.xaxis.set_major_locator(MaxNLocator(3))
            axes.yaxis.set_major_locator(MaxNLocator(4))
            axes.xaxis.set_major_formatter(FuncFormatter(lambda v, _: format.tick(v)))
            axes.tick_params(labelsize=7.5)
            axes.set_xlim(left=0)
        for axes in list(grid.flat)[len(rows) :]:
            axes.set_visible(False)
        handles, labels = grid[0, 0].get_legend_handles_labels()
        figure.legend(
            handles, labels, loc="lower center", ncols=3, fontsize=8.5, labelcolor=INK, frameon=False, handlelength=1.4
        )
        figure.tight_layout(pad=0.4, w_pad=0.9, h_pad=0.9, rect=(0, 0.3 / height, 1, 1))
        return svg(figure, "Score on validation data against training steps by each rule of learning")


def views(images: list[tuple[str, str]]) -> str:
    """Pictures side by side as HTML: pairs of a PNG file in base64 and what it is."""
    style = "image-rendering: pixelated"
    pictures = (
        f'<img src="data:image/png;base64,{escape(png)}" alt="" width="{VIEW}" height="{VIEW}" style="{style}">'
        for png, _ in images
    )
    return "".join(
        f'<span style="display: inline-block; margin: 0 14px 8px 0">{picture}<br><small>{escape(name)}</small></span>'
        for picture, (_, name) in zip(pictures, images, strict=True)
    )
