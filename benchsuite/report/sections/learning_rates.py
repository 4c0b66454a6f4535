"""The learning rates that were tried for each model, what they came to, and the cost of it."""

from __future__ import annotations

from benchsuite import format
from benchsuite.report.blocks import Block, Cell, Column, Fields, Section, Table, Text, run_of
from benchsuite.verdicts import searches


def blocks(document: Fields) -> list[Block]:
    entries = document["learning_rates"]
    if not entries:
        return []
    tried = sorted({rate["multiple"] for entry in entries for rate in entry["rates"]})
    tokens, seconds = (sum(entry[key] for entry in entries) for key in ("tokens", "time_s"))
    trained = sum(model["tokens"] or 0 for model in document["training"])
    share = f", {format.percent(tokens / (tokens + trained))} of all that were trained on" if tokens else ""
    note = (
        "Bits per byte of training text that was set aside for this search, by multiples of the shared rate, and the "
        f"rate that was taken. The search cost {format.si(tokens, 'tokens')}{share}, and {format.seconds(seconds)} of "
        "processes' time; that is no part of any token ratio."
    )
    columns = [Column("Model"), *(Column(f"{one:g}x", numeric=True) for one in tried), Column("Taken", numeric=True)]
    rows = [_row(document, entry, tried) for entry in entries]
    return [Text(note, "note"), Table(columns, rows, "Learning rates")]


def _row(document: Fields, entry: Fields, tried: list[float]) -> list[Cell]:
    by_rate = {rate["multiple"]: rate["bits_per_byte"] for rate in entry["rates"]}
    cells = [_score(by_rate.get(one), one == entry["best"]) for one in tried]
    best = format.UNKNOWN if entry["best"] is None else f"{entry['best']:g}x"
    edge = "at the edge of those tried" if entry["at_edge"] else ""
    return [Cell(entry["label"], small=run_of(document, entry)), *cells, Cell(best, small=edge)]


def _score(value: float | None, best: bool) -> Cell:
    if value is None:
        return Cell("diverged or failed", verdict="worse", chip=False)
    return Cell(format.number(value), verdict="better" if best else "", chip=False)


SECTION = Section(
    key="learning_rates", title="Learning rates", blocks=blocks, collect=searches.told, absent="several learning rates"
)
