"""Quality at equal tokens, and at equal training time: what a slower variant still brings where the baseline may go on
training for as long."""

from __future__ import annotations

import math
from collections import defaultdict
from statistics import fmean

import numpy as np

from benchsuite import format
from benchsuite.report import choice, words
from benchsuite.report.blocks import Block, Cell, Column, Fields, Interval, Section, Table, Text, run_of

NOTE = (
    "Held-out bits per byte over the baseline's; less is better. At equal tokens both read the same text. At equal "
    "time the baseline is taken from its learning curve at the tokens that it reads while the variant trains: a "
    "variant with a slower step meets a baseline that has read more. Accuracy was measured at equal tokens alone."
)
VERDICTS = {"less": "better", "more": "worse", "unresolved": "unresolved"}  # sooner as good is better at equal time
COLUMNS = (
    Column("Variant"),
    Column("At equal tokens", "bits per byte", scale="difference"),
    Column("At equal time", "bits per byte", scale="difference"),
    Column("Accuracy", "points, at equal tokens", numeric=True),
)


def blocks(document: Fields) -> list[Block]:
    rows = [
        row for row in words.headline_rows(document["rows"]) if row["quality"]["bits_per_byte"]["delta"] is not None
    ]
    if not any(at_equal_time(document, row)[0] is not None for row in rows):
        return []
    cells = [_row(document, row, name) for row, name in zip(rows, words.names_apart(rows), strict=True)]
    return [Text(NOTE, "note"), Table(COLUMNS, cells, "Quality at equal tokens and at equal time", cards=True)]


def baseline_curve(document: Fields, run: str) -> list[tuple[float, float]]:
    """Return (tokens, bits per byte) of a run's baseline at each budget, means over seeds."""
    found: dict[float, list[float]] = defaultdict(list)
    for model in document["training"]:
        known = model["bits_per_byte"] is not None and model["tokens"]
        if model["run"] == run and known and (model["role"] == "curve" or model["name"] == "baseline"):
            found[float(model["tokens"])].append(model["bits_per_byte"])
    return [(tokens, fmean(bits)) for tokens, bits in sorted(found.items())]


def at_equal_time(document: Fields, row: Fields) -> Interval:
    """Return the difference in bits per byte where the baseline trains for as long as the variant did.

    The baseline's curve is read at the variant's tokens over the speed ratio, linearly in their logarithm. The errors
    of quality and speed are independent, so the ends are those of Zou and Donner (2008, MOVER). None where the step was
    not measured, or where the curve does not reach so far.
    """
    bits, speed, tokens = row["quality"]["bits_per_byte"], row["speed"], (row["quality"]["tokens"] or {}).get("tokens")
    curve = baseline_curve(document, row["run"])
    if choice.cost(row)[1] is None or not tokens or len(curve) < 2 or bits["low"] is None:
        return None, None, None
    places = [tokens, *(tokens / speed[end] for end in ("ratio", "low", "high"))]
    if min(places) < curve[0][0] * 0.999 or max(places) > curve[-1][0] * 1.001:
        return None, None, None
    logs, values = [math.log(t) for t, _ in curve], [b for _, b in curve]
    here, at, slow, fast = (float(np.interp(math.log(place), logs, values)) for place in places)
    middle = bits["delta"] + here - at  # where the variant is slow the baseline reads more and `at` is lower
    low = middle - math.hypot(bits["delta"] - bits["low"], fast - at)
    high = middle + math.hypot(bits["high"] - bits["delta"], at - slow)
    return middle, low, high


def _row(document: Fields, row: Fields, name: str) -> tuple[Cell, ...]:
    quality, bits = row["quality"], row["quality"]["bits_per_byte"]
    tokens = (bits["delta"], bits["low"], bits["high"])
    time = at_equal_time(document, row)
    read = (quality["tokens"] or {}).get("tokens")
    told = f"baseline on {format.si(read / row['speed']['ratio'], 'tokens')}" if time[0] is not None and read else ""
    verdict = VERDICTS.get(row["time"]["verdict"] or "", "") if time[0] is not None else ""
    why = "its step was not measured" if choice.cost(row)[0] is None else "beyond the baseline's curve"
    delta = (quality["delta"], quality["low"], quality["high"])
    return (
        Cell(name, run_of(document, row)),
        Cell(format.bits(*tokens), verdict=bits["verdict"] or "", chip=False, sort=tokens[0], bar=tokens),
        Cell(format.bits(*time), told if time[0] is not None else why, verdict, chip=False, sort=time[0], bar=time),
        Cell(format.points(*delta), verdict=quality["verdict"] or "", chip=False, sort=delta[0]),
    )


SECTION = Section(
    key="equal",
    title="Equal tokens, equal time",
    blocks=blocks,
    absent="quality at equal time (needs a learning curve of the baseline, and the speed of a training step)",
)
