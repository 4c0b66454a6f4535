"""`benchsuite list`: what there is to choose from."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from benchsuite.zeroshot import bigscience


class What(StrEnum):
    """The things that can be listed."""

    suites = "suites"
    components = "components"
    implementations = "implementations"
    corpora = "corpora"
    tasks = "tasks"
    bigscience27 = "bigscience27"
    scales = "scales"


def command(
    what: Annotated[
        What, typer.Argument(help="suites, scales, components, implementations, corpora, tasks or bigscience27")
    ],
    json_: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")] = False,
) -> None:
    """List suites, their scales, components, implementations, corpora, tasks, or the original study's 27 tasks."""
    rows = {
        What.suites: _suites,
        What.components: _components,
        What.implementations: _implementations,
        What.corpora: _corpora,
        What.tasks: _tasks,
        What.bigscience27: _bigscience27,
        What.scales: _scales,
    }[what]()
    if json_:
        import json

        print(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in rows[0]:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(str(value) for value in row.values()))
    Console().print(table)
    if what == What.bigscience27:
        from benchsuite.zeroshot import bigscience

        Console(highlight=False).print(f"\n{bigscience.WHICH}")


def _suites() -> list[dict[str, str]]:
    from benchsuite.runs.suite import packaged

    return [{"suite": name, "what it does": description} for name, description in packaged().items()]


def _components() -> list[dict[str, str]]:
    from benchsuite import components

    return [
        {"component": component, "variant": entry.name, "what it is": entry.summary, "source": entry.source}
        for component in components.COMPONENTS
        for entry in components.variants(component).values()
    ]


def _implementations() -> list[dict[str, str]]:
    from benchsuite import components

    return [
        {"implementation": name, "what it is": text, "components": ", ".join(_components_with(name))}
        for name, text in components.IMPLEMENTATION_SUMMARIES.items()
    ]


def _components_with(implementation: str) -> list[str]:
    from benchsuite import components

    return [
        name
        for name in components.COMPONENTS
        if any(implementation in entry.implementations for entry in components.variants(name).values())
    ]


def _corpora() -> list[dict[str, str]]:
    from benchsuite.pretrain import corpora

    return [{"corpus": name, "what it is": text} for name, text in corpora.names().items()]


def _tasks() -> list[dict[str, str]]:
    from benchsuite.zeroshot import fact_tasks, tasks

    infos = [(name, 1 / task.choices, task.mirrors, task.description) for name, task in tasks.TASKS.items()]
    infos += [(info.name, info.random_acc, info.mirrors, info.description) for info in fact_tasks.described()]
    return [
        {"task": name, "random acc": f"{random:.2f}", "mirrors": ", ".join(mirrors) or "-", "what it asks": what}
        for name, random, mirrors, what in infos
    ]


def _bigscience27() -> list[dict[str, str]]:
    from benchsuite.zeroshot import bigscience

    return [
        {
            "task of 2022": task.original,
            "lm-eval today": task.name,
            "documents": f"{task.documents:,}",
            "random": f"{task.random:.2f}",
            "what changed": task.change or "-",
            "offline": _offline(task),
        }
        for task in bigscience.TASKS
    ]


def _offline(task: bigscience.Task) -> str:
    if task.offline is None:
        return "no"
    return f"{task.offline:,}: {task.other}" if task.other else "the same"


def _scales() -> list[dict[str, str]]:
    from benchsuite.runs import suite_file
    from benchsuite.runs.suite import scales

    rows = []
    for name in scales():
        read = suite_file.read("ablation-position", scale=name)
        assert read.quality is not None
        model, train = read.model, read.quality.train
        shape = f"{model.layers} x {model.width}, {model.heads} heads, {model.seq} tokens"
        rows.append({"scale": name, "model": shape, "tokens": f"{train.tokens:,}", "batch": str(train.batch)})
    return rows
