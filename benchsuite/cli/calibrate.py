"""`benchsuite calibrate SUITE`: what is here against itself, to know what a gate will find on this machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from benchsuite.cli import exit_codes, options
from benchsuite.cli.numbers import finite
from benchsuite.errors import Interrupted
from benchsuite.limits import MOST_PAIRS, MOST_S, PAIRS
from benchsuite.text import plain


def command(
    targets: Annotated[
        list[str],
        typer.Argument(metavar="SUITE", help="A suite's name or file; or tests that use the speed fixture, as files."),
    ],
    margin: Annotated[str, typer.Option(help="Largest slowdown that is accepted.")] = "2%",
    catch: Annotated[str, typer.Option(help="Smallest slowdown that must be detected.")] = "5%",
    pairs: Annotated[
        int, typer.Option(min=2, max=MOST_PAIRS, help="Pairs of processes to measure for each case.")
    ] = 20,
    budget: Annotated[int, typer.Option(min=2, max=MOST_PAIRS, help="Most pairs that the gate may use.")] = PAIRS,
    minutes: Annotated[
        float | None,
        typer.Option(
            min=0.1,
            max=MOST_S / 60,
            callback=finite,
            help="Instead of --budget: as many pairs as fit into this many minutes.",
        ),
    ] = None,
    device: options.Device = "auto",
    only: options.Only = None,
    sets: options.Sets = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="The directory; default: runs/calibration-TIME.")
    ] = None,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait for another run on this machine to end.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")] = False,
) -> None:
    """Measure A against A: how often would the gate raise a false alarm here, and which slowdowns would it detect?

    Both are simulated from the measured pairs, each drawn again with a random sign. False alarms in the measurement
    itself are listed too.
    """
    from rich.console import Console

    from benchsuite.cli.output import progress, write
    from benchsuite.gating import session

    console = Console(stderr=True, soft_wrap=True, highlight=False)
    share, found = options.fraction("--margin", margin), options.fraction("--catch", catch)
    try:
        with progress() as bar:
            document = session.calibrate(
                targets, margin=share, catch=found, pairs=pairs, gate_pairs=budget,
                gate_s=None if minutes is None else 60 * minutes, device=device, only=only or [], sets=sets or [],
                out=output, wait=wait, say=lambda text: console.print(plain(text), markup=False), progress=bar,
            )  # fmt: skip
    except Interrupted:
        console.print("interrupted; nothing was measured", markup=False)
        raise typer.Exit(exit_codes.INTERRUPTED) from None
    write(Path(document["run"]), "calibration", document, _markdown(document))
    if as_json:
        print(json.dumps(document, indent=1))
    else:
        print(_markdown(document))


def _markdown(document: dict[str, Any]) -> str:
    from benchsuite import format as fmt
    from benchsuite.text import markdown

    lines = [f"# What a gate finds here in {markdown(document['suite'])}", ""]
    lines += ["| case | spread of a pair | smallest slowdown found, 95% power |", "|---|---|---|"]
    for case, noise in document["cases"].items():
        catches = fmt.percent(noise["catches"], 0) if noise["catches"] else "none up to 100%"
        lines.append(f"| {markdown(case)} | {fmt.percent(noise['spread'])} | {catches} |")
    share = fmt.percent(document["alarms"] / document["suites"])
    span = f"{fmt.percent(document['low'])} to {fmt.percent(document['high'])}"
    told = ", ".join(map(markdown, document["measured_alarms"])) or "none"
    lines += ["", f"With up to {document['pairs']} pairs a case, of {document['suites']} simulated suites without a "]
    lines[-1] += f"slowdown {share} raised an alarm (95%: {span}). Alarms of the {document['measured_pairs']} measured "
    lines[-1] += f"pairs themselves: {told}."
    lines += ["", "| pairs a case | minutes at most | found in the middle case | in the noisiest |"]
    lines += ["|---|---|---|---|"]
    for row in document["power"]:
        middle, worst = (fmt.percent(row[key], 0) if row[key] else "none up to 100%" for key in ("middle", "worst"))
        lines.append(f"| {row['pairs']} | {row['minutes']:.1f} | {middle} | {worst} |")
    return "\n".join([*lines, ""])
