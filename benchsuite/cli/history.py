"""`benchsuite history RUNS…`: when did a case become slower, and with which commit?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from benchsuite.cli import exit_codes, options
from benchsuite.errors import UserError


def command(
    runs: Annotated[list[Path], typer.Argument(help="Run directories, or folders that hold them.")],
    margin: Annotated[str, typer.Option(help="Largest change that is ignored.")] = "2%",
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Where history.html, .md and .json go; default: here.")
    ] = None,
    fail: Annotated[bool, typer.Option("--fail", help="Exit with 1 where a case's last change is a slowdown.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")] = False,
) -> None:
    """Find where the level of a case changed over many runs of one machine, and draw each case.

    A change takes two runs at the new level. Runs of other machines are left out.

    Exit codes: 0 fine, 1 something became slower (with --fail), 2 usage.
    """
    from benchsuite.cli.output import write
    from benchsuite.gating import history
    from benchsuite.report import history_page as pages
    from benchsuite.report.render import save

    share = options.fraction("--margin", margin)
    series, notes = history.read(runs)
    document = pages.document(series, share, notes)
    folder = output or Path()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder} cannot be made: {error.strerror}", hint="choose another folder with -o") from error
    write(folder, "history", document, pages.markdown(document))
    save(pages.page(document), folder / "history.html")
    if as_json:
        print(json.dumps(document, indent=1))
    else:
        print(pages.markdown(document))
        print(f"figures: {folder / 'history.html'}")
    if fail and any(row["verdict"] == "slower" for row in document["cases"]):
        raise typer.Exit(exit_codes.REGRESSION)
