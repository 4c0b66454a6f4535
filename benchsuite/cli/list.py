"""`benchsuite list`: what there is to choose from."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

Value = str | int | float | list[str] | None
Row = dict[str, Value]
# The keys are for programs; a column is called so, or as its key.
TITLES = {"description": "what it is", "task_of_2022": "task of 2022", "change": "what changed"}


class What(StrEnum):
    """The things that can be listed."""

    suites = "suites"
    components = "components"
    implementations = "implementations"
    corpora = "corpora"
    tasks = "tasks"
    bigscience27 = "bigscience27"
    scales = "scales"
    devices = "devices"


def command(
    what: Annotated[
        What,
        typer.Argument(help="suites, scales, components, implementations, corpora, tasks, bigscience27, devices"),
    ],
    json_: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")] = False,
) -> None:
    """List suites, their scales, components, implementations, corpora, tasks, the original study's 27 tasks, or GPUs
    whose peaks are known."""
    rows = {
        What.suites: _suites,
        What.components: _components,
        What.implementations: _implementations,
        What.corpora: _corpora,
        What.tasks: _tasks,
        What.bigscience27: _bigscience27,
        What.scales: _scales,
        What.devices: _devices,
    }[what]()
    if json_:
        import json

        print(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    from rich.markup import escape
    from rich.table import Table

    from benchsuite import terminal

    table = Table(box=None, header_style="bold", pad_edge=False)
    for key in rows[0]:
        table.add_column(TITLES.get(key, key.replace("_", " ")))
    for row in rows:
        table.add_row(*(escape(_cell(value)) for value in row.values()))
    terminal.show(table)
    if what == What.bigscience27:
        from benchsuite.zeroshot import bigscience

        terminal.console().print(f"\n{bigscience.WHICH}")


def _cell(value: Value) -> str:
    match value:
        case None | []:
            return "-"
        case list():
            return ", ".join(value)
        case float():
            return f"{value:.2f}"
        case int():
            return f"{value:,}"
    return str(value)


def _suites() -> list[Row]:
    from benchsuite.suite.source import packaged

    return [{"suite": name, "description": description} for name, description in packaged().items()]


def _components() -> list[Row]:
    from benchsuite import components

    return [
        {"component": component, "variant": entry.name, "description": entry.summary, "source": entry.source}
        for component in components.COMPONENTS
        for entry in components.variants(component).values()
    ]


def _implementations() -> list[Row]:
    from benchsuite import components

    return [
        {"implementation": name, "description": text, "components": _components_with(name)}
        for name, text in components.IMPLEMENTATION_SUMMARIES.items()
    ]


def _components_with(implementation: str) -> list[str]:
    from benchsuite import components

    return [
        name
        for name in components.COMPONENTS
        if any(implementation in entry.implementations for entry in components.variants(name).values())
    ]


def _corpora() -> list[Row]:
    from benchsuite.pretrain import corpora

    return [{"corpus": name, "description": text} for name, text in corpora.names().items()]


def _tasks() -> list[Row]:
    from benchsuite.zeroshot import fact_tasks, tasks

    infos = [(name, 1 / task.choices, task.mirrors, task.description) for name, task in tasks.TASKS.items()]
    infos += [(info.name, info.random_acc, info.mirrors, info.description) for info in fact_tasks.described()]
    return [
        {"task": name, "random_acc": random, "mirrors": list(mirrors), "description": what}
        for name, random, mirrors, what in infos
    ]


def _bigscience27() -> list[Row]:
    from benchsuite.zeroshot import bigscience

    return [
        {
            "task_of_2022": task.original,
            "task": task.name,
            "documents": task.documents,
            "random_acc": task.random,
            "change": task.change or None,
            "offline_documents": task.offline,
            "offline_change": task.other or None,
        }
        for task in bigscience.TASKS
    ]


def _scales() -> list[Row]:
    from benchsuite.suite import source
    from benchsuite.suite.source import scales

    rows: list[Row] = []
    for name in scales():
        read = source.read("ablation-activation", scale=name)
        assert read.quality is not None
        model, train = read.model, read.quality.train
        shape = {key: getattr(model, key) for key in ("layers", "width", "heads", "seq")}
        rows.append({"scale": name, **shape, "train_tokens": train.tokens, "batch": train.batch})
    return rows


def _devices() -> list[Row]:
    from benchsuite.hardware import peaks

    return [
        {
            "device": name,
            "compute": peak.compute,
            "bfloat16_tflop_per_s": peak.tflop_per_s.get("bfloat16"),
            "float32_tflop_per_s": peak.tflop_per_s.get("float32"),
            "gb_per_s": peak.gb_per_s,
            "source": peak.source,
        }
        for name, peak in peaks.devices().items()
    ]
