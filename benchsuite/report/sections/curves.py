"""Learning curves: the variants placed on the baseline's, and the training loss of every model."""

from __future__ import annotations

from statistics import fmean

import numpy as np

from benchsuite import format
from benchsuite.report import view, words
from benchsuite.report.blocks import Block, Cell, Column, Fields, Figure, Section, Table, run_of, several
from benchsuite.report.chart import Axis, Chart, panels, series
from benchsuite.report.sections import equal

PLACED = (
    "Held-out bits per byte against tokens; less is better. The grey line is the baseline at several budgets. Each "
    "variant stands at the tokens that it was trained on; its dashed line leads to the tokens that the baseline needs "
    "to be as good, with their 95% interval. Where it leads to the right, the variant is worth more tokens than it was "
    "given."
)
LOSSES = (
    "Training loss against tokens: the mean over seeds in bold, each seed in a thin line, the baseline in grey. The "
    "first fifth is cut off. Models of different corpora read different text, so their losses do not compare."
)
COLUMNS = (
    Column("Model"),
    Column("Tokens", numeric=True),
    Column("Bits per byte", numeric=True),
    Column("As good as the baseline on", "tokens", numeric=True),
)
Curves = dict[str, tuple[str, list[np.ndarray]]]  # label -> (role, curves of the seeds)


def blocks(document: Fields) -> list[Block]:
    found: list[Block] = []
    for run in document["runs"]:
        curve, placed = equal.baseline_curve(document, run["name"]), _placed(document, run["name"])
        if len(curve) > 1 and placed:
            found.append(_equivalents(document, run["name"], curve, placed))
    shown = _panels(document)
    if shown:
        alt = "Training loss against tokens, a panel for each component"
        found.append(Figure(lambda width: losses(shown, width), alt, LOSSES))
    return found


def _equivalents(
    document: Fields, run: str, curve: list[tuple[float, float]], placed: list[tuple[Fields, str]]
) -> Figure:
    rows = [
        (Cell("Baseline", run_of(document, {"run": run})), Cell(format.si(t, "")), Cell(format.number(b)), Cell(""))
        for t, b in curve
    ]
    rows += [
        (
            Cell(name),
            Cell(format.si(row["quality"]["tokens"]["tokens"], "")),
            Cell(format.number(row["quality"]["bits_per_byte"]["value"])),
            Cell(_equivalent(row["quality"]["tokens"])),
        )
        for row, name in placed
    ]
    alt = "Held-out bits per byte against tokens: the baseline's learning curve with the variants placed on it"
    name = f"{run}. {PLACED}" if several(document) else PLACED
    return Figure(lambda width: equivalents(curve, placed, width), alt, name, Table(COLUMNS, rows, "Learning curve"))


def equivalents(curve: list[tuple[float, float]], placed: list[tuple[Fields, str]], width: int) -> str:
    """Return the baseline's curve with every variant placed on it."""
    bits = [b for _, b in curve] + [row["quality"]["bits_per_byte"]["value"] for row, _ in placed]
    margin = 0.06 * (max(bits) - min(bits))
    ends = [t for t, _ in curve] + [row["quality"]["tokens"]["tokens"] for row, _ in placed]
    chart = Chart(
        width,
        430 if width > 400 else 380,
        Axis("tokens", min(ends) / 1.06, max(ends) * 1.06, kind="log"),
        Axis("held-out bits per byte", min(bits) - margin, max(bits) + margin, told=lambda v: f"{v:.2f}"),
        right=14,
    )
    chart.line(curve, "baseline strong", avoid=True)
    for tokens, value in curve:
        chart.point(
            (tokens, value), "baseline", f"The baseline on {format.si(tokens, 'tokens')}: {format.number(value)}", 3.5
        )
    named = []
    for number, (row, name) in enumerate(placed):
        found, value = row["quality"]["tokens"], row["quality"]["bits_per_byte"]["value"]
        tokens, cls = found["tokens"], series(number)
        place, low, high = (tokens / found[key] for key in ("ratio", "high", "low"))
        chart.line([(tokens, value), (place, value)], f"lead {cls}", avoid=True)
        chart.interval((low, value), (high, value), cls)
        told = f"{name}: on {format.si(tokens, 'tokens')} as good as the baseline on {_equivalent(found)}"
        chart.point((place, value), f"{cls} hollow", told)
        chart.point((tokens, value), cls, told)
        short = name if width > 400 else words.short_name(row["component"], row["variant"])
        named.append(((tokens, value), f"{short} {format.ratio(found['ratio'])}"))
    chart.labels(named)
    return chart.svg()


def _equivalent(found: Fields) -> str:
    """Return the baseline's tokens for a variant's quality: 430k (380k to 510k)."""
    tokens = found["tokens"]
    place, low, high = (tokens / found[key] for key in ("ratio", "high", "low"))
    bound = {"<": ">", ">": "<"}.get(found["bound"], "")
    return f"{bound}{format.si(place, '')} ({format.si(low, '')} to {format.si(high, '')})"


def _placed(document: Fields, run: str) -> list[tuple[Fields, str]]:
    rows = [row for row in words.headline_rows(document["rows"]) if row["run"] == run]
    known = [
        (row, name)
        for row, name in zip(rows, words.names_apart(rows), strict=True)
        if row["quality"]["tokens"] and row["quality"]["tokens"]["ratio"] is not None
    ]
    return sorted(known, key=lambda one: -one[0]["quality"]["bits_per_byte"]["value"])


def losses(shown: dict[str, Curves], width: int) -> str:
    """Return a panel of training curves for each component."""
    columns = min(len(shown), 3 if width > 700 else 1)
    each = (width - 18 * (columns - 1)) // columns
    ends = [curve for models in shown.values() for _, seeds in models.values() for curve in seeds]
    last = max(float(curve[-1, 0]) for curve in ends)
    low = min(float(curve[:, 1].min()) for curve in ends)
    high = max(float(np.interp(0.2 * last, curve[:, 0], curve[:, 1])) for curve in ends)
    y = Axis("loss, nats a token", low - 0.05 * (high - low), max(high, low + 1e-6), told=lambda v: f"{v:.3g}")
    return panels(width, [_losses(title, models, each, last, y) for title, models in shown.items()], columns)


def _losses(title: str, models: Curves, width: int, last: float, y: Axis) -> Chart:
    chart = Chart(width, 250, Axis("tokens", 0.18 * last, last), y, top=28)
    chart.write(0, 14, title, "title")
    number = 0
    for place, (label, (role, seeds)) in enumerate(models.items()):
        cls = "baseline" if role == "baseline" else series(number)
        number += role != "baseline"
        for curve in seeds:
            chart.line(_late(curve, last), f"{cls} thin")
        chart.line(_late(_mean_curve(seeds), last), f"{cls} strong", label)
        chart.write(width - 14, 42 + 16 * place, label if len(label) < 32 else f"{label[:31]}…", f"key {cls}", "end")
    return chart


def _late(curve: np.ndarray, last: float) -> list[tuple[float, float]]:
    """Return the points of a curve after the first fifth of the tokens, thinned to what can be seen."""
    late = curve[curve[:, 0] >= 0.18 * last]
    return [(float(x), float(y)) for x, y in late[:: max(1, len(late) // 60)]]


def _mean_curve(seeds: list[np.ndarray]) -> np.ndarray:
    """Return the mean loss over seeds on the first seed's tokens, as far as all seeds go."""
    tokens = seeds[0][:, 0]
    tokens = tokens[tokens <= min(curve[-1, 0] for curve in seeds)]
    return np.c_[tokens, [fmean(np.interp(t, curve[:, 0], curve[:, 1]) for curve in seeds) for t in tokens]]


def _panels(document: Fields) -> dict[str, Curves]:
    """Return the curves by panel and label, the baseline first in every panel."""
    panels_: dict[str, Curves] = {}
    drawn = [m for m in document["training"] if m["role"] != "curve" and m["component"] not in words.RECIPES]
    drawn = [m for m in drawn if len(m["curve"]) > 1]
    for run in dict.fromkeys(model["run"] for model in drawn):
        models = [model for model in drawn if model["run"] == run]
        baselines = [model for model in models if model["role"] == "baseline"]
        alone = not any(model["role"] != "baseline" for model in models)
        for model in models:
            if model["role"] == "baseline" and not alone:
                continue
            title = {"control": "Controls", "baseline": "Baseline"}.get(model["role"], "")
            title = (title or words.component_name(model["component"])) + (f", {run}" if several(document) else "")
            panel = panels_.setdefault(title, {})
            for base in [] if panel or alone else baselines:
                panel.setdefault(base["name"], ("baseline", []))[1].append(np.array(base["curve"]))
            panel.setdefault(view.model_name(model), (model["role"], []))[1].append(np.array(model["curve"]))
    return panels_


SECTION = Section(key="curves", title="Learning curves", blocks=blocks, absent="learning curves")
