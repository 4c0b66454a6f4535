"""`benchsuite selftest`: every operator against float64, then timed beside eager, torch.compile and torch's own peers.

All rivals of an operator run in one process, in turns that alternate their order, on the same tensors, with the
allocator pinned so that fresh memory is not a page fault for one and a cached block for the other.
"""

from __future__ import annotations

import fnmatch
import math
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from scipy import stats
from torch import Tensor

from benchsuite import cuda_ext
from benchsuite.errors import UserError
from benchsuite.hardware import roofline
from benchsuite.hardware.fingerprint import fingerprint
from benchsuite.hardware.measured import Measured, measure, now
from benchsuite.measure import operators
from benchsuite.measure.operators import Operator
from benchsuite.timing.memory import measure_memory
from benchsuite.worker import pin_allocator

SCHEMA_VERSION = 1
# Largest error relative to the largest value, in result and gradients. 16-bit types: some units in the last place.
LIMITS = {"float64": 1e-6, "float32": 3e-5, "bfloat16": 4e-2, "float16": 5e-3}
ROUND_S, ROUNDS, FEWEST_ROUNDS = 0.02, 15, 5  # a block of calls lasts this long at least; rounds of every rival
SPREAD_S = 6.0  # for one operator, after which the rounds end

SANITIZERS = ("memcheck", "racecheck", "synccheck", "initcheck")
SANITIZER_S, UNDER_SANITIZER = 1800, "BENCHSUITE_SANITIZED"  # seconds for each; the environment that they run in

Say = Callable[[str, int, int], None]
Ratio = tuple[float, float | None, float | None]


@dataclass(frozen=True)
class Check:
    """One operator in one type: its errors against float64, or why it is `incorrect`."""

    name: str
    dtype: str
    status: str  # ok | incorrect | error
    error: float | None
    limit: float
    reason: str | None = None


@dataclass(frozen=True)
class Timing:
    """One operator at one shape, forward and backward, float32 (bfloat16 on CUDA). Times are medians, seconds a call.

    `speedup` is the rival's time over ours, the median over rounds; `low` and `high` its 95% interval over rounds (of
    this process; another process may differ). `*_fraction` are of the machine's own measured peaks, of the cache that
    holds what must move or of memory; None where the figure lies above the peak. `needed_bytes`: the inputs and their
    gradients, which everyone has and every peak counts.
    """

    name: str
    family: str
    times_s: dict[str, float]
    speedup: dict[str, Ratio]
    rounds: int
    bandwidth_fraction: float | None
    product_fraction: float | None
    preallocated_fraction: float | None
    peak_bytes: dict[str, int | None]
    needed_bytes: int


def run(device: str, *, quick: bool, only: Sequence[str], check_only: bool, say: Say) -> Iterator[dict[str, Any]]:
    """Yields the growing document after every operator, so that an interrupted run keeps what it has.

    Raises UserError where there are no kernels for the device, and where `only` fits nothing.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise UserError("no NVIDIA GPU is visible here", hint="use --device cpu; `benchsuite doctor` says more")
    library = cuda_ext.load()
    checked = [o for o in operators.for_checking() if _chosen(o, only)]
    timed = [] if check_only else [o for o in operators.for_timing(quick) if _chosen(o, only)]
    if not checked and not timed:
        families = sorted({o.family for o in operators.for_checking()})
        raise UserError(
            f"--only {' '.join(only)}: no operator has such a name", hint=f"families: {', '.join(families)}"
        )
    allocator = pin_allocator()
    peaks = measure(device=device) if timed else None
    document: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "device": device,
        "hardware": fingerprint(),
        "kernels": str(library.about.get("sources")),
        "isa": torch.ops.benchsuite.cpu_isa(),
        "threads": torch.get_num_threads(),
        "allocator": allocator,
        "measured": asdict(peaks) if peaks else None,
        "checks": [],
        "timings": [],
    }
    if device == "cuda" and timed:
        document["note"] = "bfloat16, by the wall clock around blocks of calls: gaps between launches count"
    dtypes = [name for name in LIMITS if device == "cpu" or name != "float64"]
    total = len(checked) * len(dtypes) + 10 * len(timed)
    wrong: set[str] = set()
    for number, operator in enumerate(checked):
        say(f"checking {operator.name}", number * len(dtypes), total)
        for dtype in dtypes:
            result = check(operator, dtype, device)
            document["checks"].append(asdict(result))
            if result.status != "ok":
                wrong.add(operator.family)
        yield document
    for number, operator in enumerate(timed):
        say(f"timing {operator.name}", len(checked) * len(dtypes) + 10 * number, total)
        if operator.family not in wrong and peaks is not None:
            document["timings"].append(asdict(timing(operator, peaks, device)))
        yield document
    if device == "cuda" and UNDER_SANITIZER not in os.environ:
        say("compute-sanitizer", total, total)
        document["sanitizer"] = sanitize(only)
        yield document
    say("done", total, total)


def _chosen(operator: Operator, only: Sequence[str]) -> bool:
    return not only or any(
        fnmatch.fnmatchcase(operator.name, p) or fnmatch.fnmatchcase(operator.family, p) for p in only
    )


def check(operator: Operator, dtype: str, device: str) -> Check:
    """The operator's result and gradients against its eager formula in float64 on the same values."""
    torch.manual_seed(0)
    inputs = operator.inputs(getattr(torch, dtype), device)
    try:
        exact = _outputs(operator.eager, [x.double() for x in inputs])
        mine = _outputs(operator.ours, inputs)
    except RuntimeError as error:
        return Check(operator.name, dtype, "error", None, LIMITS[dtype], str(error).splitlines()[0])
    errors = [_error(a, b) for a, b in zip(mine, exact, strict=True)]
    worst = max(errors, key=lambda error: math.inf if math.isnan(error) else error)  # max alone passes over NaN
    good = worst <= LIMITS[dtype]  # NaN is not
    reason = None if good else f"the error against float64 is {worst:.2g}"
    return Check(operator.name, dtype, "ok" if good else "incorrect", worst, LIMITS[dtype], reason)


def _outputs(call: Callable[..., Any], inputs: list[Tensor]) -> list[Tensor]:
    leaves = [x.detach().requires_grad_() for x in inputs]
    results = _several(call(*leaves))
    generator = torch.Generator().manual_seed(1)
    grads = [torch.randn(y.shape, generator=generator).to(y) for y in results]
    torch.autograd.backward(results, grads)
    return [*(y.detach() for y in results), *(x.grad for x in leaves if x.grad is not None)]


def _several(result: Any) -> list[Tensor]:
    return list(result) if isinstance(result, tuple) else [result]


def _error(got: Tensor, want: Tensor) -> float:
    if got.shape != want.shape:
        return math.inf
    return float((got.double() - want).abs().max() / want.abs().max().clamp_min(1.0)) if want.numel() else 0.0


def sanitize(only: Sequence[str]) -> dict[str, str]:
    """What each tool of compute-sanitizer says of the checks: "clean", its last words, or why it did not run."""
    program = shutil.which("compute-sanitizer")
    if program is None:
        return dict.fromkeys(SANITIZERS, "not run: compute-sanitizer is not on PATH")
    found = {}
    for tool in SANITIZERS:
        command = [program, "--tool", tool, "--error-exitcode", "9", sys.executable, "-m", "benchsuite", "selftest"]
        command += ["--device", "cuda", "--check-only", *(part for p in only for part in ("--only", p))]
        try:
            done = subprocess.run(
                command,
                env={**os.environ, UNDER_SANITIZER: "1"},
                capture_output=True,
                text=True,
                errors="replace",
                check=False,
                timeout=SANITIZER_S,
            )
        except subprocess.TimeoutExpired:
            found[tool] = f"not finished after {SANITIZER_S} s"
            continue
        words = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        found[tool] = "clean" if done.returncode == 0 else f"exit code {done.returncode}: {' / '.join(words[-3:])}"
    return found


def timing(operator: Operator, peaks: Measured, device: str = "cpu") -> Timing:
    """Times forward and backward of every rival in rounds; float32 on the CPU, bfloat16 on CUDA."""
    torch.manual_seed(0)
    dtype = torch.float32 if device == "cpu" else torch.bfloat16
    leaves = [x.requires_grad_() for x in operator.inputs(dtype, device)]
    rivals: dict[str, Callable[..., Any]] = {"fused": operator.ours, "eager": operator.eager}
    if operator.compiled:
        torch.compiler.reset()
        rivals["compile"] = torch.compile(operator.eager, dynamic=False)
    rivals |= operator.peers
    grads = [torch.randn_like(y) for y in _several(operator.ours(*leaves))]

    def clear() -> None:
        for leaf in leaves:
            leaf.grad = None

    def once(call: Callable[..., Any]) -> Callable[[], object]:
        def run_it() -> None:
            clear()
            torch.autograd.backward(_several(call(*leaves)), grads)

        return run_it

    calls = {name: once(call) for name, call in rivals.items()}
    times, rounds = _in_rounds(calls, device)
    forward = _preallocated(operator, leaves, peaks, device)
    moved = operator.bytes_moved * leaves[0].element_size() // 4  # which is said of float32
    ours = statistics.median(times["fused"])
    found = roofline.told(roofline.distance(ours, operator.flops, moved, peaks.peaks(), moved))
    peak = {}
    for name in ("fused", "eager"):
        clear()  # before: what an earlier pass allocated, the profiler would count as freed in this one
        peak[name] = measure_memory(calls[name], leaves, device).peak
    return Timing(
        name=operator.name,
        family=operator.family,
        times_s={name: statistics.median(t) for name, t in times.items()},
        speedup={name: _ratio(t, times["fused"]) for name, t in times.items() if name != "fused"},
        rounds=rounds,
        bandwidth_fraction=found.memory_fraction,
        product_fraction=found.compute_fraction,
        preallocated_fraction=forward,
        peak_bytes=peak,
        needed_bytes=2 * sum(leaf.nbytes for leaf in leaves),
    )


def _in_rounds(calls: dict[str, Callable[[], object]], device: str) -> tuple[dict[str, list[float]], int]:
    """Seconds a call, one value a round: in each round every rival runs one block, in alternating order."""
    repeats = {}
    for name, call in calls.items():
        call()
        call()
        started = now(device)
        call()
        repeats[name] = max(1, round(ROUND_S / max(now(device) - started, 1e-7)))
    times: dict[str, list[float]] = {name: [] for name in calls}
    started = time.perf_counter()
    for number in range(ROUNDS):
        for name in list(calls) if number % 2 == 0 else list(reversed(calls)):
            begin = now(device)
            for _ in range(repeats[name]):
                calls[name]()
            times[name].append((now(device) - begin) / repeats[name])
        if number + 1 >= FEWEST_ROUNDS and time.perf_counter() - started > SPREAD_S:
            break
    return times, len(times["fused"])


def _ratio(rival: list[float], ours: list[float]) -> Ratio:
    """Median over rounds of rival / ours and its 95% interval by order statistics; None where rounds are too few."""
    ratios = [a / b for a, b in zip(rival, ours, strict=True)]
    interval: Any = stats.quantile_test(ratios, p=0.5).confidence_interval(0.95)
    low, high = (None if math.isnan(bound) else float(bound) for bound in (interval.low, interval.high))
    return statistics.median(ratios), low, high


def _preallocated(operator: Operator, leaves: list[Tensor], peaks: Measured, device: str) -> float | None:
    """The fraction of the bandwidth that our forward pass reaches into memory that exists."""
    if operator.preallocated is None:
        return None
    call, moved = operator.preallocated(leaves)
    with torch.no_grad():
        times, _ = _in_rounds({"fused": call}, device)
    found = roofline.distance(statistics.median(times["fused"]), None, moved, peaks.peaks(), moved)
    return roofline.told(found).memory_fraction
