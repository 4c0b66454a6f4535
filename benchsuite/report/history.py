"""The history as pages: a small figure for each case, what changed last first."""

from __future__ import annotations

from typing import Any

from markupsafe import Markup
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from benchsuite import format as fmt
from benchsuite.report.render import template
from benchsuite.report.svg import BAD, GOOD, INK, MUTED, style, svg

Fields = dict[str, Any]
WIDTH, HEIGHT = 3.4, 1.5


def document(series: list[Any], margin: float, notes: list[str]) -> Fields:
    """The whole as JSON; `series` are benchsuite.runs.history.Series. A change beyond the margin is `slower` or
    `faster`; the others are `steady`."""
    rows = []
    for one in series:
        change = one.change
        verdict = "steady"
        if change is not None and change > 1 + margin:
            verdict = "slower"
        elif change is not None and change < 1 / (1 + margin):
            verdict = "faster"
        at = one.changed_at
        rows.append(
            {
                "case": one.case,
                "verdict": verdict,
                "change": change,
                "since": at and {"run": at.run, "created": at.created, "commit": at.commit},
                "times_s": list(one.times_s),
                "runs": [{"run": p.run, "created": p.created, "commit": p.commit} for p in one.points],
                "pieces": [{"start": p.start, "end": p.end, "level_s": p.level} for p in one.pieces],
            }
        )
    order = ("slower", "faster", "steady")
    rows.sort(key=lambda row: (order.index(row["verdict"]), row["case"]))
    return {"schema_version": 1, "margin": margin, "notes": notes, "cases": rows}


def markdown(document: Fields) -> str:
    """What changed, as a table."""
    lines = ["# What changed over these runs", ""]
    changed = [row for row in document["cases"] if row["verdict"] != "steady"]
    steady = len(document["cases"]) - len(changed)
    if changed:
        lines += ["| case | last change | time | since | commit |", "|---|---|---|---|---|"]
    for row in changed:
        levels = [fmt.seconds(piece["level_s"]) for piece in row["pieces"][-2:]]
        since = row["since"]
        lines.append(
            f"| {row['case']} | {row['verdict']} {row['change']:.3f}x | {' → '.join(levels)} | {since['run']}, "
            f"{since['created']} | {(since['commit'] or 'not known')[:12]} |"
        )
    lines += ["", f"{steady} of {len(document['cases'])} cases hold their level within "]
    lines[-1] += f"{fmt.percent(document['margin'], 0)}. A change takes two runs at the new level."
    return "\n".join([*lines, *(f"Note: {note}." for note in document["notes"]), ""])


def page(document: Fields) -> str:
    """One HTML file without network or scripts: a figure for each case."""
    cells = []
    for number, row in enumerate(document["cases"]):
        said = row["verdict"]
        if row["since"] and said != "steady":
            commit = f", commit {row['since']['commit'][:12]}" if row["since"]["commit"] else ""
            said = f"{said} {row['change']:.3f}x since {row['since']['run']}{commit}"
        figure = Markup(_figure(row, number))  # drawn by us
        cells.append({"case": row["case"], "verdict": row["verdict"], "said": said, "figure": figure})
    margin = fmt.percent(document["margin"], 0)
    return template("history.html.j2", cells=cells, notes=document["notes"], margin=margin)


def _figure(row: Fields, number: int) -> str:
    with style(f"history {number}"):
        figure = Figure(figsize=(WIDTH, HEIGHT))
        axes = figure.subplots()
        times = row["times_s"]
        axes.plot(range(len(times)), times, "o", markersize=2.5, color=MUTED, alpha=0.8)
        for place, piece in enumerate(row["pieces"]):
            last = place == len(row["pieces"]) - 1
            colour = {"slower": BAD, "faster": GOOD}.get(row["verdict"], INK) if last else INK
            ends = [piece["start"] - 0.4, piece["end"] - 0.6]
            axes.plot(ends, [piece["level_s"]] * 2, color=colour, linewidth=1.8)
        axes.set_ylim(0, max(times) * 1.15)
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes.yaxis.set_major_locator(MaxNLocator(3))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda v, _: fmt.seconds(v) if v else "0"))
        figure.tight_layout(pad=0.3)
        return svg(figure, "time of a call, run by run")
