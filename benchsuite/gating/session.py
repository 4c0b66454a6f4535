"""A gate as a whole, from two sides in words to a verdict: `benchsuite.gate`.

    outcome = benchsuite.gate("micro", base=["main"], margin=0.02)
    outcome.verdict                                  # "fine", "regression" or "unclear"

Checks come first: both sides are resolved and planned before anything is measured.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from benchsuite import devices, locks
from benchsuite.engine import workers
from benchsuite.engine.preloads import KERNELS, preloads
from benchsuite.engine.stop import Stop
from benchsuite.errors import Interrupted, UserError
from benchsuite.gating import calibrations, paired, sides
from benchsuite.gating.margins import Rules
from benchsuite.gating.measured_sides import MeasuredSide, Side, StoredSide, manifest, speed_cases
from benchsuite.gating.paired import Paired, Say
from benchsuite.limits import MOST_PAIRS, PAIRS
from benchsuite.records import baselines
from benchsuite.records.load import load
from benchsuite.records.store import Store, check_new
from benchsuite.stats.calibration import Calibration
from benchsuite.stats.calibration import calibrate as simulate
from benchsuite.stats.decisions import Rule, fewest_pairs

BUDGETS = (20, 40, 80, 160, 320)  # pairs for which a calibration says what a gate finds
QUICK_SUITES = 300  # that are simulated for each of them


@dataclass(frozen=True, kw_only=True)
class Outcome(Paired):
    """The outcome of a gate, with the rules that it applied.

    `folder` holds both sides as run directories, `base` and `head`, but for a base that was measured earlier.
    `calibration` is what `benchsuite calibrate` measured of the same cases on this machine, if anything.
    """

    suite: str
    base: str
    head: str
    folder: Path
    rules: Rules
    notes: tuple[str, ...]
    calibration: Mapping[str, Any] | None


def gate(
    targets: str | Path | Sequence[str],
    *,
    base: Sequence[str] = (),
    head: Sequence[str] = (),
    margin: float = 0.02,
    catch: float = 0.05,
    margins: str | Path | None = None,
    pairs: int = PAIRS,
    budget_s: float | None = None,
    device: str = devices.AUTO,
    only: Sequence[str] = (),
    sets: Sequence[str] = (),
    out: str | Path | None = None,
    wait: bool = True,
    say: Callable[[str], None] = lambda _: None,
    progress: Say = lambda *_: None,
) -> Outcome:
    """Decide whether head is slower than base, in pairs of processes that are timed in turns.

    `targets` is a suite, or files of tests that use the speed fixture. `base` and `head` are sides in words that add up
    (`benchsuite.gating.sides`): a git ref, python:PATH, env:NAME=VALUE, set:KEY=VALUE; a base may also be run:FOLDER or
    baseline:NAME. Without words base is the promoted baseline, and head what is here.

    `margin` is the slowdown that is accepted and `catch` the one that must be found, as fractions; `margins` a YAML
    file with those of single cases. Pairs are added while a case is undecided, up to `pairs` and for up to `budget_s`
    seconds. `only` and `sets` are those of `benchsuite.plan`. `say` is called with notes, `progress` with what is
    measured, how much is done, and how much there is at most.

    Raises UserError: with exit code 4 where there is no such base or it is of another machine, with 2 for other usage.
    Raises Interrupted where a signal ends it before the first pair.
    """
    targets = [str(targets)] if isinstance(targets, str | Path) else list(targets)
    rules = Rules.read(rule(margin, catch), None if margins is None else Path(margins))
    folder = Path(out) if out is not None else Path("runs") / f"gate-{datetime.now():%Y%m%d-%H%M%S}"
    check_new(folder)
    device = _chosen(targets, device, say)
    if stored := [word for word in head if word.partition(":")[0] in sides.STORED]:
        raise UserError(f"head is measured now; {stored[0]} can only be a base")
    described = [sides.parse(words, say) for words in (base or [baselines.default()], head or [sides.HERE])]
    plans = [side.plan(targets, device, only, sets) for side in described]
    pairs += pairs % 2  # both orders as often
    notes = _notes(described, plans, rules, pairs, margins)
    for note in notes:
        say(f"note: {note}")
    found = measured(
        folder, described, plans, rules, pairs=pairs, device=device, wait=wait, budget_s=budget_s, say=say,
        progress=progress,
    )  # fmt: skip
    identity = described[1].fingerprint["identity"]
    return Outcome(
        **vars(found),
        suite=plans[1]["suite"],
        base=described[0].name,
        head=described[1].name,
        folder=folder,
        rules=rules,
        notes=tuple(notes),
        calibration=calibrations.find(list(found.decisions), device, identity, asdict(rules.default)),
    )


def calibrate(
    targets: Sequence[str],
    *,
    margin: float = 0.02,
    catch: float = 0.05,
    pairs: int = 20,
    gate_pairs: int = PAIRS,
    gate_s: float | None = None,
    device: str = devices.AUTO,
    only: Sequence[str] = (),
    sets: Sequence[str] = (),
    out: str | Path | None = None,
    wait: bool = True,
    say: Callable[[str], None] = lambda _: None,
    progress: Say = lambda *_: None,
) -> dict[str, Any]:
    """Measure what is here against itself in `pairs` pairs of processes, and return, JSON-ready, how often a gate would
    raise a false alarm and which slowdowns it would find, with up to `gate_pairs` pairs or in `gate_s` seconds.

    Later gates of the same cases on this machine quote it. The other arguments are those of `gate`. Raises UserError,
    with exit code 5 where no case could be measured, and Interrupted.
    """
    chosen = rule(margin, catch)
    folder = Path(out) if out is not None else Path("runs") / f"calibration-{datetime.now():%Y%m%d-%H%M%S}"
    check_new(folder)
    pairs += pairs % 2
    device = _chosen(targets, device, say)
    side = sides.Side(sides.HERE)
    plan = side.plan(targets, device, only, sets)
    outcome = measured(
        folder, [side, side], [plan, plan], Rules(chosen), pairs=pairs, device=device, wait=wait, to_the_end=True,
        say=say, progress=progress,
    )  # fmt: skip
    logs = {case: values for case, values in outcome.logs.items() if len(values) > 1}
    if not logs:
        raise UserError("no case could be measured", hint=f"{folder / 'head' / 'records.jsonl'} says why", exit_code=5)
    pair_s = outcome.time_s / pairs  # of all cases
    if gate_s is not None:
        gate_pairs = min(max(2, int(gate_s / pair_s) // 2 * 2), MOST_PAIRS)
    document = {
        "schema_version": 1,
        "suite": plan["suite"],
        "run": str(folder),
        "rule": asdict(chosen),
        "measured_pairs": pairs,
        "measured_alarms": [case for case, one in outcome.decisions.items() if one.verdict in ("slower", "faster")],
        "pair_s": pair_s,
        **asdict(simulate(logs, chosen, gate_pairs)),
        "power": [
            {"pairs": some, "minutes": some * pair_s / 60, **_found(simulate(logs, chosen, some, suites=QUICK_SUITES))}
            for some in BUDGETS
        ],
    }
    calibrations.keep(document, device, side.fingerprint["identity"])
    return document


def _chosen(targets: Sequence[str], device: str, say: Callable[[str], None]) -> str:
    """Return the one device of a gate, and say which and why."""
    if "," in device:
        raise UserError(f"--device {device}: a gate measures on one device", hint="start one for each")
    if device == devices.AUTO and sides.are_tests(targets[0]):
        device = "cpu"  # tests name the devices of their own
    if device == devices.AUTO:
        chosen = devices.choose(device, many=False)
    else:  # each side checks it, in its own environment
        chosen = devices.Choice(device, device, "as --device says")
    say(str(chosen))
    return chosen.device


def _found(calibration: Calibration) -> dict[str, float | None]:
    """Of all cases, the smallest slowdown that is found in the middle one and in the worst; None beyond 100%."""
    ordered = sorted(noise.catches if noise.catches is not None else math.inf for noise in calibration.cases.values())
    middle, worst = ordered[len(ordered) // 2], ordered[-1]
    return {"middle": None if middle == math.inf else middle, "worst": None if worst == math.inf else worst}


def rule(margin: float, catch: float) -> Rule:
    """Return the rule of these two. Raises UserError where the margin is not below what is to be found."""
    try:
        return Rule(margin=margin, catch=catch)
    except ValueError as error:
        raise UserError(str(error), hint="--catch sets what must be found") from error


def measured(
    folder: Path,
    described: Sequence[sides.Side],
    plans: Sequence[dict[str, Any]],
    rules: Rules,
    *,
    pairs: int,
    device: str,
    wait: bool = True,
    budget_s: float | None = None,
    to_the_end: bool = False,
    say: Callable[[str], None] = lambda _: None,
    progress: Say = lambda *_: None,
) -> Paired:
    """Measure base and head in pairs, with the lock of the device. Raises Interrupted where a signal ends it before the
    first pair."""
    opened: list[Side] = []
    names = [devices.named(device).lock_name]
    try:
        with Stop() as stop, locks.machine_lock(str(folder), wait=wait, say=say, stop=stop, names=names):
            head = None
            for name, side, plan in zip(("base", "head"), described, plans, strict=True):
                head = _opened(folder / name, side, plan, pairs, stop)
                opened.append(head)
            assert isinstance(head, MeasuredSide)
            return paired.run(
                opened[0],
                head,
                rules,
                pairs=pairs,
                budget_s=budget_s,
                to_the_end=to_the_end,
                meant=any(side.sets for side in described),
                say=progress,
            )
    except (Interrupted, KeyboardInterrupt) as error:
        raise Interrupted from error
    finally:
        for one in opened:
            one.close()


def _notes(
    described: Sequence[sides.Side],
    plans: Sequence[dict[str, Any]],
    rules: Rules,
    pairs: int,
    margins: str | Path | None,
) -> list[str]:
    """Return notes for a reader before anything is measured. Takes from the plans what only one side has, where base
    was measured earlier."""
    notes = []
    if described[0].stored:
        notes = baselines.check(described[0].stored, described[1].fingerprint)
        notes += baselines.narrow(plans[0], plans[1], described[0].name)
    count = len(plans[1]["cases"])
    needed = fewest_pairs(count, rules.default)
    if pairs < needed:
        notes.append(f"a single slowdown among {count} cases takes {needed} pairs; --pairs is {pairs}")
    if idle := rules.idle(case["label"] for plan in plans for case in plan["cases"]):
        notes.append(f"{margins}: no case fits {', '.join(idle)}")
    return notes


def _opened(folder: Path, side: sides.Side, plan: dict[str, Any], pairs: int, stop: Stop) -> Side:
    """Return a side ready to be measured, or the run of one that was measured earlier."""
    cases = speed_cases(plan, pairs)
    if not cases:
        raise UserError(f"{side.name}: the suite has no speed cases here", hint="a gate is about speed")
    if side.stored:
        return StoredSide(cases, load(side.stored))
    chosen = [case.to_json() for case in cases.values()]
    about = manifest({**plan, "cases": chosen, "comparisons": []}, pairs, side.name, side.fingerprint)
    store = Store.create(folder, about)
    preload = preloads(cases.values())
    if KERNELS in preload:
        side.build_kernels()
    started = workers.make(preload, python=side.python, variables=side.variables)
    return MeasuredSide(cases, store, started, stop)
