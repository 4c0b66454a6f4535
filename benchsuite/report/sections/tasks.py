"""Each task by itself: the baseline's accuracy, and every variant's difference from it."""

from __future__ import annotations

from benchsuite import format
from benchsuite.report import words
from benchsuite.report.blocks import Block, Cell, Column, Fields, Section, Table, Text, several

NOTE = (
    "Differences from the baseline in points, ± half of the 95% interval; below it the accuracy. The baseline's ± "
    "covers documents alone. ▲ and ▼ are resolved after Holm's correction over the tasks of a column; △ and ▽ exclude "
    "zero only when looked at alone."
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
        found += [Text(" ".join(filter(None, notes)), "note"), Table(columns, lines, name)]
    return [Text(NOTE, "note"), *found] if found else []


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
        f"The baseline is at chance on {at_chance} of {len(tasks)} tasks: unless a variant learns them, they add noise "
        "to the mean and nothing else."
    )


SECTION = Section(key="tasks", title="Task by task", blocks=blocks, absent="zero-shot tasks")
