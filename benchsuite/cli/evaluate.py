"""`benchsuite evaluate`: one model's zero-shot accuracy, task by task."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def command(
    model: Annotated[Path, typer.Argument(help="A folder written by `benchsuite pretrain` or by a run.")],
    tasks: Annotated[
        Path | None, typer.Option(help="A folder of task files; the generated world's tasks if not given.")
    ] = None,
    limit: Annotated[int, typer.Option(help="Documents per task.", min=1)] = 300,
    threads: Annotated[int, typer.Option(help="CPU threads, 0 for all cores.", min=0)] = 0,
    json_: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")] = False,
) -> None:
    """Evaluate one model zero-shot."""
    import tempfile

    import torch

    from benchsuite.hardware.fingerprint import usable_cores
    from benchsuite.model import checkpoint
    from benchsuite.zeroshot import evaluate
    from benchsuite.zeroshot import tasks as world

    torch.set_num_threads(threads or usable_cores())
    loaded, vocabulary = checkpoint.load(model)
    with tempfile.TemporaryDirectory() as scratch:
        if tasks is None:
            world.write_tasks(Path(scratch), limit=limit)
        results = evaluate.evaluate(loaded, vocabulary, tasks or Path(scratch), limit=limit)
    if json_:
        import json

        print(
            json.dumps(
                {name: {"acc": r.acc, "n": r.n, "random_acc": r.random_acc} for name, r in results.items()}, indent=2
            )
        )
        return
    from rich.console import Console
    from rich.table import Table

    from benchsuite import format

    table = Table("task", "acc", "random", "documents", box=None, header_style="bold", pad_edge=False)
    for name, result in results.items():
        table.add_row(name, format.percent(result.acc), format.percent(result.random_acc), str(result.n))
    mean = sum(result.acc for result in results.values()) / len(results)
    table.add_row("[bold]mean[/bold]", f"[bold]{format.percent(mean)}[/bold]", "", "")
    Console().print(table)
