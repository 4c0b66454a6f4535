"""Several runs side by side: each variant's time to quality and cost of a step, a column for each run."""

from __future__ import annotations

from benchsuite import format
from benchsuite.report import choice, words
from benchsuite.report.blocks import Block, Cell, Column, Fields, Section, Table, Text, several

NOTE = (
    "Ratios are each run's own: a variant over the baseline on the same machine. Compare them between machines; "
    "compare absolute speeds only where the machines are alike."
)


def blocks(document: Fields) -> list[Block]:
    if not several(document):
        return []
    runs = document["runs"]
    about = [Cell("Machine"), *(Cell(choice.machine(run["hardware"]), _torch(run)) for run in runs)]
    budgets = [Cell("Budget"), *(Cell(choice.budget(document, run["name"]) or format.UNKNOWN) for run in runs)]
    found = choice.choices(document)
    answers = [
        [
            Cell(words.component_name(component), "what to choose"),
            *(_choice(found, run["name"], component) for run in runs),
        ]
        for component in dict.fromkeys(one.component for one in found)
    ]
    columns = [Column(""), *(Column(run["name"]) for run in runs)]
    rows = words.headline_rows(document["rows"])
    names = dict(zip(map(id, rows), words.names_apart(rows), strict=True))
    keys = dict.fromkeys((row["component"], row["variant"], row["baseline"], row["matching"]) for row in rows)
    lines = []
    for key in keys:
        of_run = {r["run"]: r for r in rows if (r["component"], r["variant"], r["baseline"], r["matching"]) == key}
        first = next(iter(of_run.values()))
        against = words.mid_sentence(words.variant_name(key[0], key[2]))
        lines.append([Cell(names[id(first)], f"over {against}"), *(_cell(of_run.get(run["name"])) for run in runs)])
    ratios = [
        Column("Time to quality", "below it the cost of a step"),
        *(Column(run["name"], scale="ratio") for run in runs),
    ]
    return [
        Table(columns, [about, budgets, *answers], "Runs side by side"),
        Text(NOTE, "note"),
        Table(ratios, lines, "Time to quality by run", filter=True),
    ]


def _choice(found: list[choice.Choice], run: str, component: str) -> Cell:
    one = next((c for c in found if (c.run, c.component) == (run, component)), None)
    if one is None:
        return Cell(format.UNKNOWN)
    if not one.judged:
        return Cell("quality not measured")
    return Cell(f"{'use' if one.pick else 'keep'} {one.name}", verdict="clear" if one.clear else "open")


def _cell(row: Fields | None) -> Cell:
    if row is None:
        return Cell(format.UNKNOWN)
    cost, found = choice.cost(row), row["time"]
    small = f"{format.ratio(*cost)} a step" if cost[0] is not None else ""
    if found["ratio"] is None:
        found = row["quality"]["tokens"] or {"ratio": None}
        small = small or "tokens; no step measured"
    if found["ratio"] is None:
        return Cell(format.UNKNOWN, small if cost[0] is not None else "")
    values = (found["ratio"], found["low"], found["high"])
    return Cell(format.bounded(found), small, found["verdict"], chip=False, sort=values[0], bar=values)


def _torch(run: Fields) -> str:
    version = (run["hardware"].get("identity") or {}).get("torch")
    return f"torch {version}" if version else ""


SECTION = Section(key="machines", title="Side by side", blocks=blocks)
