"""One speed case in this process: build, compile, check, warm up, time, measure memory, check again.

A speed is never reported for a wrong output: a result further from float64 than its type allows raises `Incorrect`.
"""

from __future__ import annotations

import gc
import os
import time
from typing import Any

import psutil
import torch

from benchsuite.runs import subjects
from benchsuite.runs.case import Incorrect, Unsupported
from benchsuite.timing.clock import CPUClock
from benchsuite.timing.memory import measure_memory
from benchsuite.timing.sampler import SamplerConfig, sample

# Largest error against float64, relative to the largest value of the tensor. float32 sums of a few thousand terms err
# by about 1e-6 of it; 16-bit types by their 8 (bfloat16) or 11 (float16) bits of mantissa and a small factor.
LIMITS = {"float64": 1e-12, "float32": 1e-4, "bfloat16": 5e-2, "float16": 1e-2}


def measure(params: dict[str, Any]) -> dict[str, Any]:
    """Measures the speed case `params` and returns its result as the brief of `records.jsonl` gives it.

    Times are seconds per call, memory bytes, rates per second; what is unknown is None. Raises Unsupported where this
    machine cannot run the case and Incorrect where the output is wrong.
    """
    if params["device"] != "cpu":
        raise Unsupported(f"the device {params['device']!r} is not supported by this version; only cpu is")
    torch.set_num_threads(params["threads"])
    subject = subjects.build(params)

    started = time.perf_counter()
    first = subject.outputs()
    compile_s = time.perf_counter() - started if params["implementation"] == "compile" else None
    reference = subject.reference()
    error = _check(first, reference, params["dtype"], "before timing")

    config = SamplerConfig(budget_s=params["sample_s"], warmup_budget_s=2 * params["sample_s"])
    graphs = _compiled_graphs()
    gc.collect()
    gc.disable()
    try:
        samples = sample(subject.call, CPUClock(), config)
    finally:
        gc.enable()
    if _compiled_graphs() != graphs:
        raise Incorrect("torch.compile compiled again while the case was timed", {"error": error})

    subject.clear()
    memory = measure_memory(subject.call, subject.held, params["device"])
    _check(subject.outputs(), reference, params["dtype"], "after timing")

    per_s = 1 / samples.median_s
    return {
        "time_s": samples.median_s,
        "samples_s": [float(f"{s:.6g}") for s in samples.samples_s],
        "calls_per_sample": samples.calls_per_sample,
        "tokens": subject.tokens,
        "tokens_per_s": subject.tokens * per_s,
        "flops": subject.flops,
        "tflop_per_s": subject.flops * per_s / 1e12 if subject.flops else None,
        "bytes_moved": subject.bytes_moved,
        "gb_per_s": subject.bytes_moved * per_s / 1e9 if subject.bytes_moved else None,
        "peak_bytes": memory.peak,
        "saved_bytes": memory.saved,
        "rss_peak_bytes": memory.rss_peak,
        "error": error,
        "compile_s": compile_s,
        "warmup_s": samples.warmup_s,
        "warmup_stable": samples.warmup_stable,
        "stop": samples.stop,
        "fusion": params["implementation"],
        "context": {"threads": torch.get_num_threads(), "load_1min": os.getloadavg()[0], "cpu_mhz": _cpu_mhz()},
    }


def _check(got: list[torch.Tensor], want: list[torch.Tensor], dtype: str, when: str) -> dict[str, float | None]:
    """Errors of result (forward) and gradients (backward) against float64; raises Incorrect beyond the limit."""
    if len(got) != len(want):
        raise Incorrect(f"{len(got)} tensors came out {when}, the reference has {len(want)}", {})
    errors = [_relative_error(mine, exact) for mine, exact in zip(got, want, strict=True)]
    error = {"forward": errors[0], "backward": max(errors[1:], default=None), "limit": LIMITS[dtype]}
    worst = max(errors)
    if not worst <= LIMITS[dtype]:  # NaN is not within any limit
        reason = f"the error against float64 {when} is {worst:.2g}; the limit of {dtype} is {LIMITS[dtype]:.0e}"
        raise Incorrect(reason, {"error": error})
    return error


def _relative_error(got: torch.Tensor, want: torch.Tensor) -> float:
    """The largest deviation over the largest reference value."""
    if got.shape != want.shape:
        return float("inf")
    scale = want.abs().max().clamp_min(torch.finfo(torch.float64).tiny)
    return float((got.double() - want).abs().max() / scale)


def _compiled_graphs() -> int:
    from torch._dynamo.utils import counters

    return int(counters["stats"]["unique_graphs"])


def _cpu_mhz() -> float | None:
    frequency = psutil.cpu_freq()
    return frequency.current if frequency else None
