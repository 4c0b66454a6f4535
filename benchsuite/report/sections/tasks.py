"""Each task by itself: the baseline's accuracy, and every variant's difference from it."""

from __future__ import annotations

from benchsuite import format
from benchsuite.report import words
from benchsuite.report.blocks import Block, Cell, Column, Fields, Figure, Section, Table, Text, several
from benchsuite.report.chart import Axis, Estimate, forest, panels

NOTE = (
    "In the table, ± is half of the 95% interval and the accuracy stands below; the baseline's ± covers documents "
    "alone. ▲ and ▼ are resolved after Holm's correction over the tasks of a column; △ and ▽ exclude zero only when "
    "looked at alone."
)

FORESTS = (
    "Points of accuracy over the baseline; right is better. A filled point is resolved after Holm's correction over "
    "the tasks of its variant."
)


def blocks(document: Fields) -> list[Block]:
    found: list[Block] = []
    for run in document["runs"]:
        tasks = [task for task in document["tasks"] if task["run"] == run["name"]]
        if not tasks:
            continue
        rows = [r for r in words.headline_rows(document["rows"]) if r["run"] == run["name"] and r["quality"]["tasks"]]
        name = f"Task by task, {run['name']}" if several(document) else "Task by task"
        sizes = {task["n"] for task in tasks}
        notes = [f"{run['name']}:"] if several(document) else []
        notes += [f"{sizes.pop()} documents in each task."] if len(sizes) == 1 else []
        notes += [_chance_note(tasks)]
        columns = [Column("Task"), Column("Random", numeric=True), Column("Baseline", numeric=True)]
        columns += [
            Column(apart, words.component_name(row["component"]), numeric=True)
            for row, apart in zip(rows, words.names_apart(rows), strict=True)
        ]
        lines = [[*_task(task), *(_cell(row["quality"]["tasks"].get(task["name"])) for row in rows)] for task in tasks]
        found += [Text(" ".join(filter(None, notes)), "note")]
        table = Table(columns, lines, name)
        found.append(_figure(tasks, rows, table) if rows else table)
    return found


def _figure(tasks: list[Fields], rows: list[Fields], table: Table) -> Figure:
    alt = "Difference in accuracy of every variant from the baseline, with 95% intervals, a panel for each task"
    named = list(zip(rows, words.names_apart(rows), strict=True))
    return Figure(lambda width: forests(tasks, named, width), alt, f"{FORESTS} {NOTE}", table)


def forests(tasks: list[Fields], named: list[tuple[Fields, str]], width: int) -> str:
    """Return a forest plot for each task, all on one scale."""
    columns = 3 if width > 700 else 1
    each = (width - 18 * (columns - 1)) // columns
    found = [row["quality"]["tasks"].get(task["name"]) for task in tasks for row, _ in named]
    ends = sorted(
        100 * abs(v) for one in found if one for v in (one["low"], one["high"], one["delta"]) if v is not None
    )
    least = max((100 * abs(one["delta"]) for one in found if one), default=1.0)  # every estimate is seen
    reach = 1.08 * max(1.0, least, min(ends[-1], 2 * ends[len(ends) // 2])) if ends else 1.0
    x = Axis("", -reach, reach, told=lambda v: f"{v:+g}" if v else "0")
    charts = []
    for task in tasks:
        scores = [(_short(row, name), row["quality"]["tasks"].get(task["name"])) for row, name in named]
        lines = [_estimate(name, one) for name, one in scores if one]
        if lines:
            baseline = _baseline(task)
            chance = ", at chance" if baseline["above_chance"] is False else ""
            title = f"{task['name']} · baseline {format.percent(baseline['acc'], 0)}{chance}"
            charts.append(forest(each, title, lines, x, 0, left=138))
    return panels(width, charts, columns)


def _short(row: Fields, name: str) -> str:
    """Return a name that fits beside a forest plot, where the full one does not."""
    return name if len(name) <= 18 else words.short_name(row["component"], row["variant"])


def _estimate(name: str, one: Fields) -> Estimate:
    low, high = (None if one[end] is None else 100 * one[end] for end in ("low", "high"))
    told = f"{name}: {format.points(one['delta'], one['low'], one['high'])} points, {one['verdict']}"
    return Estimate(name, 100 * one["delta"], low, high, one["verdict"] or "unresolved", told)


def _task(task: Fields) -> tuple[Cell, Cell, Cell]:
    baseline = _baseline(task)
    half = "" if baseline["half"] is None else f"±{format.points_size(baseline['half'])}"
    small = ", ".join(filter(None, (half, "at chance" if baseline["above_chance"] is False else "")))
    return (
        Cell(task["name"], task["family"] or ""),
        Cell(format.percent(task["random_acc"])),
        Cell(format.percent(baseline["acc"]), small),
    )


def _baseline(task: Fields) -> Fields:
    return next(iter(task["baselines"].values()), {"acc": None, "half": None, "above_chance": None})


def _cell(task: Fields | None) -> Cell:
    if task is None:
        return Cell(format.UNKNOWN)
    half = "" if task["low"] is None else f" ±{format.points_size((task['high'] - task['low']) / 2)}"
    covers_zero = task["low"] is None or task["low"] <= 0 <= task["high"]
    mark = {"better": " ▲", "worse": " ▼"}.get(task["verdict"], "")
    if not mark and not covers_zero:
        mark = " △" if task["delta"] > 0 else " ▽"
    small = format.percent(task["acc"])
    return Cell(f"{format.points(task['delta'])}{half}{mark}", small, task["verdict"], chip=False, sort=task["delta"])


def _chance_note(tasks: list[Fields]) -> str:
    at_chance = sum(_baseline(task)["above_chance"] is False for task in tasks)
    if not at_chance:
        return ""
    return (
        f"The baseline is at chance on {at_chance} of {len(tasks)} tasks at this budget. Those that it learns at none "
        "of its budgets are not in the mean."
    )


SECTION = Section(key="tasks", title="Tasks", blocks=blocks, absent="zero-shot tasks")
