"""Text extrapolation and stability as tables of strings and as a figure; see `benchsuite.report.view`."""

from __future__ import annotations

import itertools
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from benchsuite import format
from benchsuite.report import view, words
from benchsuite.report.svg import INK, MUTED, SERIES, style, svg

Fields = dict[str, Any]


def beyond_tables(document: Fields) -> list[Fields]:
    """One table for each run that read text beyond the training length: a line for each model, a cell for each range of
    places."""
    tables = []
    for run in dict.fromkeys(entry["run"] for entry in document["beyond"]):
        entries = [entry for entry in document["beyond"] if entry["run"] == run]
        edges, trained = entries[0]["edges"], entries[0]["trained"]
        spans = list(itertools.pairwise(edges))
        lines = [
            {
                "name": view.model_name(entry),
                "cells": [
                    {
                        "value": format.number(value),
                        "rise": format.bits(rise["value"], rise["low"], rise["high"]) if rise else "",
                        "verdict": rise["verdict"] if rise else "",
                    }
                    for value, rise in zip(entry["bits_per_byte"], entry["rise"], strict=True)
                ],
                "holds_to": f"{entry['holds_to']}",
            }
            for entry in entries
        ]
        tables.append(
            {
                "run": run,
                "columns": [f"{a} to {b}" for a, b in spans],
                "trained": trained,
                "windows": entries[0]["windows"],
                "seeds": entries[0]["seeds"],
                "lines": lines,
            }
        )
    return tables


def stability_tables(document: Fields) -> list[Fields]:
    """One table for each run and precision of a stability test: a line for each model, a cell for each rate."""
    tables = []
    keys = dict.fromkeys((entry["run"], entry["precision"]) for entry in document["stability"])
    for run, precision in keys:
        entries = [e for e in document["stability"] if (e["run"], e["precision"]) == (run, precision)]
        rates = sorted({rate["lr"] for entry in entries for rate in entry["rates"]})
        lines = []
        for entry in entries:
            by_rate = {rate["lr"]: rate for rate in entry["rates"]}
            last = entry["rates"][-1]
            lines.append(
                {
                    "name": view.model_name(entry),
                    "cells": [_rate_cell(by_rate.get(rate), rate == entry["survives"]) for rate in rates],
                    "survives": format.number(entry["survives"]),
                    "sensitivity": format.number(entry["sensitivity"]),
                    "loss_spikes": format.percent(last["loss_spikes"]),
                    "norm_spikes": format.percent(last["norm_spikes"]),
                    "norm_tail": format.number(last["norm_tail"]),
                    "skipped": format.percent(last["skipped"]),
                }
            )
        seeds = max(rate["seeds"] for entry in entries for rate in entry["rates"])
        columns = [format.number(rate) for rate in rates]
        tables.append({"run": run, "precision": precision, "columns": columns, "lines": lines, "seeds": seeds})
    return tables


def _rate_cell(rate: Fields | None, last: bool) -> Fields:
    if rate is None:
        return {"text": format.UNKNOWN, "verdict": ""}
    if rate["diverged"]:
        return {"text": f"{rate['diverged']} of {rate['seeds']} diverged", "verdict": "worse"}
    return {"text": format.number(rate["final"]), "verdict": "better" if last else ""}


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
