"""`benchsuite gate SUITE --base X --head Y`: is head slower than base? A verdict and an exit code, for CI."""

from __future__ import annotations

import functools
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from benchsuite.cli.numbers import finite
from benchsuite.cli.run import EXIT_FAILED, EXIT_INTERRUPTED
from benchsuite.errors import UserError
from benchsuite.limits import MOST_REPLICATES, MOST_S
from benchsuite.text import plain

if TYPE_CHECKING:
    from rich.console import Console

    from benchsuite.gating.margins import Rules
    from benchsuite.gating.paired import Outcome
    from benchsuite.gating.sides import Side

EXIT = {"fine": 0, "regression": 1}
EXIT_UNCLEAR = 3
EXIT_INCOMPARABLE = 4
PAIRS = 400  # only undecided cases come so far: reports/gate/report.md has what fewer find, and in how many minutes


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
    head: Annotated[list[str] | None, typer.Option(help="What is new, in the same words; else what is here.")] = None,
    margin: Annotated[str, typer.Option(help="Slowdowns up to this are accepted.")] = "2%",
    catch: Annotated[str, typer.Option(help="Slowdowns from this on must be found.")] = "5%",
    margins: Annotated[
        Path | None, typer.Option(help="YAML: a list of {case: PATTERN, margin: 5%, catch: 10%, floor_s: 1e-5}.")
    ] = None,
    pairs: Annotated[
        int, typer.Option(min=2, max=MOST_REPLICATES, help="Pairs of processes for each case, at most.")
    ] = PAIRS,
    minutes: Annotated[
        float | None,
        typer.Option(min=0.01, max=MOST_S / 60, callback=finite, help="Decide by what is known after so long."),
    ] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1, mps, xpu")] = "cpu",
    only: Annotated[
        list[str] | None, typer.Option(help="Keep cases with such labels, as 'activation/swiglu*'.")
    ] = None,
    sets: Annotated[list[str] | None, typer.Option("--set", help="Override a key of the suite, on both sides.")] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="The gate's directory; default: runs/gate-TIME.")
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 3 where something stays unclear.")] = False,
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

    from benchsuite import terminal
    from benchsuite.cli.output import write
    from benchsuite.gating import calibrations, paired, sides
    from benchsuite.gating.margins import Rules
    from benchsuite.records import baselines
    from benchsuite.records.store import check_new
    from benchsuite.report import gate_page as page
    from benchsuite.report.render import save
    from benchsuite.stats.decisions import Rule, fewest_pairs

    try:
        rule = Rule(margin=fraction("--margin", margin), catch=fraction("--catch", catch))
    except ValueError as error:
        raise UserError(str(error), hint="--catch sets what must be found") from error
    rules = Rules.read(rule, margins)
    console = Console(stderr=True, soft_wrap=True, highlight=False)
    folder = output or Path("runs") / f"gate-{datetime.now():%Y%m%d-%H%M%S}"
    check_new(folder)
    if "," in device:
        raise UserError(f"--device {device}: a gate measures on one device", hint="start one for each")
    pairs += pairs % 2  # both orders as often
    say = functools.partial(_say, console)
    if stored := [word for word in head or [] if word.partition(":")[0] in sides.STORED]:
        raise UserError(f"head is measured now; {stored[0]} can only be a base")
    base = base or [baselines.default()]
    described = [sides.parse(words, say) for words in (base, head or [sides.HERE])]
    plans = [side.plan(targets, device, only or [], sets or []) for side in described]
    notes = []
    if described[0].stored:
        notes = baselines.check(described[0].stored, described[1].fingerprint())
        notes += baselines.narrow(plans[0], plans[1], described[0].name)
    needed = fewest_pairs(len(plans[1]["cases"]), rule)
    if pairs < needed:
        notes.append(f"a single slowdown among {len(plans[1]['cases'])} cases takes {needed} pairs; --pairs is {pairs}")
    if idle := rules.idle(case["label"] for plan in plans for case in plan["cases"]):
        notes.append(f"{margins}: no case fits {', '.join(idle)}")
    for note in notes:
        say(f"note: {note}")

    budget_s = None if minutes is None else 60 * minutes
    outcome = measured(folder, described, plans, rules, pairs, console, device=device, wait=wait, budget_s=budget_s)
    verdict = paired.verdict(outcome)
    code = EXIT.get(verdict, EXIT_UNCLEAR if strict else 0)
    if code != EXIT["regression"] and paired.failed(outcome):
        code = EXIT_INCOMPARABLE if paired.incomparable(outcome) else EXIT_FAILED
    code = EXIT_INTERRUPTED if outcome.stopped == paired.INTERRUPTED else code
    about = {"suite": plans[1]["suite"], "base": described[0].name, "head": described[1].name, "run": str(folder)}
    about |= {"verdict": verdict, "exit_code": code, "notes": notes}
    about["calibration"] = calibrations.find(
        list(outcome.decisions), device, described[1].fingerprint()["identity"], asdict(rule)
    )
    document = page.document(outcome, rules.of, rule, about)
    write(folder, "gate", document, page.markdown(document))
    save(page.junit(document), folder / "gate.xml")
    _tell_github(document)
    if as_json:
        print(json.dumps(document, indent=1))
    else:
        page.terminal(document, terminal.console())
    raise typer.Exit(code)


def measured(
    folder: Path,
    described: Sequence[Side],
    plans: Sequence[dict[str, Any]],
    rules: Rules,
    pairs: int,
    console: Console,
    *,
    device: str,
    wait: bool,
    budget_s: float | None = None,
    to_the_end: bool = False,
) -> Outcome:
    """Measures base and head, with the machine's lock and a bar."""
    from benchsuite import locks
    from benchsuite.cli.output import progress
    from benchsuite.cli.run import Stop
    from benchsuite.errors import Interrupted
    from benchsuite.gating import paired

    stop = Stop()
    chosen: list[Any] = []
    say = functools.partial(_say, console)
    try:
        with locks.machine_lock(str(folder), wait=wait, say=say, stop=stop, device=device):
            for name, side, plan in zip(("base", "head"), described, plans, strict=True):
                chosen.append(_side(folder / name, side, plan, pairs, stop))
            with progress() as bar:
                return paired.run(
                    chosen[0],
                    chosen[1],
                    rules,
                    pairs=pairs,
                    budget_s=budget_s,
                    to_the_end=to_the_end,
                    meant=any(side.sets for side in described),
                    say=bar,
                )
    except (Interrupted, KeyboardInterrupt):  # before the first pair
        console.print("interrupted; nothing was measured", markup=False)
        raise typer.Exit(EXIT_INTERRUPTED) from None
    finally:
        stop.restore()
        for side in chosen:
            side.close()


def _say(console: Console, told: str) -> None:
    console.print(plain(told), markup=False)


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


def _side(folder: Path, side: Any, plan: dict[str, Any], pairs: int, stop: Any) -> Any:
    from benchsuite.engine import workers
    from benchsuite.engine.preloads import KERNELS, preloads
    from benchsuite.gating import measured_sides
    from benchsuite.records.store import Store, read_records

    cases = measured_sides.speed_cases(plan, pairs)
    if not cases:
        raise UserError(f"{side.name}: the suite has no speed cases here", hint="a gate is about speed")
    if side.stored:
        return measured_sides.StoredSide(cases, read_records(side.stored))
    chosen = [case.to_json() for case in cases.values()]
    about = measured_sides.manifest({**plan, "cases": chosen, "comparisons": []}, pairs, side.name, side.fingerprint())
    store = Store.create(folder, about)
    preload = preloads(cases.values())
    if KERNELS in preload:
        side.build_kernels()
    started = workers.make(preload, python=side.python, variables=side.variables)
    return measured_sides.MeasuredSide(cases, store, started, stop)


def fraction(option: str, text: str) -> float:
    """`2%` or `0.02` as 0.02. Raises UserError."""
    try:
        value = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1:
        raise UserError(f"{option} {text}: should be a share, as 2%")
    return value
