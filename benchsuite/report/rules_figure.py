"""Learning curves of the rules of learning, and views that their models render."""

from __future__ import annotations

from html import escape
from typing import Any

from benchsuite.report.chart import Axis, Chart, legend, panels
from benchsuite.report.rules import RULES

Fields = dict[str, Any]
NAMES = {"backprop": "backpropagation", "dfa": "direct feedback alignment", "shallow": "shallow"}
CLASSES = dict(zip(RULES, ("baseline", "s1", "s2"), strict=True))
VIEW = 150  # pixels of a rendered view


def curves(rows: list[Fields], width: int) -> str:
    """Return the score on validation data against training steps, a panel for each row, a line for each seed."""
    columns = 4 if width > 700 else 1
    each = (width - 18 * (columns - 1)) // columns
    keys = legend([(CLASSES[rule], NAMES[rule]) for rule in RULES])
    return keys + panels(width, [_curves(row, each) for row in rows], columns)


def _curves(row: Fields, width: int) -> Chart:
    drawn = [(rule, curve) for rule in RULES for curve in row["rules"][rule]["curves"]]
    scores = [score for _, curve in drawn for _, score in curve] or [0.0]
    margin = max(0.05 * (max(scores) - min(scores)), 1e-6)
    last = max((step for _, curve in drawn for step, _ in curve), default=1) or 1
    chart = Chart(
        width, 190, Axis("", 0, last), Axis("", min(scores) - margin, max(scores) + margin), top=26, bottom=24
    )
    chart.write(0, 14, f"{row['architecture']}, {row['task']}", "title")
    for rule, curve in drawn:
        chart.line(curve, CLASSES[rule], NAMES[rule])
    return chart


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
