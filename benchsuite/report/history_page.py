"""The history as pages: a small figure for each case, what changed last first."""

from __future__ import annotations

from typing import Any

from markupsafe import Markup

from benchsuite import format as fmt
from benchsuite import text
from benchsuite.report.chart import Axis, Chart
from benchsuite.report.render import template
from benchsuite.stats.levels import LEAST, change, finds, last_is_off

Fields = dict[str, Any]
WIDTH, HEIGHT = 320, 150


def document(series: list[Any], margin: float, notes: list[str]) -> Fields:
    """The whole as JSON, its texts harmless; `series` are benchsuite.gating.history.Series. Verdicts:

    slower, faster   the level changed by more than the margin, and how much it did since which run is said
    steady           it did not, and a change by more than the margin in the middle of the last level would have shown
    unclear          no change was found, but only larger ones could have been, or the last run may be the first of one
    """
    rows = []
    for one in series:
        found = change(one.pieces, margin)
        at = one.points[found[1]] if found else None
        least = finds(one.times_s, one.pieces)
        off = last_is_off(one.times_s, one.pieces, margin)
        rows.append(
            {
                "case": one.case,
                "verdict": _verdict(found and found[0], least, off, margin),
                "change": found and found[0],
                "since": at and {"run": at.run, "created": at.created, "commit": at.commit},
                "finds": least,
                "last_run": off,
                "times_s": list(one.times_s),
                "runs": [{"run": p.run, "created": p.created, "commit": p.commit} for p in one.points],
                "pieces": [{"start": p.start, "end": p.end, "level_s": p.level} for p in one.pieces],
            }
        )
    order = ("slower", "faster", "unclear", "steady")
    rows.sort(key=lambda row: (order.index(row["verdict"]), row["case"]))
    whole: Fields = text.tree({"schema_version": 1, "margin": margin, "notes": notes, "cases": rows})
    return whole


def _verdict(ratio: float | None, least: float | None, off: float | None, margin: float) -> str:
    if ratio is not None:
        return "slower" if ratio > 1 else "faster"
    return "unclear" if least is None or least > 1 + margin or off is not None else "steady"


def markdown(document: Fields) -> str:
    """What changed, what is unclear and why, and of how many cases it can be said that they did not change."""
    lines = ["# What changed over these runs", ""]
    rows = document["cases"]
    changed = [row for row in rows if row["verdict"] in ("slower", "faster")]
    unclear = [row for row in rows if row["verdict"] == "unclear"]
    if changed:
        lines += ["| case | last change | time | since | commit |", "|---|---|---|---|---|"]
    for row in changed:
        now = row["pieces"][-1]["level_s"]
        since = row["since"]
        times = f"{fmt.seconds(now / row['change'])} → {fmt.seconds(now)}"
        cells = [row["case"], _change(row), times, f"{since['run']}, {since['created']}"]
        cells.append((since["commit"] or "not known")[:12])
        lines.append("| " + " | ".join(map(text.markdown, cells)) + " |")
    if unclear:
        lines += ["", "| case | no change was found, but | runs | times |", "|---|---|---|---|"]
    for row in unclear:
        times = f"{fmt.seconds(min(row['times_s']))} to {fmt.seconds(max(row['times_s']))}"
        lines.append(f"| {text.markdown(row['case'])} | {_why_unclear(row)} | {len(row['times_s'])} | {times} |")
    margin = fmt.margin(document["margin"])
    told = f"{len(changed)} of {_count(len(rows), 'case')} changed by more than {margin}. "
    if steady := len(rows) - len(changed) - len(unclear):
        told += f"{steady} did not: a change by {margin} halfway through their last level would have been found. "
    told += f"Of {len(unclear)} nothing can be said. " if unclear else ""
    lines += ["", f"{told}A change takes two runs at the new level."]
    return "\n".join([*lines, *(f"Note: {text.markdown(note)}." for note in document["notes"]), ""])


def page(document: Fields) -> str:
    """One HTML file without network or scripts: a figure for each case."""
    cells = []
    for row in document["cases"]:
        figure = Markup(_figure(row))  # drawn by us
        cells.append({"case": row["case"], "verdict": row["verdict"], "said": _said(row), "figure": figure})
    margin = fmt.margin(document["margin"])
    return template("history.html.j2", cells=cells, notes=document["notes"], margin=margin)


def _said(row: Fields) -> str:
    """A case in a few words."""
    if row["verdict"] == "unclear":
        return f"unclear: {_why_unclear(row)}"
    if row["verdict"] == "steady":
        return f"no change; a change by {fmt.percent(row['finds'] - 1)} would have been found"
    commit = f", commit {row['since']['commit'][:12]}" if row["since"]["commit"] else ""
    return f"{_change(row)} since {row['since']['run']}{commit}"


def _change(row: Fields) -> str:
    return f"{row['verdict']} {row['change']:.3f}x"


def _why_unclear(row: Fields) -> str:
    """What could not have been found."""
    last = row["pieces"][-1]["end"] - row["pieces"][-1]["start"]
    if row["last_run"] is not None:
        return f"the last run took {row['last_run']:.2f}x of the level"
    if last < 2 * LEAST:
        return f"a change shows in {2 * LEAST} runs at least, and there {'is' if last == 1 else 'are'} {last}"
    if row["finds"] is None:
        return "no change would have been found, however large"
    return f"only a change by {fmt.percent(row['finds'] - 1, 0)} or more would have been found"


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _figure(row: Fields) -> str:
    times = row["times_s"]
    last = len(times) - 0.4
    x = Axis("", -0.6, last, told=lambda v: f"{v:.0f}", ticks=range(0, len(times), max(1, len(times) // 5)))
    y = Axis("", 0, max(times) * 1.15, told=lambda v: fmt.seconds(v) if v else "0")
    chart = Chart(WIDTH, HEIGHT, x, y, left=62, top=8, bottom=24)
    for place, time_s in enumerate(times):
        chart.point((place, time_s), "unresolved", f"{row['runs'][place]['run']}: {fmt.seconds(time_s)}", 2)
    for piece in row["pieces"]:
        classes = {"slower": "worse", "faster": "better"}.get(row["verdict"], "baseline")
        classes = classes if piece is row["pieces"][-1] else "baseline"
        ends = [(piece["start"] - 0.4, piece["level_s"]), (piece["end"] - 0.6, piece["level_s"])]
        chart.line(ends, f"{classes} strong")
    return f'<div role="img" aria-label="time of a call, run by run">{chart.svg()}</div>'
