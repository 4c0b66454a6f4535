"""What stands behind the token ratios, as tables of strings and a figure: other scores, learning rates, scales. See
`benchsuite.report.view`."""

from __future__ import annotations

from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from benchsuite import format
from benchsuite.report import view, words
from benchsuite.report.svg import INK, MUTED, SERIES, style, svg

Fields = dict[str, Any]


def tables(document: Fields) -> list[Fields]:
    """The tables that have something to show: title, note, columns and rows of text."""
    found = [_judged_otherwise(document), _learning_rates(document), _scales(document)]
    return [table for table in found if table["rows"]]


def _judged_otherwise(document: Fields) -> Fields:
    """Each variant's token ratio on both scores, and at the shared learning rate."""
    rows = [row for row in words.headline_rows(document["rows"]) if _placed(row["quality"])]
    tuned = any(row["quality"]["shared_rate"] for row in rows)
    lines = []
    for name, row in zip(words.names_apart(rows), rows, strict=True):
        quality = row["quality"]
        line = [name, format.bounded(quality["tokens"]), _graded(quality["tokens_graded"])]
        if tuned:
            shared = quality["shared_rate"] or {"tokens": None, "delta": None, "low": None, "high": None}
            line += [_rates(quality["learning_rates"]), format.bounded(shared["tokens"])]
            line += [format.points(shared["delta"], shared["low"], shared["high"])]
        lines.append([row["run"], *line] if view.several(document) else line)
    columns = ["variant", "by bits per byte", "by graded zero-shot"]
    if tuned:
        columns += ["learning rates, variant and baseline", "tokens at the shared rate", "accuracy at the shared rate"]
    return {
        "title": "Token ratios, judged in other ways",
        "note": "Graded zero-shot is the probability of the right answer, the mean over the tasks of the index, read "
        "from a learning curve of its own. It is noisier than bits per byte, and closer to what is asked of a model."
        + (
            " Learning rates are multiples of the shared one: the headline compares models at the best rate of each, "
            "the last columns models that were all trained at the shared one."
            if tuned
            else ""
        ),
        "columns": ["run", *columns] if view.several(document) else columns,
        "rows": lines,
    }


def _placed(quality: Fields) -> bool:
    return bool(quality["tokens"] and quality["tokens"]["ratio"] is not None)


def _graded(found: Fields | None) -> str:
    if found is None or found["ratio"] is None:
        return f"{format.UNKNOWN} ({found['reason']})" if found and found["reason"] else format.UNKNOWN
    return format.bounded(found) + (" (unresolved)" if found["verdict"] == "unresolved" else "")


def _rates(found: Fields | None) -> str:
    known = [found["variant"], found["baseline"]] if found else [None, None]
    return ", ".join(format.UNKNOWN if one is None else _multiple(one) for one in known)


def _multiple(value: float) -> str:
    return f"{value:g}x"


def _learning_rates(document: Fields) -> Fields:
    """Bits per byte at each rate that was tried, by model, and which was taken."""
    entries = document["learning_rates"]
    tried = sorted({rate["multiple"] for entry in entries for rate in entry["rates"]})
    lines = []
    for entry in entries:
        by_rate = {rate["multiple"]: rate["bits_per_byte"] for rate in entry["rates"]}
        cells = [format.number(by_rate[one]) if by_rate.get(one) is not None else "diverged or failed" for one in tried]
        best = format.UNKNOWN if entry["best"] is None else _multiple(entry["best"])
        edge = " (at the edge of those tried)" if entry["at_edge"] else ""
        lines.append([entry["label"], *cells, f"{best}{edge}"])
    tokens, seconds = (sum(entry[key] for entry in entries) for key in ("tokens", "time_s"))
    trained = sum(model["tokens"] or 0 for model in document["training"])
    share = f", {format.percent(tokens / (tokens + trained))} of all that were trained on" if tokens else ""
    return {
        "title": "Learning rates",
        "note": "Bits per byte of training text that was set aside for this search, by multiples of the shared rate, "
        f"and the rate that was taken. The search cost {format.si(tokens, 'tokens')}{share}, and "
        f"{format.seconds(seconds)} of processes' time; that is no part of any token ratio.",
        "columns": ["model", *map(_multiple, tried), "taken"],
        "rows": lines,
    }


def _scales(document: Fields) -> Fields:
    """Each variant's token ratio at each scale, and its trend."""
    entries = document["scales"]
    rungs = {rung["name"]: rung for entry in entries for rung in entry["rungs"]}
    ordered = sorted(rungs.values(), key=lambda rung: rung["flops"] or 0.0)
    lines = []
    for entry in entries:
        by_name = {rung["name"]: rung["ratio"] for rung in entry["rungs"]}
        cells = [format.bounded(by_name.get(rung["name"])) for rung in ordered]
        told = f"{format.UNKNOWN} ({entry['reason']})"
        factor = format.UNKNOWN
        if entry["trend"]:
            factor = words.ratio_of(entry["trend"]["factor"])
            told = words.trend(entry)
        lines.append([words.variant_name(entry["component"], entry["variant"]), *cells, factor, told])
    columns = [
        f"{rung['name']}: {format.si(rung['parameters'], 'parameters')}, {format.si(rung['tokens'], 'tokens')}"
        for rung in ordered
    ]
    return {
        "title": "Over scales",
        "note": "Tokens for equal quality at each size and budget, here, on this text. The trend is a line through the "
        "logs of the ratios over the log of the baseline's training FLOPs (6 x parameters x tokens), weighted by their "
        "intervals; its interval holds the noise of seeds, documents and curves, and widens where a line does not "
        "fit. It says nothing about scales beyond those measured.",
        "columns": ["variant", *columns, "ratio, for ten times the compute", "trend"],
        "rows": lines,
    }


def figure(document: Fields, width: float) -> str | None:
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
