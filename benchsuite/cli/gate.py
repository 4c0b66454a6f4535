"""`benchsuite gate SUITE --base X --head Y`: is head slower than base? A verdict and an exit code, for CI."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from benchsuite.cli import exit_codes, options
from benchsuite.cli.numbers import finite
from benchsuite.errors import Interrupted
from benchsuite.limits import MOST_PAIRS, MOST_S, PAIRS
from benchsuite.text import plain

if TYPE_CHECKING:
    from benchsuite import Outcome


def command(
    targets: Annotated[
        list[str],
        typer.Argument(metavar="SUITE", help="A suite's name or file; or tests that use the speed fixture, as files."),
    ],
    base: Annotated[
        list[str] | None,
        typer.Option(
            help="What to compare with: a git ref, python:PATH, env:NAME=VALUE, set:KEY=VALUE, which add up; or "
            "run:FOLDER or baseline:NAME; else the promoted baseline."
        ),
    ] = None,
    head: Annotated[
        list[str] | None, typer.Option(help="The version to test, in the same notation. Defaults to the working tree.")
    ] = None,
    margin: Annotated[str, typer.Option(help="Largest slowdown that is accepted.")] = "2%",
    catch: Annotated[str, typer.Option(help="Smallest slowdown that must be detected.")] = "5%",
    margins: Annotated[
        Path | None, typer.Option(help="YAML: a list of {case: PATTERN, margin: 5%, catch: 10%, floor_s: 1e-5}.")
    ] = None,
    pairs: Annotated[int, typer.Option(min=2, max=MOST_PAIRS, help="Most pairs of processes for each case.")] = PAIRS,
    minutes: Annotated[
        float | None,
        typer.Option(
            min=0.01,
            max=MOST_S / 60,
            callback=finite,
            help="Stop after this many minutes and decide with the data so far.",
        ),
    ] = None,
    device: options.Device = "auto",
    only: options.Only = None,
    sets: Annotated[list[str] | None, typer.Option("--set", help="Override a key of the suite, on both sides.")] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="The gate's directory; default: runs/gate-TIME.")
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 3 if a case stays unclear.")] = False,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait for another run on this machine to end.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")] = False,
) -> None:
    """Decide whether head is slower than base, in pairs of processes that are timed in turns.

    Pairs are added only while a case is undecided. Over the whole suite the chance of a false alarm is at most 1%, and
    that of passing a slowdown of --catch or more at most 5% a case, however the machine's noise is distributed.

    The directory gets gate.json, gate.md (for a pull request's comment) and gate.xml (JUnit). On GitHub's runners there
    are annotations and a step summary too.

    Exit codes: 0 fine, 1 slower or worse, 2 usage, 3 unclear (with --strict), 4 no such base or another machine's, 5
    nothing could be measured, 130 interrupted.
    """
    from rich.console import Console

    import benchsuite
    from benchsuite import terminal
    from benchsuite.cli.output import progress, write
    from benchsuite.report import gate_page as page

    console = Console(stderr=True, soft_wrap=True, highlight=False)
    share, found = options.fraction("--margin", margin), options.fraction("--catch", catch)
    try:
        with progress() as bar:
            outcome = benchsuite.gate(
                targets, base=base or [], head=head or [], margin=share, catch=found, margins=margins, pairs=pairs,
                budget_s=None if minutes is None else 60 * minutes, device=device, only=only or [], sets=sets or [],
                out=output, wait=wait, say=lambda text: console.print(plain(text), markup=False), progress=bar,
            )  # fmt: skip
    except Interrupted:
        console.print("interrupted; nothing was measured", markup=False)
        raise typer.Exit(exit_codes.INTERRUPTED) from None
    code = _code(outcome, strict)
    about: dict[str, Any] = {
        "suite": outcome.suite,
        "base": outcome.base,
        "head": outcome.head,
        "run": str(outcome.folder),
    }
    about |= {"verdict": outcome.verdict, "exit_code": code, "notes": list(outcome.notes)}
    about |= {"calibration": outcome.calibration}
    document = page.document(outcome, outcome.rules.of, outcome.rules.default, about)
    write(outcome.folder, "gate", document, page.markdown(document), page.junit(document))
    _tell_github(document)
    if as_json:
        print(json.dumps(document, indent=1))
    else:
        page.terminal(document, terminal.console())
    raise typer.Exit(code)


def _code(outcome: Outcome, strict: bool) -> int:
    if outcome.interrupted:
        return exit_codes.INTERRUPTED
    if outcome.verdict == "regression":
        return exit_codes.REGRESSION
    if outcome.failed:
        return exit_codes.INCOMPARABLE if outcome.incomparable else exit_codes.FAILED
    return exit_codes.UNCLEAR if strict and outcome.verdict == "unclear" else exit_codes.FINE


def _tell_github(document: dict[str, Any]) -> None:
    """Annotations and the step's summary, where this runs on GitHub's runners."""
    from benchsuite.report import gate_page as page

    if os.environ.get("GITHUB_ACTIONS") != "true":
        return
    for line in page.github(document):
        print(line, file=sys.stderr)
    if summary := os.environ.get("GITHUB_STEP_SUMMARY"):
        with open(summary, "a", encoding="utf-8") as file:
            file.write(page.markdown(document) + "\n")
