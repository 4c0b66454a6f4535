"""Each variant's token ratio on both scores, and at the shared learning rate."""

from __future__ import annotations

from benchsuite import format
from benchsuite.report import words
from benchsuite.report.blocks import Block, Cell, Column, Fields, Section, Table, Text, run_of, several

NOTE = (
    "Graded zero-shot is the probability of the right answer, the mean over the tasks of the index, read from a "
    "learning curve of its own. It is noisier than bits per byte, and closer to what is asked of a model."
)
TUNED = (
    "Learning rates are multiples of the shared one: the headline compares models at the best rate of each, the last "
    "columns models that were all trained at the shared one."
)


def blocks(document: Fields) -> list[Block]:
    rows = [row for row in words.headline_rows(document["rows"]) if _placed(row["quality"])]
    if not rows:
        return []
    tuned = any(rate is not None for row in rows for rate in (row["quality"]["learning_rates"] or {}).values())
    names = ["Variant", "By bits per byte", "By graded zero-shot"]
    names += ["Learning rates, variant and baseline", "Tokens at the shared rate", "Accuracy at it"] if tuned else []
    lines = []
    for name, row in zip(words.names_apart(rows), rows, strict=True):
        quality = row["quality"]
        ratio = quality["tokens"]
        cells = [Cell(name, small=run_of(document, row)), Cell(format.bounded(ratio), verdict=ratio["verdict"])]
        cells.append(_graded(quality["tokens_graded"]))
        if tuned:
            shared = quality["shared_rate"] or {"tokens": None, "delta": None, "low": None, "high": None}
            points = format.points(shared["delta"], shared["low"], shared["high"])
            cells += map(Cell, (_rates(quality["learning_rates"]), format.bounded(shared["tokens"]), points))
        lines.append(cells)
    columns = [Column(name, numeric=place > 0) for place, name in enumerate(names)]
    title = "Token ratios" + (" of several runs" if several(document) else "")
    return [Text(f"{NOTE} {TUNED}" if tuned else NOTE, "note"), Table(columns, lines, title)]


def _placed(quality: Fields) -> bool:
    return bool(quality["tokens"] and quality["tokens"]["ratio"] is not None)


def _graded(found: Fields | None) -> Cell:
    if found is None or found["ratio"] is None:
        return Cell(format.UNKNOWN, small=(found or {}).get("reason") or "")
    return Cell(format.bounded(found), verdict=found["verdict"])


def _rates(found: Fields) -> str:
    known = (found["variant"], found["baseline"])
    return ", ".join(format.UNKNOWN if one is None else f"{one:g}x" for one in known)


SECTION = Section(key="token_ratios", title="Token ratios, judged in other ways", blocks=blocks, fold=True)
