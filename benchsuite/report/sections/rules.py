"""The rules of learning, architecture by architecture: scores, DFA's part of the way, cost, published figures."""

from __future__ import annotations

from benchsuite import format
from benchsuite.report import rules, rules_figure
from benchsuite.report.blocks import Block, Cell, Column, Fields, Figure, Fold, Items, Section, Table, Text, run_of
from benchsuite.report.rules import DFA, RULES, SHALLOW
from benchsuite.report.rules_figure import NAMES

SHORT = {"backprop": "Backpropagation", "dfa": "DFA", "shallow": "Shallow"}
DIGITS = {"PSNR": 1, "AUC": 3, "accuracy": 3}
NOTE = (
    "Scores on test data, the larger the better, ± half their 95% interval over seeds. The way is that from the "
    "shallow rule, by which only the last part learns, to backpropagation: 0% and 100%; its interval is Fieller's over "
    "paired seeds. Speed and peak memory are those of a training step over backpropagation's, in turns. Alignment is "
    "the mean cosine between what DFA feeds back and the true gradient, after training."
)
QUOTED = (
    "The original study (arXiv:2006.12878) on the real data. Verified figures were read in its code, recalled ones are "
    "not confirmed; its tables of graph networks were not found."
)
OUTCOME = {True: "as expected", False: "not as expected", None: "not resolved, more seeds may tell"}


def blocks(document: Fields) -> list[Block]:
    rows = document["rules"]
    if not rows:
        return []
    told = [f"Expected: {e['expected']}. {e['observed']}: {OUTCOME[e['met']]}." for e in rules.expectations(rows)]
    by_rules = sentences(document)
    found: list[Block] = [Items(by_rules)] if by_rules else []
    found += [Text(NOTE, "note"), _table(document), Items(told)]
    if published := _published(rows):
        found += [Text(QUOTED, "note"), published]
    found += [_views(row) for row in rows if row["pictures"]]
    found.append(
        Figure(
            lambda width: rules_figure.curves(rows, width),
            "Score on validation data against training steps, a panel for each architecture and task",
            "Score on validation data against training steps, a line for each seed at the learning rate chosen for it.",
        )
    )
    return [*found, Fold(f"What the search cost: {_total(rows)}", [_searches(document)])]


def sentences(document: Fields) -> list[str]:
    """Return a sentence for each row of the table that has a fraction."""
    return [
        f"{row['title']} on {row['task_title']}: DFA goes {_way(row)} of the way from shallow to backpropagation."
        for row in document["rules"]
        if row["fraction"]["value"] is not None
    ]


def _table(document: Fields) -> Table:
    columns = [
        Column("Architecture", "task"),
        Column("Metric"),
        *(Column(SHORT[rule], numeric=True) for rule in RULES),
        Column("DFA's part of the way", numeric=True),
        Column("Speed of DFA", "of shallow", numeric=True),
        Column("Memory of DFA", numeric=True),
        Column("Alignment", numeric=True),
    ]
    return Table(columns, [_line(document, row) for row in document["rules"]], "Rules of learning by architecture")


def _line(document: Fields, row: Fields) -> list[Cell]:
    of = f"generated, stands for {', '.join(row['stands_for'])}" if row["generated"] else "real data"
    about = "; ".join(filter(None, (f"{row['task_title']}: {of}", run_of(document, row))))
    dfa, shallow = row["speed"][DFA], row["speed"][SHALLOW]
    return [
        Cell(row["title"], about),
        Cell(row["metric"], _known(row)),
        *(Cell(_score(row, rule), sort=row["rules"][rule]["value"]) for rule in RULES),
        Cell(_way(row), row["fraction"]["reason"] or "", sort=row["fraction"]["value"]),
        Cell(
            _ratio(dfa["speed"]),
            _ratio(shallow["speed"]),
            dfa["speed"]["verdict"] or "",
            chip=False,
            sort=dfa["speed"]["ratio"],
            warn=dfa["speed"]["reason"] or "",
        ),
        Cell(format.ratio(dfa["memory"]["ratio"]), format.bytes_(dfa["memory"]["peak_bytes"])),
        Cell(format.number(row["rules"][DFA]["angle"]), sort=row["rules"][DFA]["angle"]),
    ]


def _searches(document: Fields) -> Table:
    """Return the cost of the search of learning rates for each rule, and the rate that was chosen."""
    columns = [
        Column("Architecture", "task"),
        *(Column(SHORT[rule], "trainings, their time; rates chosen", numeric=True) for rule in RULES),
    ]
    rows = []
    for row in document["rules"]:
        told = [row["rules"][rule] for rule in RULES]
        rows.append(
            [
                Cell(row["title"], "; ".join(filter(None, (row["task_title"], run_of(document, row))))),
                *(
                    Cell(
                        f"{one['trainings'] or 0}, {format.seconds(one['search_time_s'])}",
                        ", ".join(format.number(rate) for rate in one["lr"] or []),
                    )
                    for one in told
                ),
            ]
        )
    return Table(columns, rows, "Cost of the search")


def _total(rows: list[Fields]) -> str:
    told = [row["rules"][rule] for row in rows for rule in RULES]
    trainings, time_s = (sum(one[key] or 0 for one in told) for key in ("trainings", "search_time_s"))
    return f"{trainings} trainings, {format.seconds(time_s)} of one core, the same number for each rule"


def _views(row: Fields) -> Figure:
    """Rendered views, the true one first."""
    images = [(row["pictures"]["truth"], "the scene")]
    for rule in RULES:
        if rule in row["pictures"]:
            images.append((row["pictures"][rule], f"{NAMES[rule]}, {_score(row, rule)} dB"))
    return Figure(
        lambda width: rules_figure.views(images),
        "A view as it is, and as the models of the three rules render it",
        f"{row['task_title']}: a view that was not trained on, by the models of the first seed. Below each the PSNR "
        "over all test views and seeds.",
    )


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


def _way(row: Fields) -> str:
    part = row["fraction"]
    return "not defined" if part["reason"] else format.share(part["value"], part["low"], part["high"])


def _ratio(found: Fields) -> str:
    return format.ratio(found["ratio"], found["low"], found["high"])


def _published(rows: list[Fields]) -> Table | None:
    """The figures of the original study, beside the part of the way that was found here."""
    found: dict[tuple[str, str], list[Cell]] = {}
    for row in rows:
        for task, quoted in row["published"].items():
            digits, part = DIGITS[quoted["metric"]], None
            if quoted["shallow"] is not None:
                part = (quoted["dfa"] - quoted["shallow"]) / (quoted["backprop"] - quoted["shallow"])
            scores = ("not known" if quoted[rule] is None else f"{quoted[rule]:.{digits}f}" for rule in RULES)
            found[row["title"], task] = [
                Cell(row["title"], task),
                Cell(quoted["metric"]),
                *(Cell(score) for score in scores),
                Cell("not known" if part is None else format.share(part)),
                Cell(_way(row), row["task_title"]),
                Cell("verified" if quoted["verified"] else "recalled"),
            ]
    columns = [
        Column("Architecture", "task"),
        Column("Metric"),
        *(Column(SHORT[rule], numeric=True) for rule in RULES),
        Column("DFA's part of the way", numeric=True),
        Column("Part of the way here", numeric=True),
        Column("Source"),
    ]
    return Table(columns, list(found.values()), "Published figures") if found else None


SECTION = Section(
    key="rules", title="Rules of learning, architecture by architecture", blocks=blocks, collect=rules.rows
)
