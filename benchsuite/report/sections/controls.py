"""Comparisons whose answer is known: if one fails, the verdicts of its kind are not to be trusted."""

from __future__ import annotations

from benchsuite import format
from benchsuite.report import view, words
from benchsuite.report.blocks import Block, Cell, Column, Fields, Figure, Section, Table, Text, run_of
from benchsuite.report.chart import Axis, Estimate, forest

NOTE = (
    "Comparisons whose answer is known. If one fails, do not trust the verdicts of its kind. One in twenty fails by "
    "chance."
)
CAPTION = (
    "Calibration: the baseline on a known share of its tokens. A line marks the truth; each interval should hold it, "
    "and nineteen in twenty do."
)
COLUMNS = (
    Column("Control"),
    Column("Expected"),
    Column("Observed"),
    Column("Accuracy", "points", numeric=True),
    Column("Detectable", "points", numeric=True),
    Column("Outcome"),
)


def blocks(document: Fields) -> list[Block]:
    found = view.controls_table(document)
    if not found:
        return []
    rows = [
        (
            Cell(c["name"], ", ".join(part for part in (c["description"], run_of(document, c)) if part)),
            Cell(c["expected"]),
            Cell(c["observed"], c["reason"] or _worth(c)),
            Cell(c["delta"]),
            Cell(c["detectable"]),
            Cell(verdict=c["outcome"]) if c["outcome"] in view.MARKS else Cell(c["outcome"]),
        )
        for c in found
    ]
    table = Table(COLUMNS, rows, "Controls", cards=True)
    placed = [c for c in document["controls"] if c["expected"].endswith("x") and c["tokens"]["ratio"] is not None]
    if not placed:
        return [Text(NOTE, "note"), table]
    alt = "Tokens that the controls are worth, with 95% intervals, beside what they were given"
    return [Text(NOTE, "note"), table, Figure(lambda width: figure(placed, width), alt, CAPTION, small=True)]


def _worth(control: Fields) -> str:
    """Return the tokens that a control is worth, where that is not what it is judged by."""
    if control["tokens"] in (control["observed"], format.UNKNOWN):
        return ""
    return f"as good as the baseline on {control['tokens']} of its tokens"


def figure(placed: list[Fields], width: int) -> str:
    """Return the controls of known worth: the interval of each, and the truth."""
    lines = []
    for c in placed:
        tokens, name = c["tokens"], words.control_name(c["name"])
        classes = "unresolved" if c["passed"] else "worse"
        told = f"{name}: {c['observed']}, expected {c['expected']}"
        lines.append(
            Estimate(name, tokens["ratio"], tokens["low"], tokens["high"], classes, told, float(c["expected"][:-1]))
        )
    ends = [v for one in lines for v in (one.low, one.high, one.expected) if v]
    x = Axis("tokens, over the baseline's", min(ends) / 1.1, max(*ends, 1) * 1.1, kind="log", told=lambda v: f"{v:g}x")
    return forest(width, "", lines, x, 1).svg()


SECTION = Section(key="controls", title="Controls", blocks=blocks, absent="controls, whose answer is known")
