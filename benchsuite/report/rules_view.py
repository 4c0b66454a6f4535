"""The rules of learning as tables of strings and as a figure; see `benchsuite.report.view`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from benchsuite import format
from benchsuite.report.rules import RULES
from benchsuite.report.svg import INK, MUTED, SERIES, style, svg

Fields = dict[str, Any]
NAMES = {"backprop": "backpropagation", "dfa": "direct feedback alignment", "shallow": "shallow"}
DIGITS = {"PSNR": 1, "AUC": 3, "accuracy": 3}


def table(document: Fields) -> list[Fields]:
    """One line for each architecture and task."""
    return [
        {
            "run": row["run"],
            "name": row["title"],
            "task": row["task_title"],
            "of": f"generated, stands for {', '.join(row['stands_for'])}" if row["generated"] else "real data",
            "metric": row["metric"],
            "seeds": str(row["seeds"]),
            "scores": [_score(row, rule) for rule in RULES],
            "known": _known(row),
            "fraction": "not defined" if row["fraction"]["reason"] else format.share(*_triple(row["fraction"])),
            "fraction_reason": row["fraction"]["reason"] or "",
            "against_shallow": row["dfa_over_shallow"]["verdict"] or "",
            "speed": _ratio(row["speed"]["dfa"]["speed"]),
            "speed_verdict": row["speed"]["dfa"]["speed"]["verdict"] or "",
            "shallow_speed": _ratio(row["speed"]["shallow"]["speed"]),
            "memory": format.ratio(row["speed"]["dfa"]["memory"]["ratio"]),
            "peak": format.bytes_(row["speed"]["dfa"]["memory"]["peak_bytes"]),
            "angle": format.number(row["rules"]["dfa"]["angle"]),
            "published": [_published(name, quoted) for name, quoted in row["published"].items()],
        }
        for row in document["rules"]
    ]


def searches(document: Fields) -> list[Fields]:
    """What the choice of the learning rate cost each rule, and what was chosen."""
    return [
        {
            "run": row["run"],
            "name": row["title"],
            "task": row["task_title"],
            "rules": [
                {
                    "trainings": str(told["trainings"] or 0),
                    "time": format.seconds(told["search_time_s"]),
                    "rates": ", ".join(format.number(rate) for rate in told["lr"] or []) or format.UNKNOWN,
                }
                for told in (row["rules"][rule] for rule in RULES)
            ],
        }
        for row in document["rules"]
    ]


def search_total(document: Fields) -> str:
    """The trainings of all searches and their time, in a sentence; "" without any."""
    told = [row["rules"][rule] for row in document["rules"] for rule in RULES]
    trainings = sum(one["trainings"] or 0 for one in told)
    if not trainings:
        return ""
    time_s = sum(one["search_time_s"] or 0.0 for one in told)
    return f"{trainings} trainings and {format.seconds(time_s)} of one core in all."


def expectations(document: Fields) -> list[str]:
    """What was expected, and what came out, as sentences."""
    outcome = {True: "as expected", False: "not as expected", None: "not judged: too few seeds"}
    return [
        f"Expected: {told['expected']}. {told['observed'][:1].upper()}{told['observed'][1:]}: {outcome[told['met']]}."
        for told in document["rule_expectations"]
    ]


def views(document: Fields) -> list[Fields]:
    """Rendered views as PNG in base64, the true one first."""
    names = {"truth": "the scene", **NAMES}
    return [
        {
            "run": row["run"],
            "task": row["task_title"],
            "images": [
                {"name": names[key], "png": png, "psnr": "" if key == "truth" else _score(row, key)}
                for key, png in row["pictures"].items()
            ],
        }
        for row in document["rules"]
        if row["pictures"]
    ]


def sentences(document: Fields) -> list[str]:
    """What the table comes to."""
    found = []
    for row in document["rules"]:
        part = row["fraction"]
        if part["value"] is None:
            continue
        way = format.share(*_triple(part))
        found.append(
            f"{row['title']} on {row['task_title']}: DFA goes {way} of the way from shallow to backpropagation."
        )
    return found


def _score(row: Fields, rule: str) -> str:
    told, digits = row["rules"][rule], DIGITS[row["metric"]]
    if told["value"] is None:
        return format.UNKNOWN
    half = "" if told["low"] is None else f" ±{(told['high'] - told['low']) / 2:.{digits}f}"
    return f"{told['value']:.{digits}f}{half}"


def _known(row: Fields) -> str:
    digits = DIGITS[row["metric"]]
    names = {"guess": row["chance"], "best possible": row["ceiling"]}
    return ", ".join(f"{name} {value:.{digits}f}" for name, value in names.items() if value is not None)


def _triple(found: Mapping[str, Any]) -> tuple[float | None, float | None, float | None]:
    return found["value"], found["low"], found["high"]


def _ratio(found: Fields) -> str:
    return format.ratio(found["ratio"], found["low"], found["high"])


def _published(task: str, quoted: Fields) -> str:
    digits = DIGITS[quoted["metric"]]
    scores = [quoted[rule] for rule in RULES]
    told = " / ".join("-" if score is None else f"{score:.{digits}f}" for score in scores)
    way = ""
    if quoted["shallow"] is not None:
        part = (quoted["dfa"] - quoted["shallow"]) / (quoted["backprop"] - quoted["shallow"])
        way = f", {format.share(part)} of the way"
    return f"{task}: {told}{way} ({'verified' if quoted['verified'] else 'recalled, not confirmed'})"


def curves(document: Fields, width: float) -> str | None:
    """The score on validation data against training steps, a panel for each architecture and task, a line for each
    seed; None where no rules were compared."""
    rows = document["rules"]
    if not rows:
        return None
    with style(f"rules {width}"):
        columns = 4 if width > 5 else 2
        lines = -(-len(rows) // columns)
        figure = Figure(figsize=(width, 1.75 * lines + 0.3))
        grid = figure.subplots(lines, columns, squeeze=False)
        colours = dict(zip(RULES, [MUTED, *SERIES], strict=False))
        for axes, row in zip(grid.flat, rows, strict=False):
            for rule in RULES:
                for number, curve in enumerate(row["rules"][rule]["curves"]):
                    label = NAMES[rule] if number == 0 else None
                    axes.plot(*zip(*curve, strict=True), color=colours[rule], linewidth=0.9, alpha=0.8, label=label)
            axes.set_title(f"{row['title'].split()[0]}, {row['task']}", loc="left", fontsize=8.5, color=INK)
            axes.xaxis.set_major_locator(MaxNLocator(3))
            axes.yaxis.set_major_locator(MaxNLocator(4))
            axes.xaxis.set_major_formatter(FuncFormatter(lambda v, _: format.tick(v)))
            axes.tick_params(labelsize=7.5)
            axes.set_xlim(left=0)
        for axes in list(grid.flat)[len(rows) :]:
            axes.set_visible(False)
        handles, labels = grid[0, 0].get_legend_handles_labels()
        figure.legend(
            handles, labels, loc="lower center", ncols=3, fontsize=8.5, labelcolor=INK, frameon=False, handlelength=1.4
        )
        figure.tight_layout(pad=0.4, w_pad=0.9, h_pad=0.9, rect=(0, 0.3 / (1.75 * lines + 0.3), 1, 1))
        return svg(figure, "Score on validation data against training steps by each rule of learning")
