"""The figure of token ratios against scale."""

from __future__ import annotations

from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from benchsuite import format
from benchsuite.report import words
from benchsuite.report.figures import WIDE
from benchsuite.report.svg import INK, MUTED, SERIES, style, svg

Fields = dict[str, Any]


def figure(document: Fields, width: float = WIDE) -> str | None:
    """Token ratio against the baseline's training FLOPs, a line for each variant; None without a ladder."""
    entries = [entry for entry in document["scales"] if any(rung["ratio"]["ratio"] for rung in entry["rungs"])]
    if not entries:
        return None
    with style(f"scales {width}"):
        drawn = Figure(figsize=(width, 3.8))
        axes = drawn.subplots()
        colours = iter([*SERIES] * 8)
        for place, entry in enumerate(entries):
            rungs = [rung for rung in entry["rungs"] if rung["flops"] and rung["ratio"]["ratio"] is not None]
            colour, aside = next(colours), 1.03 ** (place - (len(entries) - 1) / 2)
            x = [rung["flops"] * aside for rung in rungs]
            y, low, high = ([rung["ratio"][key] for rung in rungs] for key in ("ratio", "low", "high"))
            ends = [[a - b for a, b in zip(y, low, strict=True)], [b - a for a, b in zip(y, high, strict=True)]]
            name = words.variant_name if width > 5 else words.short_name
            label = name(entry["component"], entry["variant"])
            axes.errorbar(x, y, yerr=ends, fmt="o", color=colour, markersize=4, linewidth=1.1, label=label)
            if entry["trend"]:
                axes.plot([x[0], x[-1]], entry["trend"]["ends"], color=colour, linewidth=1.3, linestyle=(0, (4, 2)))
        axes.axhline(1, color=MUTED, linewidth=0.8)
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(base=10, subs=(0.2, 0.3, 0.5, 0.7, 1, 1.5, 2, 3)))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{format.tick(v)}x"))
        axes.yaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda v, _: format.scientific(v)))
        axes.set_xlabel("training FLOPs of the baseline")
        axes.set_ylabel("tokens for equal quality")
        axes.legend(fontsize=8.5, labelcolor=INK, handlelength=1.2, frameon=False)
        drawn.tight_layout(pad=0.4)
        return svg(
            drawn, "Tokens for equal quality against the baseline's training FLOPs, with 95% intervals and trends"
        )
