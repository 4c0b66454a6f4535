"""`benchsuite compare A B …`: finished runs beside each other, case by case."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from benchsuite.cli import options


def command(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN…", help="Run directories; the first is the baseline.")],
    by: Annotated[
        str, typer.Option(help="What the columns are: run, commit, machine, or the implementations of one run.")
    ] = "run",
    margin: Annotated[str, typer.Option(help="Differences up to this are called the same.")] = "2%",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")] = False,
) -> None:
    """Compare finished runs case by case. Nothing is measured.

    Exit codes: 0 compared, whatever came out; 2 usage; 4 the runs cannot be compared.
    """
    import benchsuite
    from benchsuite.report.compare import table

    found = benchsuite.compare(*runs, by=by, margin=options.fraction("--margin", margin))
    if as_json:
        print(json.dumps(found.to_json(), indent=1))
        return
    from rich.table import Table
    from rich.text import Text

    from benchsuite import terminal

    head, *rows = table(found)
    shown = Table(box=None, pad_edge=False, header_style="bold")
    for cell in head:
        shown.add_column(Text(cell))
    for row in rows:
        shown.add_row(*(Text(cell) for cell in row))
    console = terminal.console()
    terminal.show(shown, console)
    for note in found.notes:
        console.print(Text(f"* {note}"), soft_wrap=True)
