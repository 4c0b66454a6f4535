"""Choose the size of a suite for a machine: the largest rung of a ladder whose run is done in time.

    found = ladder.choose("quick", machine)
    found.scale, found.note      # "0.4m", and why, for a reader

A rung is estimated by the rate at which its baseline trains here: as it was measured (`benchsuite.engine.rate`), or,
where nothing was, from what its device may reach (`benchsuite.devices`). No torch here.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from benchsuite import files
from benchsuite import format as fmt
from benchsuite.cache import cache_dir, digest, write_atomically
from benchsuite.devices.cuda import sustained
from benchsuite.hardware.fingerprint import identity
from benchsuite.model import flops
from benchsuite.model.spec import ModelSpec
from benchsuite.planning import cost, speed_cases, training_budget
from benchsuite.planning.cases import Builder
from benchsuite.planning.machine import Machine
from benchsuite.planning.plan import Plan, resolve
from benchsuite.records.case import Case
from benchsuite.records.params import SpeedParams
from benchsuite.suite import source
from benchsuite.suite.schema import Speed, SpeedCase, Suite

SAMPLE_S = 0.5  # of the step whose rate is measured
MOST_AT_ONCE = 16  # trainings on one accelerator
CONTEXT_BYTES = 600 * 2**20  # of a process that uses a GPU, beside its tensors
MEMORY_FRACTION = 0.8


@dataclass(frozen=True)
class Rate:
    """Tokens a second of one training by itself, and when that was measured (None: it is estimated)."""

    tokens_per_s: float
    measured: str | None = None


@dataclass(frozen=True)
class Trainings:
    """The number of trainings side by side on a device, their rate together, and what bounds their number."""

    jobs: int
    tokens_per_s: float
    rate: Rate
    bound: str


@dataclass(frozen=True)
class Rung:
    """One size of a suite here: `tokens` of all its trainings, and the seconds that its run takes."""

    scale: str
    tokens: int
    trainings: Trainings
    run_s: float


@dataclass(frozen=True)
class Choice:
    """The scale that was chosen, the rungs up to the first that takes longer than `limit_s`, and why, for a reader."""

    scale: str
    rungs: tuple[Rung, ...]
    limit_s: float
    note: str


def choose(
    suite: str, machine: Machine, sets: Sequence[str] = (), seeds: int | None = None, dtype: str | None = None
) -> Choice | None:
    """Return the largest scale of a suite's ladder whose run is done in time on `machine`, the smallest if none is;
    None for a suite without a ladder. `sets`, `seeds` and `dtype` are those of `benchsuite.plan`. Raises UserError for
    a suite that is wrong."""
    rungs: list[Rung] = []
    limit_s = math.inf
    for name in source.ladder(suite):
        read = source.read(suite, sets=sets, scale=name, dtype=dtype)
        limit_s = read.ladder_s or math.inf
        rungs.append(_rung(name, resolve(read, machine, seeds=seeds), machine))
        if rungs[-1].run_s > limit_s:
            break  # those above take longer
    if not rungs:
        return None
    chosen = ([rung for rung in rungs if rung.run_s <= limit_s] or rungs)[-1]
    return Choice(chosen.scale, tuple(rungs), limit_s, _note(chosen, rungs, limit_s))


def jobs(plan: Plan, machine: Machine) -> int:
    """Return how many jobs that are not timed run side by side."""
    if machine.devices[0].is_host:
        return machine.cores
    return trainings(plan, machine).jobs


def trainings(plan: Plan, machine: Machine) -> Trainings:
    """Return how the trainings of a plan run side by side: one on each core of a CPU; on an accelerator as many as keep
    it busy, as memory and cores allow."""
    training = next((case.training for case in plan.cases if case.training is not None), None)
    if training is None:
        return Trainings(1, math.inf, Rate(math.inf), "none is trained")
    device, params = machine.devices[0], speed_cases.step_of(step(plan.suite, machine))
    precision = training.train.precision
    flop_per_s = sustained(machine.elsewhere, precision) or device.sustained_flop_per_s(precision)
    rate = (None if machine.elsewhere else known(params)) or Rate(1 / cost.training_token_s(training, flop_per_s))
    if device.is_host:
        return Trainings(machine.cores, machine.cores * rate.tokens_per_s, rate, "one on each core")
    spec, batch = ModelSpec.of_speed_case(params), params.shape.batch
    flop_per_token = flops.step_flops(spec, batch, spec.seq) / (batch * spec.seq)
    most = max(rate.tokens_per_s, flop_per_s / flop_per_token)
    bounds = {
        "as many as keep it busy": max(1, round(most / rate.tokens_per_s)),
        "as many as there are cores": machine.cores,
        "the most that are tried": MOST_AT_ONCE,
    }
    capacity = None if machine.elsewhere else device.capacity_bytes()
    if capacity is not None:
        bounds["as many as its memory holds"] = max(1, int(MEMORY_FRACTION * capacity / _bytes(plan)))
    bound = min(bounds, key=bounds.__getitem__)
    return Trainings(bounds[bound], min(bounds[bound] * rate.tokens_per_s, most), rate, bound)


def step(suite: Suite, machine: Machine) -> Case:
    """Return the training step of a suite's baseline as a speed case, whose rate tells that of its trainings."""
    builder = Builder(suite, machine)
    train = suite.quality.train.implementation if suite.quality is not None else "sdpa"
    implementation = "fused" if train in ("best", "fused") and machine.no_kernels is None else "sdpa"
    asked = SpeedCase(component=("position",), variants=("macro",), implementations=(implementation,), scope="step")
    speed = Speed(sample_s=SAMPLE_S, rounds=1, most_rounds=1)
    return speed_cases.speed_case(builder, speed, asked, implementation, "position", suite.baseline.position, None)


def keep(params: SpeedParams, tokens_per_s: float) -> None:
    """Keep the measured rate of a step for later plans of this machine."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    with write_atomically(_path(params)) as temporary:
        temporary.write_text(json.dumps({"tokens_per_s": tokens_per_s, "measured": now}))


def known(params: SpeedParams) -> Rate | None:
    """Return the rate of a step as this machine last measured it."""
    try:
        found = Rate(**json.loads(files.read(_path(params))))
        return found if found.tokens_per_s > 0 else None
    except (OSError, ValueError, TypeError):
        return None


def _rung(scale: str, plan: Plan, machine: Machine) -> Rung:
    cases = [(case, case.training) for case in plan.cases if case.training is not None and case.unsupported is None]
    together = trainings(plan, machine)
    tokens = sum(len(case.replicates) * params.train.tokens for case, params in cases)
    begin_s = cost.PROCESS_S + (0.0 if machine.devices[0].is_host else cost.BEGIN_S)
    evaluations_s = sum(len(case.replicates) * (begin_s + cost.evaluation(params)) for case, params in cases)
    speed_s = plan.suite.speed.budget_s or 0.0 if plan.suite.speed is not None else 0.0
    rest_s = speed_s + cost.PREPARE_S + evaluations_s / together.jobs
    return Rung(scale, tokens, together, rest_s + tokens / together.tokens_per_s)


def _note(chosen: Rung, rungs: Sequence[Rung], limit_s: float) -> str:
    together, measured = chosen.trainings, chosen.trainings.rate.measured
    how = f"measured here on {measured[:10]}" if measured else "estimated, since nothing was measured yet"
    told = f"scale {chosen.scale}: {fmt.si(together.tokens_per_s, 'tokens/s')} ({how})"
    told += f" in {together.jobs} trainings side by side, {together.bound}" if together.jobs > 1 else ""
    told += f"; {fmt.si(chosen.tokens, 'tokens')} and the rest take about {fmt.seconds(chosen.run_s)}"
    if limit_s < math.inf:
        told += f" of the {fmt.seconds(limit_s)} that there are"
    if rungs[-1] is not chosen:
        above = rungs[rungs.index(chosen) + 1]
        told += f"; scale {above.scale} would take about {fmt.seconds(above.run_s)}"
    return f"{told} (--scale takes another)"


def _bytes(plan: Plan) -> float:
    """Memory of the largest of a plan's trainings."""
    return CONTEXT_BYTES + max((found.bytes_per_gpu for found in training_budget.of(plan, 1)), default=0.0)


def _path(params: SpeedParams) -> Path:
    return cache_dir("rates") / f"{digest([_machine(), params.json()], 24)}.json"


@cache
def _machine() -> dict[str, Any]:
    return identity()
