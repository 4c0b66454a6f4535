"""The first screen: every variant in the order of its time to quality, with a verdict in plain words."""

from __future__ import annotations

from benchsuite import format
from benchsuite.report import choice, view, words
from benchsuite.report.blocks import Block, Cell, Column, Fields, Section, Table, Text, run_of

COLUMNS = (
    Column("Choice"),
    Column("Time to quality", "less is better", scale="ratio"),
    Column("Cost of a step", "less is better", scale="ratio"),
    Column("Zero-shot", "points of accuracy; more is better", scale="difference"),
    Column("Verdict"),
)
ALONE = "Each row changes one thing in the baseline; combinations were not measured. Brackets are 95% intervals."
NOTE = (
    "Time to quality is the training time that a variant needs for the baseline's bits per byte of held-out text, over "
    f"the baseline's own: the tokens that it needs times the cost of its step. {ALONE}"
)
NAME = "Choices, the best first"
MARK = {"better": "better", "worse": "worse", "open": "unresolved"}


def blocks(document: Fields) -> list[Block]:
    ranked = sorted((one for c in choice.choices(document) for one in c.candidates), key=choice.order)
    if not ranked:
        return [] if document["rules"] else [Text("This run compares nothing yet.")]
    judged = [one for one in ranked if one.basis not in ("speed", "")] or ranked
    rows = [_row(document, one) for one in judged]
    kept = [n for n in range(len(COLUMNS)) if n == 0 or any(row[n].text != format.UNKNOWN for row in rows)]
    timed = any(choice.cost(one.row)[0] is not None for one in judged)
    columns = [Column("Cost", "less is better") if n == 2 and not timed else COLUMNS[n] for n in kept]
    table = Table(columns, [[row[n] for n in kept] for row in rows], NAME, cards=True, filter=True)
    note = NOTE if any(one.value is not None for one in judged) else f"{_why(judged)} {ALONE}"
    found: list[Block] = [table, Text(note, "note")]
    rest = [one.name for one in ranked if one not in judged]
    if rest:
        found.append(
            Text(f"Not ranked, since their quality was not measured: {', '.join(dict.fromkeys(rest))}.", "note")
        )
    return found


def _row(document: Fields, one: choice.Candidate) -> tuple[Cell, ...]:
    row = one.row
    quality = row["quality"]
    against = choice.called(row["component"], row["baseline"])
    about = ", ".join(filter(None, (f"over {against}", run_of(document, row))))
    delta = (quality["delta"], quality["low"], quality["high"])
    return (
        Cell(one.name, about),
        _time(row),
        _cost(row),
        Cell(
            format.points(*delta),
            quality["reason"] or "",
            quality["verdict"] or "",
            chip=False,
            sort=quality["delta"],
            bar=delta,
        ),
        Cell(one.plain, verdict=MARK[one.verdict] if one.basis else "", chip=False, sort=one.value),
    )


def _why(judged: list[choice.Candidate]) -> str:
    """Return why no time to quality is known."""
    found = [(one.row["quality"]["tokens"] or {}).get("reason") for one in judged]
    reasons = {str(reason) for reason in found if reason}
    return f"Time to quality was not measured: {'; '.join(sorted(reasons)) or 'no quality was'}."


def _time(row: Fields) -> Cell:
    time, tokens = row["time"], row["quality"]["tokens"]
    if time["ratio"] is not None:
        values = (time["ratio"], time["low"], time["high"])
        return Cell(format.bounded(time), "", time["verdict"] or "", chip=False, sort=time["ratio"], bar=values)
    if tokens and tokens["ratio"] is not None:
        values = (tokens["ratio"], tokens["low"], tokens["high"])
        told = "in tokens: no step was timed"
        return Cell(format.bounded(tokens), told, tokens["verdict"] or "", chip=False, sort=tokens["ratio"], bar=values)
    return Cell(format.UNKNOWN, (tokens or {}).get("reason") or "")


def _cost(row: Fields) -> Cell:
    values, speed = choice.cost(row), row["speed"]
    warn = view.todo(speed["flags"])
    if values[0] is not None:
        return Cell(format.ratio(*values), "", _mark(speed), chip=False, sort=values[0], bar=values, warn=warn)
    if speed["ratio"] is not None:
        of = format.ratio(1 / speed["ratio"], *((1 / speed["high"], 1 / speed["low"]) if speed["low"] else ()))
        return Cell(of, words.speed_of_what(row), _mark(speed), chip=False, sort=1 / speed["ratio"], warn=warn)
    return Cell(format.UNKNOWN, speed["reason"] or "")


def _mark(speed: Fields) -> str:
    return {"faster": "less", "slower": "more"}.get(speed["verdict"], "unclear")


SECTION = Section(key="answer", title="Ranking", blocks=blocks)
