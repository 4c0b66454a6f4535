"""Token ratios against scale, with their trends."""

from __future__ import annotations

from benchsuite import format
from benchsuite.records.load import Run
from benchsuite.report import words
from benchsuite.report.blocks import Block, Cell, Column, Fields, Figure, Section, Table, Text, run_of
from benchsuite.report.chart import Axis, Chart, series
from benchsuite.verdicts.quality import models_of
from benchsuite.verdicts.scales import told
from benchsuite.verdicts.tokens import Placed

NOTE = (
    "Tokens for equal quality at each size and budget, here, on this text. The trend is a line through the logs of the "
    "ratios over the log of the baseline's training FLOPs (6 x parameters x tokens), weighted by their intervals; its "
    "interval holds the noise of seeds, documents and curves, and widens where a line does not fit. It says nothing "
    "about scales beyond those measured."
)
CAPTION = "Below 1 the variant needs less. Bars are 95% intervals, dashed lines the fitted trends."
ALT = "Tokens for equal quality against the baseline's training FLOPs"


def collect(run: Run) -> list[Fields]:
    """The entries of `benchsuite.verdicts.scales.told`."""
    models = models_of(run)
    return told(models, Placed(models))


def blocks(document: Fields) -> list[Block]:
    entries = document["scales"]
    if not entries:
        return []
    rungs = {rung["name"]: rung for entry in entries for rung in entry["rungs"]}
    ordered = sorted(rungs.values(), key=lambda rung: rung["flops"] or 0.0)
    columns = [Column("Variant"), *(Column(rung["name"], _size(rung), numeric=True) for rung in ordered)]
    columns += [Column("Ratio for ten times the compute", numeric=True), Column("Trend")]
    table = Table(columns, [_row(document, entry, ordered) for entry in entries], "Token ratios over scales")
    drawn = [entry for entry in entries if len(_known(entry)) > 1]
    figures = [Figure(lambda width: figure(drawn, width), ALT, CAPTION)] if drawn else []
    return [Text(NOTE, "note"), *figures, table]


def _known(entry: Fields) -> list[Fields]:
    return [rung for rung in entry["rungs"] if rung["flops"] and rung["ratio"]["ratio"] is not None]


def figure(entries: list[Fields], width: int) -> str:
    """Return each variant's token ratio against the baseline's training FLOPs, with intervals and trends."""
    rungs = [rung for entry in entries for rung in _known(entry)]
    flops = sorted({rung["flops"] for rung in rungs})
    ends = [1.0, *(rung["ratio"][end] for rung in rungs for end in ("low", "high"))]
    chart = Chart(
        width,
        380,
        Axis("training FLOPs of the baseline", flops[0] / 1.5, flops[-1] * 1.5, "log", flops, format.scientific),
        Axis("tokens for equal quality, over the baseline's", min(ends) / 1.05, max(ends) * 1.05, kind="log"),
    )
    chart.rule(y=1.0)
    labels = []
    for number, entry in enumerate(entries):
        known, name = _known(entry), words.variant_name(entry["component"], entry["variant"])
        aside = 1.04 ** (number - (len(entries) - 1) / 2)
        for rung in known:
            ratio, x = rung["ratio"], rung["flops"] * aside
            chart.interval((x, ratio["low"]), (x, ratio["high"]), series(number))
            chart.point((x, ratio["ratio"]), series(number), f"{name}, {rung['name']}: {format.bounded(ratio)}", 3.5)
        if entry["trend"]:
            ends_of = zip((known[0]["flops"] * aside, known[-1]["flops"] * aside), entry["trend"]["ends"], strict=True)
            chart.line(list(ends_of), f"{series(number)} dashed")
        labels.append(((known[-1]["flops"] * aside, known[-1]["ratio"]["ratio"]), name))
    chart.labels(labels)
    return chart.svg()


def _size(rung: Fields) -> str:
    return f"{format.si(rung['parameters'], 'parameters')}, {format.si(rung['tokens'], 'tokens')}"


def _row(document: Fields, entry: Fields, rungs: list[Fields]) -> list[Cell]:
    by_name = {rung["name"]: rung["ratio"] for rung in entry["rungs"]}
    cells = [Cell(words.variant_name(entry["component"], entry["variant"]), small=run_of(document, entry))]
    cells += [Cell(format.bounded(by_name.get(rung["name"]))) for rung in rungs]
    if not entry["trend"]:
        return [*cells, Cell(format.UNKNOWN), Cell(format.UNKNOWN, small=entry["reason"] or "")]
    return [*cells, Cell(words.ratio_of(entry["trend"]["factor"])), Cell(words.trend(entry))]


SECTION = Section(key="scales", title="Over scales", blocks=blocks, collect=collect, absent="several scales")
