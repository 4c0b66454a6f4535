"""`benchsuite selftest`: every operator checked against float64, then timed beside its rivals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from benchsuite.cli import exit_codes
from benchsuite.cli import output as output_


def command(
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    quick: Annotated[bool, typer.Option("--quick", help="A few shapes only: under a minute.")] = False,
    check_only: Annotated[bool, typer.Option("--check-only", help="Check, time nothing.")] = False,
    only: Annotated[list[str] | None, typer.Option(help="Operators by glob pattern: swiglu, 'attention*'.")] = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Folder for selftest.json and .md.")] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")] = False,
) -> None:
    """Check every custom operator against float64, and time it beside eager, torch.compile and torch's own.

    Some minutes on two CPU cores. Exit code 5 if an operator is wrong; a wrong operator is not timed.
    """
    from benchsuite import terminal
    from benchsuite.errors import UserError
    from benchsuite.measure import selftest
    from benchsuite.report import selftest_page as page

    if device not in ("cpu", "cuda"):
        raise UserError(f"unknown device {device!r}", hint="choose from: cpu, cuda")
    document: dict[str, Any] = {}
    interrupted = False
    with output_.progress() as say:
        try:
            chosen = tuple(only or ())
            for now in selftest.run(device, quick=quick, only=chosen, check_only=check_only, say=say):
                document = now
        except KeyboardInterrupt:
            interrupted = True
    words = ["benchsuite", "selftest", "--device", device]
    words += ["--quick"] * quick + ["--check-only"] * check_only + [part for p in only or () for part in ("--only", p)]
    document = {"command": words, "interrupted": interrupted, **document}
    if output is not None:
        output_.write(output, "selftest", document, page.markdown(document))
    if json_:
        print(json.dumps(document, indent=1))
    else:
        page.show(document, terminal.console())
    if interrupted:
        raise typer.Exit(exit_codes.INTERRUPTED)
    dirty = any(said.startswith("exit code") for said in document.get("sanitizer", {}).values())
    if dirty or any(row["status"] != "ok" for row in document["checks"]):
        raise typer.Exit(exit_codes.FAILED)
