"""`benchsuite report`: speed against quality, from one run, or from several side by side."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Format(StrEnum):
    """How a report is written."""

    html = "html"
    md = "md"
    json = "json"
    svg = "svg"


def command(
    runs: Annotated[
        list[Path], typer.Argument(help="Run directories. Several, of several machines, are put side by side.")
    ],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Write the report here; its ending chooses the format.")
    ] = None,
    format_: Annotated[
        Format | None, typer.Option("--format", help="The format; without -o the report goes to stdout.")
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,
) -> None:
    """Report speed against quality: what to choose on this machine, and how sure that is.

    Without options, print the findings of a run and write report.html, report.md and report.json into its directory.
    Several runs are printed side by side; -o writes them as one page.
    """
    from benchsuite.errors import UserError

    if json_ and format_ not in (None, Format.json):
        raise UserError(f"--json and --format {format_} contradict each other", hint="give one of them")
    chosen = Format.json if json_ else format_
    if output is None and chosen is None:
        _into_run_directory(runs)
        return
    from benchsuite.report.join import join
    from benchsuite.report.render import render, save

    chosen = chosen or _by_ending(output)
    text = render(join(runs), chosen.value)
    if output is None:
        typer.echo(text, nl=False)
        return
    save(text, output)
    typer.echo(str(output), err=True)


def _into_run_directory(runs: list[Path]) -> None:
    from benchsuite.report.render import write
    from benchsuite.report.terminal import side_by_side, terminal
    from benchsuite.terminal import console

    if len(runs) > 1:
        side_by_side(runs, console())
        typer.echo("\nThe whole report: benchsuite report RUN… -o report.html")
        return
    paths = write(runs[0])
    terminal(runs[0], console())
    typer.echo("\n" + "\n".join(str(path) for path in paths.values()))


def _by_ending(output: Path | None) -> Format:
    from benchsuite.errors import UserError

    ending = (output.suffix if output else "").removeprefix(".").lower()
    ending = {"htm": "html", "markdown": "md"}.get(ending, ending)
    if ending not in set(Format):
        raise UserError(
            f"{output}: the ending names no format", hint="end it in .html, .md, .json or .svg, or give --format"
        )
    return Format(ending)
