"""The tasks that can tell models of this budget apart, and those in the index."""

from __future__ import annotations

from benchsuite import format
from benchsuite.report.blocks import Block, Cell, Column, Fields, Section, Table, Text, several
from benchsuite.verdicts import task_index

NOTE = (
    "Accuracy, p (the probability of the right answer among the choices), bits per byte of the right answer and its "
    "margin over the likeliest other choice in bits are the baseline's. Signal to noise is the range of the models' "
    "means over the standard deviation of seeds (arXiv:2508.13144), of accuracy and of p."
)
NAMES = (
    *("Questions of documents", "Chance", "Ceiling", "Accuracy", "p", "Bits per byte", "Margin", "Signal to noise"),
    *("of p", "Index"),
)


def blocks(document: Fields) -> list[Block]:
    found: list[Block] = []
    for run in dict.fromkeys(entry["run"] for entry in document["task_index"]):
        entries = [entry for entry in document["task_index"] if entry["run"] == run]
        whole = task_index.summary(entries)
        columns = [Column("Task"), *(Column(name, numeric=True) for name in NAMES)]
        rows = [_row(entry, entry["name"], entry["state"] or "in the index") for entry in entries]
        name = f"Tasks of {run}" if several(document) else "Tasks"
        found += [Text(_note(entries, whole), "note"), Table(columns, [*rows, _row(whole, "index", "")], name)]
    return [Text(task_index.RULE, "note"), Text(NOTE, "note"), *found] if found else []


def _note(entries: list[Fields], whole: Fields) -> str:
    left_out = [f"{entry['name']} ({entry['state']})" for entry in entries if entry["state"]]
    ratios = [entry["signal_to_noise"]["equal_models"] for entry in entries]
    note = f"The index is the mean over {whole['tasks']} of {whole['of']} tasks"
    note += f"; left out: {', '.join(left_out)}." if left_out and whole["tasks"] < whole["of"] else "."
    if left_out and whole["tasks"] == whole["of"]:
        note += f" The rule leaves none of them: {', '.join(left_out)}."
    if ratios and ratios[0] is not None:
        note += f" Models without a difference would show a signal to noise of {format.number(ratios[0])}."
    return note


def _row(entry: Fields, name: str, state: str) -> list[Cell]:
    ratio = entry.get("signal_to_noise")
    texts = (
        f"{entry['questions']} of {entry['documents']}" if "questions" in entry else "",
        format.percent(entry["chance"]),
        format.percent(entry["ceiling"], 0),
        format.percent(entry["acc"]),
        format.percent(entry["probability"]),
        format.number(entry["bits_per_byte"]),
        format.number(entry["margin"]),
        format.number(ratio["acc"]) if ratio else "",
        format.number(ratio["probability"]) if ratio else "",
        state,
    )
    return [Cell(name), *map(Cell, texts)]


SECTION = Section(key="task_index", title="What the tasks can tell", blocks=blocks, collect=task_index.told, fold=True)
