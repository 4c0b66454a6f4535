"""`benchsuite peers`: the suite `peers`. Is our own code fast? Training and evaluation beside other people's."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from benchsuite.cli import options
from benchsuite.limits import MOST_REPLICATES, MOST_THREADS


def command(
    rounds: Annotated[
        int, typer.Option(min=3, max=MOST_REPLICATES, help="Rounds of fresh processes that take turns.")
    ] = 5,
    threads: Annotated[int, typer.Option(min=1, max=MOST_THREADS, help="CPU threads of every process.")] = 1,
    device: options.Device = "auto",
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="The run's directory; default: runs/peers-TIME.")
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the table as Markdown.")] = False,
) -> None:
    """Compare benchsuite's training step and evaluation with transformers, nanoGPT's style and lm-eval's HFLM.

    Measures the suite `peers` as `benchsuite run peers` does, and prints its table. Exit codes: 0 fine, 2 usage, 5
    something failed, 130 interrupted.
    """
    from benchsuite.cli import devices, rivals
    from benchsuite.planning import plan
    from benchsuite.suite import source

    sets = [f"speed.rounds={rounds}", f"speed.most_rounds={rounds}", f"speed.threads={threads}"]
    machine = plan.Machine.here(devices.chosen(device, many=False))
    resolved = plan.resolve(source.read("peers", sets=sets), machine)
    raise typer.Exit(rivals.run(resolved, output, rivals.Shown(json_, markdown)))
