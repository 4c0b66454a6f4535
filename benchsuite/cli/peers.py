"""`benchsuite peers`: is our own code fast? Training and evaluation beside other people's."""

from __future__ import annotations

from typing import Annotated

import typer

from benchsuite.limits import MOST_REPLICATES, MOST_THREADS


def command(
    rounds: Annotated[
        int, typer.Option(min=3, max=MOST_REPLICATES, help="Rounds of fresh processes that take turns.")
    ] = 5,
    threads: Annotated[int, typer.Option(min=1, max=MOST_THREADS, help="CPU threads of every process.")] = 1,
    json_: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")] = False,
) -> None:
    """Compare our training step and evaluation with transformers, nanoGPT's style and lm-eval's HFLM."""
    from rich.console import Console

    from benchsuite.engine import progress
    from benchsuite.engine.against_peers import evaluation_row, training_rows

    console = Console(stderr=True)
    display = progress.observer(console)
    try:
        rows = training_rows(rounds, threads, display)
    finally:
        display.close()
    with console.status("evaluation"):
        rows.append(evaluation_row(rounds, threads))
    if json_:
        import json
        from dataclasses import asdict

        print(json.dumps([asdict(row) for row in rows], indent=2))
        return
    from rich.table import Table

    from benchsuite import format, terminal

    table = Table("", "benchsuite", "peer", "ratio", "verdict", "", box=None, header_style="bold", pad_edge=False)
    for row in rows:
        c = row.comparison
        rates = format.si(row.ours, row.unit), format.si(row.theirs, row.unit)
        table.add_row(row.what, *rates, format.ratio(c.ratio, c.low, c.high), c.verdict, row.note)
    terminal.show(table)
