"""A run as a whole, from a suite to its records: `benchsuite.run` and `benchsuite.resume`.

    run = benchsuite.run("quick", out="runs/quick-1", budget_s=600)

Checks come first, so that nothing is begun that cannot end well. Then the run waits for the lock of its device, writes
the manifest, and hands the cases to the scheduler.
"""

from __future__ import annotations

import contextlib
import functools
import json
import math
import secrets
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, TypedDict, Unpack

from benchsuite import cuda_ext, devices, extras, files, locks
from benchsuite import format as fmt
from benchsuite.engine import estimate, rate, reuse, workers
from benchsuite.engine.preloads import KERNELS, preloads
from benchsuite.engine.processes import Observer
from benchsuite.engine.rounds import SEEDS, resolution_of
from benchsuite.engine.scheduler import MEMORY_FRACTION, Scheduler, available_memory
from benchsuite.engine.stop import Stop
from benchsuite.engine.workers import Workers
from benchsuite.errors import Interrupted, UserError, did_you_mean
from benchsuite.hardware.fingerprint import fingerprint
from benchsuite.planning import ladder, preflight
from benchsuite.planning.machine import Machine
from benchsuite.planning.plan import Plan, plan, resolve
from benchsuite.records.baselines import differences
from benchsuite.records.case import Case, Record
from benchsuite.records.load import Run, load, read_manifest
from benchsuite.records.schema import Manifest, new_manifest
from benchsuite.records.store import Store, check_new
from benchsuite.stats.speed import FEWEST_ROUNDS
from benchsuite.suite import source
from benchsuite.verdicts import decided

LAUNCHERS = ("local", "torchrun", "slurm")
ALL_AT_ONCE = 10_000  # Slurm has a queue of its own
BUSY_PERCENT = 20.0  # beyond it a reader should know; an idle machine shows 0 to 5


class Options(TypedDict, total=False):
    """The options of a run.

    jobs: quality jobs side by side; default: one a core, and on a GPU as many as keep it busy and fit into its memory.
    memory_limit_bytes: what one job may allocate; default: its share of 80% of what is free.
    budget_s: measure as many rounds and seeds as fit into so many seconds; what an interval needs must fit.
    launcher: how models are trained: `local`, `torchrun` with `ranks` processes each, or `slurm` jobs with the options
        `slurm`, such as {"partition": "gpu", "time": "20"} (hours).
    reuse: runs on this machine whose trained models are taken where this one plans the same (`engine.reuse`).
    wait: wait for another run on this device to end; else raise UserError where there is one.
    say: called with notes for a person.
    observer: told of each job (`benchsuite.engine.progress.observer` draws bars).
    """

    jobs: int | None
    memory_limit_bytes: int | None
    budget_s: float | None
    launcher: str
    ranks: int
    slurm: Mapping[str, str]
    reuse: Sequence[str | Path]
    wait: bool
    say: Callable[[str], None]
    observer: Observer


def run(
    suite: str | Path,
    *,
    out: str | Path | None = None,
    device: str = devices.AUTO,
    only: Sequence[str] = (),
    sets: Sequence[str] = (),
    seeds: int | None = None,
    corpora: Sequence[str] = (),
    scale: str | None = None,
    dtype: str | None = None,
    until: str | None = None,
    **options: Unpack[Options],
) -> Run:
    """Measure a suite, each case in processes of its own, and return what was recorded.

    `out` is the directory of the run (default: runs/SUITE-TIME); the other arguments are those of `benchsuite.plan`,
    and `Options`. Failures of cases are records, not exceptions. Raises UserError where the suite, an option or the
    machine does not allow the run, and Interrupted where a signal ends it: what is recorded by then is kept.
    """
    ranks, chosen, say = options.get("ranks", 1), devices.choose(device), options.get("say", _silent)
    say(str(chosen))
    if scale in (None, source.AUTO) and source.ladder(str(suite)):
        extras.require("quality", "training models")
        machine = Machine.here(chosen.device)
        names, holder = [device.lock_name for device in machine.devices], f"the rate of {suite}"
        with locks.machine_lock(holder, wait=options.get("wait", True), say=say, names=names):
            rate.measure_ladder(str(suite), machine, sets, seeds, dtype, say=say)
    planned = plan(
        suite,
        device=chosen.device,
        only=only,
        sets=sets,
        seeds=seeds,
        corpora=corpora,
        scale=scale,
        ranks=ranks,
        dtype=dtype,
        until=until,
    )
    folder = Path(out) if out is not None else Path("runs") / f"{planned.suite.name}-{datetime.now():%Y%m%d-%H%M%S}"
    return measure(planned, folder, **options)


def measure(planned: Plan, folder: Path, **options: Unpack[Options]) -> Run:
    """Measure a plan into the new directory `folder`, and return what was recorded. Raises as `run` does."""
    check_new(folder)
    taken = reuse.records(planned, folders, _hardware()) if (folders := options.get("reuse")) else []
    if taken:
        planned = replace(planned, notes=(*planned.notes, reuse.note(taken)))
    done = {record.key for record in taken}
    return _measured(planned, done, folder, options, lambda: Store.create(folder, manifest(planned), taken))


def resume(folder: str | Path, *, suite: str | Path | None = None, **options: Unpack[Options]) -> Run:
    """Continue the run in `folder`, however it was ended, and return all that is recorded then.

    Nothing is measured twice. Raises UserError where `suite` is given and is not that of the run, where the machine or
    the software is another one, and otherwise as `run` does.
    """
    folder = Path(folder)
    begun = load(folder)
    planned = planned_again(begun.manifest, suite)
    done = {record.key for record in begun}
    preflight.check(_left(planned, done), options.get("ranks", 1))
    return _measured(planned, done, folder, options, lambda: Store.open(folder))


def planned_again(manifest: Manifest, suite: str | Path | None = None) -> Plan:
    """Return the plan of a run that continues. Raises UserError where it would measure something else than the manifest
    plans."""
    if manifest.resolved_suite is None:
        raise UserError(f"the run of {manifest.suite!r} was not planned here, so there is nothing to continue")
    if suite is not None and str(suite) != manifest.suite and source.read(str(suite)).name != manifest.suite:
        raise UserError(f"the run is of the suite {manifest.suite!r}, not of {str(suite)!r}")
    then, now = manifest.hardware.identity, json.loads(json.dumps(fingerprint()["identity"]))
    if changed := differences(then, now, tuple(now), show=repr):
        raise UserError(
            f"the run was begun on another machine or with other software: {'; '.join(changed)}",
            hint="measurements of two machines do not belong into one run; begin a new one",
        )
    machine = Machine.here(manifest.device)
    resolved = resolve(source.from_json(manifest.resolved_suite), machine, only=manifest.only)
    before, after = ({case.id: case.replicates for case in cases} for cases in (manifest.cases, resolved.cases))
    if before != after:
        gone = [case.label for case in manifest.cases if case.id not in after]
        raise UserError(
            f"this benchsuite would measure other cases than the manifest plans: {', '.join(gone[:3]) or 'more cases'}"
            f"{' …' if len(gone) > 3 else ''}",
            hint="the version, a plug-in or the text of a corpus has changed; begin a new run",
        )
    return resolved


def manifest(planned: Plan) -> dict[str, Any]:
    """Return the manifest of a run that begins now."""
    return new_manifest(planned.to_json(), _hardware(), ["benchsuite", *sys.argv[1:]])


def _hardware() -> dict[str, Any]:
    """The fingerprint of this machine, our kernels with it."""
    found = fingerprint()
    found["context"]["kernels"] = cuda_ext.library.about()
    return found


def _left(planned: Plan, done: Collection[tuple[str, int]]) -> tuple[Case, ...]:
    """The cases of which something is not `done`."""
    return tuple(case for case in planned.cases if any((case.id, n) not in done for n in case.replicates))


def _measured(
    planned: Plan, done: Collection[tuple[str, int]], folder: Path, options: Options, begin: Callable[[], Store]
) -> Run:
    """Measure what is not `done` in `folder`, whose store `begin` makes or opens once the machine is free."""
    left = _left(planned, done)
    if any(case.training for case in left):
        extras.require("quality", "training models")
    trainings = _trainings(options, folder)
    say = options.get("say", _silent)
    machine = Machine.here(planned.device)
    jobs = _jobs(options, planned, machine)
    memory = options.get("memory_limit_bytes")
    if memory is None and options.get("launcher") == "slurm":  # its jobs share other machines
        memory = int(available_memory() * MEMORY_FRACTION)
    for note in planned.notes:
        say(f"note: {note}")
    if (budget_s := options.get("budget_s")) is not None:
        _check_budget(planned, budget_s, jobs, done)
    if trainings is None:
        free = int(available_memory() * MEMORY_FRACTION)
        preflight.check_machine(
            left, folder, memory_bytes=memory or free // jobs, alone_bytes=memory or free, cores=machine.cores
        )
    wait, lock_names = options.get("wait", True), [device.lock_name for device in machine.devices]
    try:
        with (
            Stop() as stop,
            locks.machine_lock(str(folder), wait=wait, say=say, stop=stop, names=lock_names),
            contextlib.closing(begin()) as store,
        ):
            if store.repaired:
                say(f"repaired {folder}: {store.repaired}")
            _schedule(planned, store, options, trainings, jobs, memory, stop)
    except (Interrupted, KeyboardInterrupt) as error:
        raise Interrupted(folder) from error
    return load(folder)


def _schedule(
    planned: Plan,
    store: Store,
    options: Options,
    trainings: Callable[[bool], Workers] | None,
    jobs: int,
    memory: int | None,
    stop: Stop,
) -> None:
    if any(case.timed for case in planned.cases) and (busy := _busy_percent()) > BUSY_PERCENT:
        text = f"this machine is {busy:.0f}% busy with other work, which will show in the speeds"
        store.log(text)
        options.get("say", _silent)(f"note: {text}")
    preload = preloads(planned.cases)
    if KERNELS in preload:  # a build must not fall into a measured process
        cuda_ext.prepare()
    trained = [case.training for case in planned.cases if case.training is not None]
    network = any(name.startswith("hub:") for params in trained for name in preflight.corpora_of(params))
    Scheduler(
        planned.cases,
        store,
        functools.partial(workers.make, preload, network=network),
        options.get("observer") or Observer(),
        comparisons=planned.comparisons,
        trainings=trainings(network) if trainings else None,
        jobs=jobs,
        memory_limit_bytes=memory,
        stop=stop,
        resolution=resolution_of(planned.suite),
        budget_s=options.get("budget_s"),
        undecided=functools.partial(_undecided, store) if _until_decided(planned) else None,
    ).run()


def _until_decided(planned: Plan) -> bool:
    return planned.suite.quality is not None and planned.suite.quality.until == "decided"


def _undecided(store: Store) -> list[str]:
    """Return the comparisons that the records of a run leave undecided."""
    records: dict[str, dict[int, Record]] = {}
    for record in store.records:
        records.setdefault(record.case_id, {})[record.replicate] = record
    read = read_manifest(store.folder)
    return decided.undecided(Run(name="", folder=store.folder, manifest=read, records=records, warnings=()))


def _check_budget(planned: Plan, budget_s: float, jobs: int, done: Collection[tuple[str, int]]) -> None:
    """Raise UserError if the budget is less than a valid answer takes beyond what is `done`: a run that cannot keep to
    it would take longer than it was given, or end without an interval."""
    least_s = estimate.of(planned, jobs, done).least_s
    if budget_s < least_s:
        raise UserError(
            f"--budget: {fmt.seconds(budget_s)} are less than a valid answer takes, about {fmt.seconds(least_s)}: "
            f"{FEWEST_ROUNDS} rounds of each speed comparison and {SEEDS} seeds of each model",
            hint=f"try --budget {math.ceil(least_s / 60)}m, or measure fewer cases (--only)",
        )


def _trainings(options: Options, folder: Path) -> Callable[[bool], Workers] | None:
    """Return what makes the workers that train models, given whether they need the network; None where they are those
    of all other jobs. Raises UserError for options that contradict one another."""
    launcher, ranks, slurm = options.get("launcher", "local"), options.get("ranks", 1), options.get("slurm", {})
    if launcher not in LAUNCHERS:
        raise UserError(f"--launcher {launcher!r} is unknown", hint=did_you_mean(launcher, list(LAUNCHERS)))
    if ranks > 1 and launcher == "local":
        raise UserError(f"--ranks {ranks}: a local training is one process", hint="--launcher torchrun")
    if slurm and launcher != "slurm":
        raise UserError(f"--slurm {next(iter(slurm))}: nothing is given to Slurm", hint="--launcher slurm")
    if launcher == "torchrun":
        return lambda network: workers.ColdWorkers(network=network, ranks=ranks)
    if launcher == "local":
        return None
    from benchsuite.engine.slurm import SlurmWorkers

    # submitit reads what it pickles there: a name that nobody could know, and so lay something behind, before.
    slurm_workers = SlurmWorkers(files.real(folder) / "work" / f"slurm-{secrets.token_hex(8)}", ranks, slurm)
    return lambda network: slurm_workers


def _jobs(options: Options, planned: Plan, machine: Machine) -> int:
    if jobs := options.get("jobs"):
        return jobs
    if options.get("launcher") == "slurm":
        return ALL_AT_ONCE
    return ladder.jobs(planned, machine) // options.get("ranks", 1) or 1


def _busy_percent() -> float:
    """Return the load of all cores together in percent, over half a second in which this run does nothing."""
    import psutil

    return float(psutil.cpu_percent(interval=0.5))


def _silent(text: str) -> None:
    """Say nothing."""
