"""Bits per byte by place in the text, up to and beyond the length that models were trained on."""

from __future__ import annotations

import numpy as np

from benchsuite import format
from benchsuite.records.case import Case
from benchsuite.records.load import Run
from benchsuite.records.results import QualityResult
from benchsuite.report import training, view
from benchsuite.report.blocks import Block, Cell, Column, Fields, Figure, Section, Table, Text, several
from benchsuite.report.chart import Axis, Chart, series
from benchsuite.stats.intervals import t_interval

CAPTION = (
    "Bits per byte of held-out text by place, with all the text before as context. Less is better; right of the dashed "
    "line the text is longer than anything the models were trained on."
)


def collect(run: Run) -> list[Fields]:
    """Bits per byte by place in the text, one entry for each model of a comparison of variants, the baselines first.

    `bits_per_byte[r]` is the mean over seeds and windows at the places `edges[r]` to `edges[r + 1]`, None where the
    model cannot reach. `rise[r]` is by how much that is more than in the last range it was trained on, with an interval
    over windows of text (each the mean of all seeds); `holds_to` is the last place before the rise is resolved.
    """
    return [
        entry
        for role, component, name, case in training.compared(run, "quality")
        if (entry := _beyond(run, role, component, name, case)) is not None
    ]


def _beyond(run: Run, role: str, component: str, name: str, case: Case) -> Fields | None:
    results = [r.quality for r in run.records.get(case.id, {}).values() if r.quality and r.quality.by_position]
    if not results or case.training is None:
        return None
    edges = results[0].by_position.edges if results[0].by_position else []
    trained = case.training.model.seq
    per_window = np.mean([_per_byte(result, len(edges) - 1) for result in results], axis=0)  # (windows, ranges)
    home = max(r for r in range(len(edges) - 1) if edges[r + 1] <= trained)
    rises = [_rise(per_window[:, r] - per_window[:, home]) if r > home else None for r in range(len(edges) - 1)]
    holds_to = trained
    for r in range(home + 1, len(edges) - 1):
        rise = rises[r]
        if rise is None or rise["verdict"] == "worse":
            break
        holds_to = edges[r + 1]
    means = per_window.mean(axis=0)
    return {
        "run": run.name,
        "role": role,
        "component": component,
        "name": name,
        "seeds": len(results),
        "windows": len(per_window),
        "trained": trained,
        "edges": edges,
        "bits_per_byte": [float(mean) if np.isfinite(mean) else None for mean in means],
        "rise": rises,
        "holds_to": holds_to,
    }


def _per_byte(result: QualityResult, ranges: int) -> np.ndarray:
    """Bits per byte by window and range; NaN where the model cannot reach."""
    found = result.by_position
    assert found is not None
    rows = np.full((len(found.bits), ranges), np.nan)
    for w, (bits, sizes) in enumerate(zip(found.bits, found.bytes, strict=True)):
        rows[w, : len(bits)] = np.array(bits) / np.maximum(1, sizes[: len(bits)])
    return rows


def _rise(differences: np.ndarray) -> Fields | None:
    if not np.isfinite(differences).all():
        return None
    interval = t_interval(differences.tolist())
    verdict = "unresolved"
    if interval.low is not None and interval.high is not None:
        verdict = "worse" if interval.low > 0 else "better" if interval.high < 0 else "unresolved"
    return {"value": interval.estimate, "low": interval.low, "high": interval.high, "verdict": verdict}


def blocks(document: Fields) -> list[Block]:
    found: list[Block] = []
    for run in dict.fromkeys(entry["run"] for entry in document["beyond"]):
        entries = [entry for entry in document["beyond"] if entry["run"] == run]
        first = entries[0]
        note = f"{run}: " if several(document) else ""
        note += (
            f"The models were trained on {first['trained']} tokens at a time. Below each value stands the rise over "
            f"the last range that was trained on, with its 95% interval over {first['windows']} windows of text (means "
            f"of {first['seeds']} seeds). A model holds to the last place before a rise is resolved."
        )
        spans = zip(first["edges"], first["edges"][1:], strict=False)
        columns = [Column("Model"), *(Column(f"{a} to {b}", numeric=True) for a, b in spans), Column("Holds to")]
        rows = [[Cell(view.model_name(entry)), *_cells(entry), Cell(str(entry["holds_to"]))] for entry in entries]
        found += [Text(note, "note"), Table(columns, rows, "Bits per byte by place in the text")]
    if not found:
        return []
    alt = "Bits per byte against the place in the text, a line for each model"
    return [Figure(lambda width: figure(document["beyond"], width), alt, CAPTION), *found]


def figure(entries: list[Fields], width: int) -> str:
    """Return bits per byte against the place in the text."""
    known = [v for entry in entries for v in entry["bits_per_byte"] if v is not None]
    home = min(v for entry in entries for v in entry["bits_per_byte"][:2] if v is not None)
    edges = sorted({edge for entry in entries for edge in entry["edges"][1:]})
    trained = entries[0]["trained"]
    chart = Chart(
        width,
        380,
        Axis(
            f"place in the text, tokens (trained on {trained})",
            edges[0] / 1.15,
            edges[-1] * 1.15,
            kind="log",
            ticks=edges,
        ),
        Axis("bits per byte", min(known) - 0.05 * home, min(max(known), 3 * home) + 0.05 * home),
    )
    chart.rule(x=trained, classes="rule dashed")
    number, ends = 0, []
    for entry in entries:
        cls = "baseline" if entry["role"] == "baseline" else series(number)
        number += entry["role"] != "baseline"
        name = view.model_name(entry)
        points = [(b, v) for b, v in zip(entry["edges"][1:], entry["bits_per_byte"], strict=True) if v is not None]
        chart.line(points, f"{cls} strong")
        for place, value in points:
            chart.point((place, value), cls, f"{name}, up to {place} tokens: {format.number(value)}", 3.5)
        ends.append((points[-1], name))
    chart.labels(ends)
    return chart.svg()


def _cells(entry: Fields) -> list[Cell]:
    return [
        Cell(
            format.number(value),
            format.bits(rise["value"], rise["low"], rise["high"]) if rise else "",
            rise["verdict"] if rise and rise["verdict"] != "unresolved" else "",
        )
        for value, rise in zip(entry["bits_per_byte"], entry["rise"], strict=True)
    ]


SECTION = Section(
    key="beyond",
    title="Beyond the training length",
    blocks=blocks,
    collect=collect,
    absent="text beyond the training length",
)
