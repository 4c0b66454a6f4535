"""One speed case in this process: build, compile, warm up, time, check what the last timed call gave, measure memory.

A speed is never reported for a wrong output, nor for one that the hardware cannot reach: a result further from float64
than its type allows, and a figure above the roofline, raise `Incorrect`. One that was taken while the device slowed
itself down is taken again, and raises `Throttled` if it stays so.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import importlib
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch

from benchsuite import devices
from benchsuite.devices import Device
from benchsuite.errors import UserError
from benchsuite.hardware import measured, roofline
from benchsuite.measure import accuracy, subjects
from benchsuite.records.case import Incorrect, Throttled, Unsupported
from benchsuite.records.params import SpeedParams, TimedParams
from benchsuite.records.results import SpeedResult
from benchsuite.timing.clock import Clock
from benchsuite.timing.monitor import Monitor, energy_pass, energy_per_token
from benchsuite.timing.sampler import TURNS_WARMUP_S, SamplerConfig, Samples, sample
from benchsuite.timing.turns import Turns

# What torch.compile imports at its first use: two seconds in every process that is not forked from one that has them.
COMPILER = (
    "torch._dynamo",
    "torch._inductor.compile_fx",
    "torch._inductor.codegen.cpp",
    "torch._inductor.fx_passes.fuse_attention",
    "torch.utils.cpp_extension",
    "torch.distributed.tensor.experimental._attention",
)
COOL_DOWN_S = (2.0, 10.0)  # pauses before a throttled measurement is taken again; after the last it stays throttled


def measure(params: dict[str, Any], *, first: bool = True, turns: dict[str, Any] | None = None) -> dict[str, Any]:
    """Measure the speed case whose parameters are `params`, as JSON, by `timed`."""
    case = SpeedParams.read(params)
    return timed(case, functools.partial(subjects.build, case), first=first, turns=turns)


def timed(
    params: TimedParams,
    build: Callable[[], subjects.Subject],
    *,
    first: bool = True,
    turns: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Measure the subject that `build` makes, and return its result as the schema of `records.jsonl` has it. Only the
    `first` process of a case measures memory, which is the same in all. `turns` is the turnstile at which other
    processes wait too, as the arguments of `benchsuite.timing.turns.Turns`.

    Times are seconds per call, memory bytes, rates per second; what is unknown is None. Raises Unsupported where this
    machine cannot run the case, Incorrect where the output is wrong or the figure impossible, Throttled where the
    device did not keep its clocks.
    """
    at = Turns(**turns) if turns else None
    phases = _Phases(at)
    device, clock = _device(params)
    # Processes that wait for one another build side by side, on a core each; what is compiled depends on the threads.
    torch.set_num_threads(1 if at and not params.compiled else params.threads)
    subject = device.subject(build)
    phases.end("build")
    if at and not params.compiled:
        at.take()
    torch.set_num_threads(params.threads)
    subject.call()
    phases.end("first_call")
    if at and params.compiled:
        at.take()

    config = SamplerConfig(budget_s=params.sample_s, warmup_budget_s=2 * params.sample_s)
    if at:  # each turn begins with an untimed call
        config = replace(config, warmup_budget_s=min(params.sample_s, TURNS_WARMUP_S))
    if device.block_s is not None:  # a block there costs a wait for the device before and after
        config = replace(config, block_s=device.block_s)
    for pause_s in (*COOL_DOWN_S, None):
        graphs = _compiled_graphs()
        monitor = device.monitor(shared=at.members - 1 if at else 0)
        samples, seen = _sampled(subject, clock, config, monitor, at)
        if _compiled_graphs() != graphs:
            raise Incorrect("torch.compile compiled again while the case was timed")
        if at or not seen["throttled"] or pause_s is None:  # those that take turns go on in the same heat
            break
        clock.pause(pause_s)
    phases.end("timing")
    if at:
        torch.set_num_threads(1)  # all check side by side
    error = accuracy.check(subject.results(), subject.reference and subject.reference(), params.dtype)
    phases.end("check")

    energy = energy_per_token(seen, clock.mode, samples.calls, subject.tokens)
    if energy is None and first and seen.get("gpu_readings") and subject.tokens and (at is None or at.take()):
        hot = device.clock("wall")
        energy = energy_pass(subject.call, samples.calls_per_sample, hot, device.monitor(), subject.tokens)
        phases.end("energy")
    distance = _distance(device, params, samples.median_s, subject, at)
    phases.end("peaks")
    if at:
        at.close()
    subject.clear()
    memory = device.memory(subject.call, subject.held) if first else None
    phases.end("memory")

    per_s = 1 / samples.median_s
    mfu, hfu = _utilisation(subject, distance)
    result = {
        "time_s": samples.median_s,
        "samples_s": [float(f"{s:.6g}") for s in samples.samples_s],
        "calls_per_sample": samples.calls_per_sample,
        "tokens": subject.tokens,
        "tokens_per_s": subject.tokens * per_s if subject.tokens else None,
        "flops": subject.flops,
        "tflop_per_s": subject.flops * per_s / 1e12 if subject.flops else None,
        "bytes_moved": subject.bytes_moved,
        "gb_per_s": subject.bytes_moved * per_s / 1e9 if subject.bytes_moved else None,
        "roofline": distance and roofline.told(distance).to_json(),
        "mfu": mfu,
        "hfu": hfu,
        "energy_per_token_j": energy,
        **(memory.to_json() if memory else {}),
        "error": error,
        "compile_s": phases.seconds["first_call"] if params.compiled else None,
        "phases_s": {name: round(seconds, 4) for name, seconds in phases.seconds.items()},
        "warmup_s": samples.warmup_s,
        "warmup_stable": samples.warmup_stable,
        "stop": samples.stop,
        "drift": samples.drift,
        "fusion": params.implementation,
        "monitor": seen,
        "context": {"threads": params.threads},
    }
    impossible = device.impossible(
        samples.median_s, subject.flops, distance, dtype=params.dtype, mode=params.mode, threads=params.threads
    )
    if impossible:
        raise Incorrect(f"{impossible}; the time, {samples.median_s:.3g} s, cannot be that of the work", result)
    if seen["throttled"]:
        raise Throttled(f"the device slowed itself down, also after pauses: {'; '.join(seen['throttled'])}", result)
    return result


def once(params: TimedParams, build: Callable[[], subjects.Subject]) -> dict[str, Any]:
    """Call once, untimed, and check what came out: a result of which `error` alone is known. Raises as `timed`."""
    device, _ = _device(params)
    subject = device.subject(build)
    subject.call()
    error = accuracy.check(subject.results(), subject.reference and subject.reference(), params.dtype)
    return SpeedResult(tokens=subject.tokens, error=error).model_dump()


def import_compiler() -> None:
    """Import what torch.compile will, and have it read its own sources, whose hash is part of the key of all it keeps:
    half a second in every process that has not done so. It runs nothing. A torch that has other modules, or no such
    keys, does it later."""
    for name in COMPILER:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    codecache = sys.modules.get("torch._inductor.codecache")
    for name in ("torch_key", "triton_key"):
        with contextlib.suppress(ImportError, AttributeError):
            getattr(codecache, name)()


class _Phases:
    """Seconds by what they were spent on, from one `end` to the next, and those of `waiting` for a turn."""

    def __init__(self, turns: Turns | None) -> None:
        self.seconds: dict[str, float] = {"waiting": 0.0} if turns else {}
        self._turns = turns
        self._last = time.perf_counter()

    def end(self, name: str) -> None:
        """End a phase, which has a name of its own."""
        now = time.perf_counter()
        waited_s = self._turns.waited_s - self.seconds["waiting"] if self._turns else 0.0
        self.seconds[name] = now - self._last - waited_s
        if self._turns:
            self.seconds["waiting"] = self._turns.waited_s
        self._last = now


def _device(params: TimedParams) -> tuple[Device, Clock]:
    """The device of a case and its clock. Raises Unsupported where they are not here."""
    device = devices.of(params).for_case(params)
    if why_not := device.problem():
        raise Unsupported(why_not)
    try:
        return device, device.clock(params.mode)
    except UserError as error:
        raise Unsupported(error.message) from error


def _sampled(
    subject: subjects.Subject,
    clock: Clock,
    config: SamplerConfig,
    monitor: Monitor,
    turns: Turns | None,
) -> tuple[Samples, dict[str, Any]]:
    """Samples, with garbage collection held off, and what the monitor saw meanwhile."""
    gc.collect()
    gc.disable()
    try:
        with monitor:
            samples = sample(subject.call, clock, config, turns)
    finally:
        gc.enable()
    return samples, monitor.summary()


def _distance(
    device: Device, params: TimedParams, time_s: float, subject: subjects.Subject, turns: Turns | None
) -> roofline.Distance | None:
    """The distance from the maker's peaks on an accelerator, from measured ones on the CPU, which are measured in a
    turn of their own, and once more where the figure lies above them; None where neither is known."""
    flops, moved = subject.flops, subject.bytes_moved
    if not flops and not moved:
        return None
    if not device.is_host:
        published = device.published(params.dtype)
        return None if published is None else roofline.distance(time_s, flops, moved, published)
    # With cold caches all is in memory; else what is held and not moved (a batch's labels, a bias) takes its room too.
    held = sum(x.nbytes for x in subject.held)
    working_set = None if params.mode == "cold" else max(moved or 0, held)
    asked = device, params.dtype, params.threads
    if turns and not measured.known(*asked):
        turns.take()
    found = roofline.distance(time_s, flops, moved, measured.peaks(*asked), working_set)
    if roofline.beyond(found) and measured.may_rise(*asked):
        if turns:
            turns.take()
        found = roofline.distance(time_s, flops, moved, measured.beaten(*asked), working_set)
    return found


def _utilisation(subject: subjects.Subject, distance: roofline.Distance | None) -> tuple[float | None, float | None]:
    """MFU and HFU of a training step, against the peak of the distance; None of all else and where there is no peak."""
    executed, of_peak = subject.executed_flops, distance and distance.compute_fraction
    if not executed or not subject.flops or not of_peak:
        return None, None
    return of_peak, of_peak * executed / subject.flops


def _compiled_graphs() -> int:
    dynamo = sys.modules.get("torch._dynamo.utils")  # where it was never imported, nothing was compiled
    return int(dynamo.counters["stats"]["unique_graphs"]) if dynamo else 0
