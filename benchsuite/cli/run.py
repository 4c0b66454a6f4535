"""`benchsuite run SUITE`: measure, then report. `--resume DIR` continues a run that was ended, however it was
ended."""

from __future__ import annotations

import json
import shlex
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from benchsuite.cli import exit_codes, options
from benchsuite.errors import Interrupted, UserError
from benchsuite.limits import MOST_RANKS

if TYPE_CHECKING:
    from rich.console import Console

    from benchsuite import Run
    from benchsuite.engine.session import Options


def command(
    suite: Annotated[str | None, typer.Argument(help="The name of a suite, or the path of a suite file.")] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="The run's directory; default: runs/SUITE-TIME.")
    ] = None,
    resume: Annotated[Path | None, typer.Option(help="Continue the run in this directory.")] = None,
    device: Annotated[str | None, typer.Option(help=options.DEVICES, show_default="auto")] = None,
    only: options.Only = None,
    sets: options.Sets = None,
    seeds: options.Seeds = None,
    corpora: options.Corpora = None,
    jobs: options.Jobs = None,
    dtype: options.Dtype = None,
    scale: options.Scale = None,
    launcher: Annotated[
        str, typer.Option(help="How models are trained: local, torchrun with --ranks processes each, or slurm jobs.")
    ] = "local",
    ranks: Annotated[int, typer.Option(min=1, max=MOST_RANKS, help="Processes that train one model together.")] = 1,
    slurm: Annotated[
        list[str] | None, typer.Option(help="An option of Slurm, as partition=gpu, gpus_per_node=8, time=20 (hours).")
    ] = None,
    memory_limit: Annotated[
        str | None,
        typer.Option(help="Memory that one job may allocate, as 4G; default: its share of 80% of the free memory."),
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option(help="Fit rounds and seeds into this time, as 10m or 2h; refused if too short for an interval."),
    ] = None,
    until: options.Until = None,
    reuse: Annotated[
        list[Path] | None,
        typer.Option(metavar="RUN", help="Take the models that this run has trained, where they are the same."),
    ] = None,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait for another run on this machine to end.")] = True,
    quiet: Annotated[
        bool, typer.Option("-q", "--quiet", help="Print only errors, failures and the last line.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")] = False,
) -> None:
    """Measure a suite's cases, each in a process of its own, and write the report.

    Exit codes: 0 fine, 2 usage, 5 some cases failed, 130 interrupted (what is recorded is kept; --resume continues).
    """
    from rich.console import Console

    import benchsuite
    from benchsuite.engine import progress
    from benchsuite.engine.processes import Observer

    console = Console(stderr=True, soft_wrap=True, highlight=False)
    display = Observer() if quiet else progress.observer(console)
    how: Options = {
        "jobs": jobs,
        "memory_limit_bytes": options.bytes_(memory_limit) if memory_limit else None,
        "budget_s": options.seconds(budget) if budget else None,
        "launcher": launcher,
        "ranks": ranks,
        "slurm": dict(option.partition("=")[::2] for option in slurm or []),
        "reuse": reuse or [],
        "wait": wait,
        "say": (lambda text: None) if quiet else (lambda text: console.print(text, markup=False)),
        "observer": display,
    }
    planned: dict[str, object] = {
        "--only": only,
        "--set": sets,
        "--seeds": seeds,
        "--corpus": corpora,
        "-o": output,
        "--device": device,
    }
    planned |= {"--scale": scale, "--dtype": dtype, "--until": until, "--reuse": reuse}
    try:
        if resume is not None:
            if given := [name for name, value in planned.items() if value]:
                raise UserError(
                    f"--resume continues a run as it was planned, so {', '.join(given)} cannot change it",
                    hint="leave the option out, or begin a new run",
                )
            run = benchsuite.resume(resume, suite=suite, **how)
        elif suite is not None:
            run = benchsuite.run(
                suite, out=output, device=device or "auto", only=only or [], sets=sets or [], seeds=seeds,
                corpora=corpora or [], scale=scale, dtype=dtype, until=until, **how,
            )  # fmt: skip
        else:
            raise UserError("which suite?", hint="`benchsuite run quick`; `benchsuite list suites` shows all")
    except Interrupted as error:
        _interrupted(error.folder or Path(), as_json, console)
        raise typer.Exit(exit_codes.INTERRUPTED) from None
    finally:
        display.close()
    raise typer.Exit(_finish(run, as_json, quiet, console))


def _interrupted(folder: Path, as_json: bool, console: Console) -> None:
    command = f"benchsuite run --resume {shlex.quote(str(folder))}"
    begun = (folder / "manifest.json").exists()
    kept = f"what is recorded is kept. Continue with: {command}" if begun else "nothing was begun"
    console.print(f"interrupted; {kept}", markup=False)
    if as_json:
        print(json.dumps({"schema_version": 1, "interrupted": True, "run": str(folder), "resume": command}))


def _finish(run: Run, as_json: bool, quiet: bool, console: Console) -> int:
    """Write the report, print where it is and how to open it, and return the exit code."""
    from benchsuite import terminal
    from benchsuite.records.case import FAILED
    from benchsuite.report.render import write
    from benchsuite.report.terminal import terminal as show

    counts = Counter(record.status for record in run)
    failed = sum(counts[status] for status in FAILED)
    code = exit_codes.FAILED if failed else exit_codes.FINE
    paths = {name: str(path) for name, path in write(run.folder).items()}
    if as_json:
        document = {"schema_version": 1, "run": str(run.folder), "cases": dict(counts), "report": paths}
        print(json.dumps({**document, "exit_code": code}, indent=1))
    elif not quiet:
        show(run.folder, terminal.console())
    if failed:
        said = ", ".join(f"{counts[status]} {status}" for status in FAILED if counts[status])
        records = run.folder / "records.jsonl"
        console.print(f"{failed} measurements failed ({said}); {records} says why", markup=False)
    command = f"benchsuite open {shlex.quote(str(run.folder))}"
    console.print(f"report: {paths['html']}, and as .md and .json; to see it: {command}", markup=False)
    return code
