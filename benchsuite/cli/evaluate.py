"""`benchsuite evaluate`: one model's zero-shot scores, task by task."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer


def command(
    model: Annotated[
        str,
        typer.Argument(
            help="A folder written by `benchsuite pretrain` or by a run; or a transformers checkpoint, by folder or as "
            "OWNER/NAME of the hub."
        ),
    ],
    tasks: Annotated[
        str | None,
        typer.Option(
            help="A folder of task files, or names of lm-eval tasks with commas between; bigscience27 are the original "
            "study's, bigscience27-offline those that need no network. Default: the generated world's tasks."
        ),
    ] = None,
    revision: Annotated[str | None, typer.Option(help="Of the hub: a branch such as global_step117000, a tag.")] = None,
    gguf: Annotated[str | None, typer.Option(help="The GGUF file of the checkpoint.")] = None,
    limit: Annotated[int | None, typer.Option(help="Documents per task; of generated tasks 300.", min=1)] = None,
    device: Annotated[str, typer.Option(help="cpu or cuda")] = "cpu",
    threads: Annotated[int, typer.Option(help="CPU threads, 0 for all cores.", min=0)] = 0,
    json_: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")] = False,
) -> None:
    """Evaluate one model zero-shot."""
    import torch

    from benchsuite.hardware.fingerprint import usable_cores
    from benchsuite.model import checkpoint

    torch.set_num_threads(threads or usable_cores())
    ours = (Path(model) / checkpoint.SPEC).exists()
    if tasks is None or Path(tasks).is_dir():
        _ours(model, tasks, ours, revision or gguf, limit, device, json_)
    else:
        _named(model, tasks.split(","), ours, revision, gguf, limit, device, json_)


def _ours(
    model: str, tasks: str | None, ours: bool, foreign: str | None, limit: int | None, device: str, json_: bool
) -> None:
    """Our model on task files, or on those of the generated world."""
    import tempfile

    from benchsuite import format
    from benchsuite.errors import UserError
    from benchsuite.model import checkpoint
    from benchsuite.zeroshot import evaluate
    from benchsuite.zeroshot import tasks as world

    if (not ours and Path(model, "config.json").exists()) or foreign:
        raise UserError(
            f"{model} is a checkpoint of transformers: name tasks for it",
            hint="--tasks bigscience27-offline, or piqa,arc_easy",
        )
    loaded, vocabulary = checkpoint.load(model, device=device)
    with tempfile.TemporaryDirectory() as scratch:
        if tasks is None:
            world.write_tasks(Path(scratch), limit=limit or 300)
        folder = Path(tasks or scratch)
        results = evaluate.evaluate(loaded, vocabulary, folder, limit=limit or 300)
    if json_:
        _print_json({name: {"acc": r.acc, "n": r.n, "random_acc": r.random_acc} for name, r in results.items()})
        return
    rows = [(name, format.percent(r.acc), format.percent(r.random_acc), str(r.n)) for name, r in results.items()]
    mean = sum(result.acc for result in results.values()) / len(results)
    _print_table(("task", "acc", "random", "documents"), rows, ("mean", format.percent(mean), "", ""))


def _named(
    model: str,
    names: list[str],
    ours: bool,
    revision: str | None,
    gguf: str | None,
    limit: int | None,
    device: str,
    json_: bool,
) -> None:
    """Any model on tasks of lm-eval."""
    from rich.console import Console

    from benchsuite import format
    from benchsuite.zeroshot import bigscience, harness
    from benchsuite.zeroshot.lm import BenchsuiteLM

    lm = (
        BenchsuiteLM(model, device=device)
        if ours
        else harness.transformers_model(model, revision=revision, gguf=gguf, device=device)
    )
    say = Console(stderr=True, highlight=False).print
    scores = harness.score(lm, names, limit=limit, say=say)
    original = {task.name for task in bigscience.TASKS}
    mean = None
    if original & scores.keys():
        mean = bigscience.normalised_mean({name: s.value for name, s in scores.items()})
    if json_:
        tasks: dict[str, Any] = {name: {**vars(s)} for name, s in scores.items()}
        _print_json({"schema_version": 1, "tasks": tasks, "normalised_mean": mean})
        return
    rows = [
        (
            name,
            s.metric,
            format.percent(s.value) + (f" ± {format.percent(s.stderr)}" if s.stderr is not None else ""),
            format.percent(s.random),
            str(s.n),
        )
        for name, s in scores.items()
    ]
    last = None
    if mean is not None:
        last = (f"normalised mean of {len(original & scores.keys())}", "", format.percent(mean), "0.0%", "")
    _print_table(("task", "metric", "score ± standard error", "random", "documents"), rows, last)


def _print_json(document: dict[str, Any]) -> None:
    import json

    print(json.dumps(document, indent=2))


def _print_table(columns: tuple[str, ...], rows: list[tuple[str, ...]], last: tuple[str, ...] | None) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(*columns, box=None, header_style="bold", pad_edge=False)
    for row in rows:
        table.add_row(*row)
    if last is not None:
        table.add_row(*last, style="bold")
    Console(highlight=False).print(table)
