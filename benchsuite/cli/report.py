"""`benchsuite report`: speed against quality, from one run, or from several side by side."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Format(StrEnum):
    """The format of a report."""

    html = "html"
    md = "md"
    json = "json"
    svg = "svg"


def command(
    runs: Annotated[
        list[Path],
        typer.Argument(help="Run directories, put side by side where there are several; or one results.zip of a kit."),
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
    if any(run.is_file() or run.suffix == ".zip" for run in runs):
        runs = _of_archive(runs)
        if output is None and chosen is None:
            for run in runs:
                _into_run_directory([run])
            return
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


def _of_archive(given: list[Path]) -> list[Path]:
    """Unpack the results of a kit, tell how its stages ended, and return the runs in it."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from benchsuite import format as fmt
    from benchsuite import terminal
    from benchsuite.errors import UserError
    from benchsuite.kit import results

    if len(given) > 1:
        raise UserError("an archive of results is read by itself", hint="benchsuite report results.zip")
    folder = results.extracted(given[0])
    found = results.summary(folder)
    console = Console(stderr=True, soft_wrap=True, highlight=False)
    table = Table("stage", "exit", "took", "last words", box=None, pad_edge=False, header_style="bold")
    for stage in found.stages:
        code = "-" if stage.exit_code is None else str(stage.exit_code)
        table.add_row(escape(stage.name), code, fmt.seconds(stage.time_s), escape(stage.said[:100]))
    terminal.show(table, console)
    console.print(
        f"device {escape(found.device)}, Python {escape(found.python)}; logs and runs are in {escape(str(folder))}"
    )
    runs = results.runs(folder)
    if not runs:
        raise UserError(f"{given[0]} holds no runs", hint=f"the logs of its stages, in {folder}, say why")
    return runs


def _by_ending(output: Path | None) -> Format:
    from benchsuite.errors import UserError

    ending = (output.suffix if output else "").removeprefix(".").lower()
    ending = {"htm": "html", "markdown": "md"}.get(ending, ending)
    if ending not in set(Format):
        raise UserError(
            f"{output}: the ending names no format", hint="end it in .html, .md, .json or .svg, or give --format"
        )
    return Format(ending)
