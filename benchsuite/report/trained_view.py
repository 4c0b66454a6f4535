"""Text extrapolation and stability as tables of strings and as a figure; see `benchsuite.report.view`."""

from __future__ import annotations

from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from benchsuite.report import view, words
from benchsuite.report.svg import INK, MUTED, SERIES, style, svg

Fields = dict[str, Any]


def beyond_figure(document: Fields, width: float) -> str | None:
    """Bits per byte against the place in the text, a line for each model; None where nothing was read so far."""
    entries = document["beyond"]
    if not entries:
        return None
    with style(f"beyond {width}"):
        figure = Figure(figsize=(width, 3.6))
        axes = figure.subplots()
        colours = iter([*SERIES] * 4)
        for entry in entries:
            values = entry["bits_per_byte"]
            points = [(b, v) for b, v in zip(entry["edges"][1:], values, strict=True) if v is not None]
            colour = MUTED if entry["role"] == "baseline" else next(colours)
            name = view.model_name(entry) if width > 5 else words.short_name(entry["component"], entry["name"])
            axes.plot(*zip(*points, strict=True), "o-", color=colour, markersize=3.5, linewidth=1.6, label=name)
        trained = entries[0]["trained"]
        axes.axvline(trained, color=MUTED, linewidth=0.8, linestyle=(0, (4, 3)))
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_locator(FixedLocator(sorted({e for entry in entries for e in entry["edges"][1:]})))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:.0f}"))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xlabel(f"place in the text, tokens (trained on {trained})")
        axes.set_ylabel("bits per byte")
        known = [v for entry in entries for v in entry["bits_per_byte"] if v is not None]
        home = min(v for entry in entries for v in entry["bits_per_byte"][:2] if v is not None)
        axes.set_ylim(min(known) - 0.05 * home, min(max(known), 3 * home) + 0.05 * home)
        axes.legend(fontsize=8.5, labelcolor=INK, handlelength=1.2, frameon=False)
        figure.tight_layout(pad=0.4)
        return svg(figure, "Bits per byte against the place in the text for each model")
