"""`benchsuite gate SUITE --base X --head Y`: is head slower than base? A verdict and an exit code, for CI."""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from benchsuite.cli.run import EXIT_FAILED, EXIT_INTERRUPTED
from benchsuite.errors import UserError

if TYPE_CHECKING:
    from rich.console import Console

    from benchsuite.runs.gate import Outcome
    from benchsuite.runs.sides import Side
    from benchsuite.stats.gate import Rule

EXIT = {"fine": 0, "regression": 1}
EXIT_UNCLEAR = 3


def command(
    suite: Annotated[str, typer.Argument(help="The name of a suite, or the path of a suite file.")],
    base: Annotated[
        list[str],
        typer.Option(help="What to compare with: a git ref, python:PATH, env:NAME=VALUE, set:KEY=VALUE; they add up."),
    ],
    head: Annotated[list[str] | None, typer.Option(help="What is new, in the same words; else what is here.")] = None,
    margin: Annotated[str, typer.Option(help="Slowdowns up to this are accepted.")] = "2%",
    catch: Annotated[str, typer.Option(help="Slowdowns from this on must be found.")] = "5%",
    pairs: Annotated[int, typer.Option(min=2, max=1000, help="Pairs of processes for each case, at most.")] = 40,
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
    """Decide whether head is slower than base, in pairs of processes that run side by side.

    Pairs are added only while a case is undecided. Over the whole suite the chance of a false alarm is at most 1%, and
    that of passing a slowdown of --catch or more at most 5% a case, however the machine's noise is distributed.

    Exit codes: 0 fine, 1 slower or worse, 2 usage, 3 unclear (with --strict), 4 no such base, 5 nothing could be
    measured, 130 interrupted.
    """
    from rich.console import Console

    from benchsuite.cli.output import write
    from benchsuite.report import gate as page
    from benchsuite.runs import gate, sides
    from benchsuite.runs.store import check_new
    from benchsuite.stats.gate import Rule, fewest_pairs

    try:
        rule = Rule(margin=fraction("--margin", margin), catch=fraction("--catch", catch))
    except ValueError as error:
        raise UserError(str(error)) from error
    console = Console(stderr=True, soft_wrap=True, highlight=False)
    folder = output or Path("runs") / f"gate-{datetime.now():%Y%m%d-%H%M%S}"
    check_new(folder)
    pairs += pairs % 2  # both orders as often
    say = functools.partial(console.print, markup=False)
    described = [sides.parse(words, say) for words in (base, head or [sides.HERE])]
    plans = [side.plan(suite, device, only or [], sets or []) for side in described]

    needed = fewest_pairs(len(plans[1]["cases"]), rule)
    if pairs < needed:
        say(f"note: a single slowdown among {len(plans[1]['cases'])} cases takes {needed} pairs; --pairs is {pairs}")

    outcome = measured(folder, described, plans, rule, pairs, console, device=device, wait=wait)
    verdict = gate.verdict(outcome)
    code = EXIT.get(verdict, EXIT_UNCLEAR if strict else 0)
    code = EXIT_FAILED if code != EXIT["regression"] and gate.failed(outcome) else code
    about = {"suite": plans[1]["suite"], "base": described[0].name, "head": described[1].name, "run": str(folder)}
    document = page.document(outcome, rule, about | {"verdict": verdict, "exit_code": code})
    write(folder, "gate", document, page.markdown(document))
    if as_json:
        print(json.dumps(document, indent=1))
    else:
        page.terminal(document, Console())
    raise typer.Exit(code)


def measured(
    folder: Path,
    described: Sequence[Side],
    plans: Sequence[dict[str, Any]],
    rule: Rule,
    pairs: int,
    console: Console,
    *,
    device: str,
    wait: bool,
    to_the_end: bool = False,
) -> Outcome:
    """Measures base and head, with the machine's lock and a bar. Ends the command with 130 where it is interrupted."""
    from benchsuite.cli.output import progress
    from benchsuite.cli.run import _Stop
    from benchsuite.runs import gate, locks
    from benchsuite.runs.scheduler import Interrupted

    stop = _Stop()
    places: list[gate.Place] = []
    say = functools.partial(console.print, markup=False)
    try:
        with locks.machine_lock(str(folder), wait=wait, say=say, stop=stop, device=device):
            for name, side, plan in zip(("base", "head"), described, plans, strict=True):
                places.append(_place(folder / name, side, plan, pairs, stop))
            with progress() as bar:
                return gate.run(places[0], places[1], rule, pairs=pairs, to_the_end=to_the_end, say=bar)
    except (Interrupted, KeyboardInterrupt):
        console.print(f"interrupted; what was measured is in {folder}", markup=False)
        raise typer.Exit(EXIT_INTERRUPTED) from None
    finally:
        stop.restore()
        for place in places:
            place.close()


def _place(folder: Path, side: Any, plan: dict[str, Any], pairs: int, stop: Any) -> Any:
    from benchsuite.cli.run import preloads
    from benchsuite.runs import gate, workers
    from benchsuite.runs.store import Store

    cases = gate.speed_cases(plan, pairs)
    if not cases:
        raise UserError(f"{side.name}: the suite has no speed cases here", hint="a gate is about speed")
    chosen = [case.to_json() for case in cases.values()]
    about = gate.manifest({**plan, "cases": chosen, "comparisons": []}, pairs, side.name, side.fingerprint())
    store = Store.create(folder, about)
    place = workers.make(preloads(cases.values()), python=side.python, variables=side.variables)
    return gate.Place(cases, store, place, stop)


def fraction(option: str, text: str) -> float:
    """`2%` or `0.02` as 0.02. Raises UserError."""
    try:
        value = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1:
        raise UserError(f"{option} {text}: should be a share, as 2%")
    return value
