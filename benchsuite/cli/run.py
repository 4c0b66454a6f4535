"""`benchsuite run SUITE`: measure, then report. `--resume DIR` continues a run that was ended, however it was
ended."""

from __future__ import annotations

import contextlib
import functools
import json
import math
import re
import secrets
import shlex
import signal
import sys
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from benchsuite import files
from benchsuite.errors import UserError, did_you_mean
from benchsuite.limits import MOST_JOBS, MOST_RANKS, MOST_REPLICATES, MOST_S

if TYPE_CHECKING:
    from rich.console import Console

    from benchsuite.engine.workers import Workers
    from benchsuite.planning.plan import Machine, Plan
    from benchsuite.records.case import Case
    from benchsuite.records.schema import Manifest
    from benchsuite.records.store import Store

LAUNCHERS = ("local", "torchrun", "slurm")
EXIT_FAILED = 5
EXIT_INTERRUPTED = 130
LEAST_MEMORY = 64 * 2**20  # Python alone takes as much
MOST_MEMORY = 2**50
BUSY_PERCENT = 20.0  # beyond it a reader should know; an idle machine shows 0 to 5


def command(
    suite: Annotated[str | None, typer.Argument(help="The name of a suite, or the path of a suite file.")] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="The run's directory; default: runs/SUITE-TIME.")
    ] = None,
    resume: Annotated[Path | None, typer.Option(help="Continue the run in this directory.")] = None,
    device: Annotated[
        str | None, typer.Option(help="cpu (the default), cuda, cuda:1, mps, xpu; cuda:0,cuda:1 share the layers out")
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option(help="Keep cases with such labels, as 'activation/swiglu*'.")
    ] = None,
    sets: Annotated[list[str] | None, typer.Option("--set", help="Override a key: quality.train.tokens=200k.")] = None,
    seeds: Annotated[int | None, typer.Option(min=1, max=MOST_REPLICATES, help="Seeds of the quality part.")] = None,
    corpus: Annotated[
        list[str] | None, typer.Option(help="Train on this text; give it again to compare with further ones.")
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option(min=1, max=MOST_JOBS, help="Quality jobs side by side; default: one a core, one on a GPU."),
    ] = None,
    scale: Annotated[str | None, typer.Option(help="Another size of an ablation: 125m, 350m, 760m, 1b3.")] = None,
    launcher: Annotated[
        str, typer.Option(help="How models are trained: local, torchrun with --ranks processes each, or slurm jobs.")
    ] = "local",
    ranks: Annotated[int, typer.Option(min=1, max=MOST_RANKS, help="Processes that train one model together.")] = 1,
    slurm: Annotated[
        list[str] | None, typer.Option(help="Slurm's, as partition=gpu, gpus_per_node=8, time=20 (hours).")
    ] = None,
    memory_limit: Annotated[
        str | None, typer.Option(help="What one job may allocate, as 4G; default: its share of 80% of what is free.")
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option(help="Measure as many replicates and seeds as fit into 10m, 2h; at least what an interval needs."),
    ] = None,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait for another run on this machine to end.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")] = False,
) -> None:
    """Measure a suite's cases, each in a process of its own, and write the report.

    Exit codes: 0 fine, 2 usage, 5 some cases failed, 130 interrupted (what is recorded is kept; --resume continues).
    """
    from rich.console import Console

    from benchsuite import locks
    from benchsuite.engine.scheduler import MEMORY_FRACTION, available_memory
    from benchsuite.errors import Interrupted
    from benchsuite.planning import plan, preflight
    from benchsuite.records.store import Store, check_new, read_plan
    from benchsuite.suite import source

    console = Console(stderr=True, soft_wrap=True, highlight=False)
    overrides = {
        "--only": only,
        "--set": sets,
        "--seeds": seeds,
        "--corpus": corpus,
        "-o": output,
        "--device": device,
        "--scale": scale,
    }
    if resume is not None:
        folder = resume
        manifest = read_plan(folder)
        machine = plan.Machine.here(manifest.device)
        resolved = _again(manifest, machine, suite, [name for name, value in overrides.items() if value])
    elif suite is not None:
        machine = plan.Machine.here(device or "cpu")
        read = source.read(suite, sets=sets or [], scale=scale)
        resolved = plan.resolve(read, machine, only=only or [], seeds=seeds, corpora=corpus or [])
        folder = output or Path("runs") / f"{resolved.suite.name}-{datetime.now():%Y%m%d-%H%M%S}"
        check_new(folder)
    else:
        raise UserError("which suite?", hint="`benchsuite run quick`; `benchsuite list suites` shows all")
    memory = _bytes(memory_limit) if memory_limit else None
    budget_s = _seconds(budget) if budget else None
    trainings = _trainings(launcher, ranks, slurm or [], folder)
    places = machine.cores if machine.device == "cpu" else 1
    at_once = jobs or (len(resolved.cases) * 100 if launcher == "slurm" else places // ranks or 1)
    for note in resolved.notes:
        console.print(f"note: {note}", markup=False)
    left = _unmeasured(resolved, folder) if resume is not None else resolved.cases
    preflight.check(left, ranks)
    if budget_s is not None:
        _check_budget(resolved, budget_s, at_once, folder if resume is not None else None)
    if launcher == "local":
        preflight.check_machine(
            left,
            folder,
            memory_bytes=memory or int(available_memory() * MEMORY_FRACTION / at_once),
            alone_bytes=memory or int(available_memory() * MEMORY_FRACTION),
            cores=machine.cores,
        )

    stop = Stop()
    try:
        say = functools.partial(console.print, markup=False)
        with locks.machine_lock(str(folder), wait=wait, say=say, stop=stop, device=machine.device):
            store = Store.open(folder) if resume is not None else Store.create(folder, _manifest(resolved))
            with contextlib.closing(store):
                if store.repaired:
                    console.print(f"repaired {folder}: {store.repaired}", markup=False)
                _execute(resolved, store, console, at_once, memory, stop, trainings, budget_s)
    except (Interrupted, KeyboardInterrupt):
        _interrupted(folder, as_json, console)
        raise typer.Exit(EXIT_INTERRUPTED) from None
    finally:
        stop.restore()
    raise typer.Exit(_finish(folder, store, as_json, console))


def _check_budget(resolved: Plan, budget_s: float, jobs: int, resumed: Path | None) -> None:
    """Raises UserError where the budget is less than a valid answer takes: a run that cannot keep to it would take
    longer than it was given, or end without an interval."""
    from benchsuite import format as fmt
    from benchsuite.engine import estimate
    from benchsuite.engine.rounds import SEEDS
    from benchsuite.records.store import read_records
    from benchsuite.stats.speed import FEWEST_ROUNDS

    done = {record.key for record in read_records(resumed)} if resumed is not None else set()
    least_s = estimate.of(resolved, jobs, done).least_s
    if budget_s < least_s:
        raise UserError(
            f"--budget: {fmt.seconds(budget_s)} are less than a valid answer takes, about {fmt.seconds(least_s)}: "
            f"{FEWEST_ROUNDS} rounds of each speed comparison and {SEEDS} seeds of each model",
            hint=f"try --budget {math.ceil(least_s / 60)}m, or measure fewer cases (--only)",
        )


def _unmeasured(resolved: Plan, folder: Path) -> tuple[Case, ...]:
    """The cases of which a run that continues has something left to measure."""
    from benchsuite.records.store import read_records

    done = {record.key for record in read_records(folder)}
    return tuple(case for case in resolved.cases if any((case.id, n) not in done for n in case.replicates))


def _execute(
    resolved: Plan,
    store: Store,
    console: Console,
    jobs: int,
    memory: int | None,
    stop: Stop,
    trainings: Callable[[bool], Workers] | None,
    budget_s: float | None,
) -> None:
    from benchsuite.engine import progress, workers
    from benchsuite.engine.preloads import KERNELS, preloads
    from benchsuite.engine.rounds import resolution_of
    from benchsuite.engine.scheduler import Scheduler
    from benchsuite.records.case import KINDS

    if any(KINDS[case.kind].alone for case in resolved.cases) and (busy := _busy_percent()) > BUSY_PERCENT:
        text = f"this machine is {busy:.0f}% busy with other work, which will show in the speeds"
        store.log(text)
        console.print(f"note: {text}", markup=False)
    preload = preloads(resolved.cases)
    if KERNELS in preload:  # a build must not fall into a measured process
        from benchsuite import cuda_ext

        cuda_ext.prepare()
    network = any('"hub:' in json.dumps(case.params) for case in resolved.cases)

    display = progress.observer(console)
    try:
        Scheduler(
            resolved.cases,
            store,
            functools.partial(workers.make, preload, network=network),
            display,
            comparisons=resolved.comparisons,
            trainings=trainings(network) if trainings else None,
            jobs=jobs,
            memory_limit_bytes=memory,
            stop=stop,
            resolution=resolution_of(resolved.suite),
            budget_s=budget_s,
        ).run()
    finally:
        display.close()


def _trainings(launcher: str, ranks: int, slurm: list[str], folder: Path) -> Callable[[bool], Workers] | None:
    """Makes the place where models are trained, given whether they need the network; None for beside all the rest."""
    from benchsuite.engine import workers

    if launcher not in LAUNCHERS:
        raise UserError(f"--launcher {launcher!r} is unknown", hint=did_you_mean(launcher, list(LAUNCHERS)))
    if ranks > 1 and launcher == "local":
        raise UserError(f"--ranks {ranks}: a local training is one process", hint="--launcher torchrun")
    if slurm and launcher != "slurm":
        raise UserError(f"--slurm {slurm[0]}: nothing is given to Slurm", hint="--launcher slurm")
    if launcher == "slurm":
        from benchsuite.engine.slurm import SlurmWorkers

        options = dict(option.partition("=")[::2] for option in slurm)
        # submitit reads what it pickles there: a name that nobody could know, and so lay something behind, before.
        place = SlurmWorkers(files.real(folder) / "work" / f"slurm-{secrets.token_hex(8)}", ranks, options)
        return lambda network: place
    return (lambda network: workers.ColdWorkers(network=network, ranks=ranks)) if launcher == "torchrun" else None


def _busy_percent() -> float:
    """How busy all cores together are, over half a second in which this run does nothing."""
    import psutil

    return float(psutil.cpu_percent(interval=0.5))


def _manifest(resolved: Plan) -> dict[str, Any]:
    """All of the manifest but its schema version."""
    from datetime import UTC

    from benchsuite import __version__
    from benchsuite.cuda_ext.library import about
    from benchsuite.hardware.fingerprint import fingerprint
    from benchsuite.records.case import MEASUREMENT_VERSION

    hardware = fingerprint()
    hardware["context"]["kernels"] = about()
    head = {"suite": resolved.suite.name, "description": resolved.suite.description}
    return {
        **head,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": ["benchsuite", *sys.argv[1:]],
        "benchsuite_version": __version__,
        "measurement_version": MEASUREMENT_VERSION,
        "hardware": hardware,
        **resolved.to_json(),
    }


def _again(manifest: Manifest, machine: Machine, suite: str | None, overrides: list[str]) -> Plan:
    """The plan of a run that continues. Raises UserError where it would measure something else than the manifest
    plans."""
    from benchsuite.hardware.fingerprint import fingerprint
    from benchsuite.planning import plan
    from benchsuite.suite import source

    if overrides:
        raise UserError(
            f"--resume continues a run as it was planned, so {', '.join(overrides)} cannot change it",
            hint="leave the option out, or begin a new run",
        )
    if manifest.resolved_suite is None:
        raise UserError(f"the run of {manifest.suite!r} was not planned here, so there is nothing to continue")
    if suite is not None and suite != manifest.suite and source.read(suite).name != manifest.suite:
        raise UserError(f"the run is of the suite {manifest.suite!r}, not of {suite!r}")
    then, now = manifest.hardware.identity, json.loads(json.dumps(fingerprint()["identity"]))
    changed = [f"{key} was {then.get(key)!r} and is {now.get(key)!r}" for key in now if now.get(key) != then.get(key)]
    if changed:
        raise UserError(
            f"the run was begun on another machine or with other software: {'; '.join(changed)}",
            hint="measurements of two machines do not belong into one run; begin a new one",
        )
    resolved = plan.resolve(source.from_json(manifest.resolved_suite), machine, only=manifest.only)
    planned = {case.id: case for case in manifest.cases}
    if {c.id: list(c.replicates) for c in resolved.cases} != {c.id: c.replicates for c in planned.values()}:
        gone = [case.label for identity, case in planned.items() if identity not in {c.id for c in resolved.cases}]
        raise UserError(
            f"this benchsuite would measure other cases than the manifest plans: {', '.join(gone[:3]) or 'more cases'}"
            f"{' …' if len(gone) > 3 else ''}",
            hint="the version, a plug-in or the text of a corpus has changed; begin a new run",
        )
    return resolved


class Stop:
    """Becomes true with the first SIGINT, SIGTERM or SIGHUP; a second SIGINT ends at once."""

    def __init__(self) -> None:
        self.asked = False
        self._before = {
            number: signal.signal(number, self._ask) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        }

    def __call__(self) -> bool:
        return self.asked

    def _ask(self, number: int, frame: object) -> None:
        if self.asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.asked = True

    def restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)


def _interrupted(folder: Path, as_json: bool, console: Console) -> None:
    command = f"benchsuite run --resume {shlex.quote(str(folder))}"
    begun = (folder / "manifest.json").exists()
    kept = f"what is recorded is kept. Continue with: {command}" if begun else "nothing was begun"
    console.print(f"interrupted; {kept}", markup=False)
    if as_json:
        print(json.dumps({"schema_version": 1, "interrupted": True, "run": str(folder), "resume": command}))


def _finish(folder: Path, store: Store, as_json: bool, console: Console) -> int:
    """Writes the report, says where it is, and returns the exit code."""
    from benchsuite import terminal
    from benchsuite.records.case import FAILED
    from benchsuite.report.render import write
    from benchsuite.report.terminal import terminal as show

    counts = Counter(record.status for record in store.records)
    failed = sum(counts[status] for status in FAILED)
    code = EXIT_FAILED if failed else 0
    paths = {name: str(path) for name, path in write(folder).items()}
    if as_json:
        document = {"schema_version": 1, "run": str(folder), "cases": dict(counts), "report": paths, "exit_code": code}
        print(json.dumps(document, indent=1))
    else:
        show(folder, terminal.console())
    if failed:
        said = ", ".join(f"{counts[status]} {status}" for status in FAILED if counts[status])
        console.print(f"{failed} measurements failed ({said}); {folder / 'records.jsonl'} says why", markup=False)
    for path in paths.values():
        console.print(f"report: {path}", markup=False)
    return code


def _bytes(text: str) -> int:
    """`4G`, `512M` or a number as bytes, with binary prefixes. Raises UserError."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?)i?B?", text.strip(), re.IGNORECASE)
    if match is None or float(match[1]) == 0:
        raise UserError(f"--memory-limit {text}: should be a number of bytes", hint="for instance --memory-limit 4G")
    value = float(match[1]) * 1024 ** " KMGT".index(match[2].upper() or " ")
    if not LEAST_MEMORY <= value <= MOST_MEMORY:
        raise UserError(
            f"--memory-limit {text}: a job takes from {LEAST_MEMORY // 2**20} MiB to {MOST_MEMORY // 2**40} TiB",
            hint="for instance --memory-limit 4G",
        )
    return int(value)


def _seconds(text: str) -> float:
    """`90s`, `10m` or `2h` as seconds. Raises UserError."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smh])", text.strip(), re.IGNORECASE)
    if match is None or float(match[1]) == 0:
        raise UserError(f"--budget {text}: should be a time", hint="for instance --budget 10m, 90s or 2h")
    value = float(match[1]) * {"s": 1, "m": 60, "h": 3600}[match[2].lower()]
    if value > MOST_S:
        raise UserError(f"--budget {text}: should be at most {MOST_S / 3600:.0f} h")
    return value
