"""`benchsuite calibrate SUITE`: what is here against itself, to know what a gate will find on this machine."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from benchsuite.cli.gate import PAIRS
from benchsuite.cli.numbers import finite
from benchsuite.errors import UserError
from benchsuite.limits import MOST_REPLICATES, MOST_S

BUDGETS = (20, 40, 80, 160, 320)
QUICK_SUITES = 300


def command(
    targets: Annotated[
        list[str],
        typer.Argument(metavar="SUITE", help="A suite's name or file; or tests that use the speed fixture, as files."),
    ],
    margin: Annotated[str, typer.Option(help="Slowdowns up to this are accepted.")] = "2%",
    catch: Annotated[str, typer.Option(help="Slowdowns from this on must be found.")] = "5%",
    pairs: Annotated[
        int, typer.Option(min=2, max=MOST_REPLICATES, help="Pairs of processes to measure for each case.")
    ] = 20,
    budget: Annotated[int, typer.Option(min=2, max=MOST_REPLICATES, help="Pairs that the gate may use.")] = PAIRS,
    minutes: Annotated[
        float | None,
        typer.Option(
            min=0.1,
            max=MOST_S / 60,
            callback=finite,
            help="Instead of --budget, the pairs for which this much time suffices.",
        ),
    ] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1, mps, xpu")] = "cpu",
    only: Annotated[
        list[str] | None, typer.Option(help="Keep cases with such labels, as 'activation/swiglu*'.")
    ] = None,
    sets: Annotated[list[str] | None, typer.Option("--set", help="Override a key of the suite.")] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="The directory; default: runs/calibration-TIME.")
    ] = None,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait for another run on this machine to end.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")] = False,
) -> None:
    """Measure A against A, and say how often the gate would cry wolf here and which slowdowns it would find.

    Both are simulated from the measured pairs, each drawn again with a random sign; the alarms of the measurement
    itself are told too.
    """
    from rich.console import Console

    from benchsuite.cli.gate import fraction, measured
    from benchsuite.cli.output import write
    from benchsuite.gating import calibrations, sides
    from benchsuite.gating.margins import Rules
    from benchsuite.records.store import check_new
    from benchsuite.stats.calibration import calibrate
    from benchsuite.stats.decisions import Rule

    try:
        rule = Rule(margin=fraction("--margin", margin), catch=fraction("--catch", catch))
    except ValueError as error:
        raise UserError(str(error), hint="--catch sets what must be found") from error
    console = Console(stderr=True, soft_wrap=True, highlight=False)
    folder = output or Path("runs") / f"calibration-{datetime.now():%Y%m%d-%H%M%S}"
    check_new(folder)
    pairs += pairs % 2
    side = sides.Side(sides.HERE)
    plan = side.plan(targets, device, only or [], sets or [])
    outcome = measured(
        folder, [side, side], [plan, plan], Rules(rule), pairs, console, device=device, wait=wait, to_the_end=True
    )
    logs = {case: values for case, values in outcome.logs.items() if len(values) > 1}
    if not logs:
        raise UserError("no case could be measured", hint=f"{folder / 'head' / 'records.jsonl'} says why", exit_code=5)
    pair_s = outcome.time_s / pairs  # of all cases
    if minutes is not None:
        budget = min(max(2, int(60 * minutes / pair_s) // 2 * 2), MOST_REPLICATES)
    found = calibrate(logs, rule, budget)
    alarms = [case for case, decision in outcome.decisions.items() if decision.verdict in ("slower", "faster")]
    document = {"schema_version": 1, "suite": plan["suite"], "run": str(folder), "rule": asdict(rule)}
    document |= {"measured_pairs": pairs, "measured_alarms": alarms, "pair_s": pair_s, **asdict(found)}
    document["power"] = [
        {"pairs": some, "minutes": some * pair_s / 60, **_catches(calibrate(logs, rule, some, suites=QUICK_SUITES))}
        for some in BUDGETS
    ]
    write(folder, "calibration", document, _markdown(document))
    calibrations.keep(document, device, side.fingerprint()["identity"])
    if as_json:
        print(json.dumps(document, indent=1))
    else:
        print(_markdown(document))


def _catches(found: Any) -> dict[str, Any]:
    """Of all cases, the smallest slowdown that is found in the middle one and in the worst; None beyond 100%."""
    ordered = sorted(noise.catches if noise.catches is not None else math.inf for noise in found.cases.values())
    middle, worst = ordered[len(ordered) // 2], ordered[-1]
    return {"middle": None if middle == math.inf else middle, "worst": None if worst == math.inf else worst}


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
