"""This machine's own peaks: the bandwidth of memory and of each cache, and the rate of matrix products.

A fraction of a published peak says little on a virtual machine; a fraction of what plain torch reaches beside it does.
A peak is the best of several kinds of work in several moments, because one shape, or one moment in which a neighbour
is busy, gives less than the machine can do.
"""

from __future__ import annotations

import contextlib
import functools
import json
import math
import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import torch

from benchsuite.cache import cache_dir, digest, write_atomically
from benchsuite.hardware.roofline import Level, Peaks

BUFFER_BYTES = 2**28  # in all; beyond the last-level cache of one socket, or at least of what a few cores keep there
# Rows, depth and columns of products: square ones, and the tall and the deep ones of training steps. Smallest first.
SHAPES = ((512, 512, 512), (4096, 256, 256), (2048, 256, 1024), (256, 4096, 1024), (1024, 1024, 1024),
          (1024, 768, 3072))  # fmt: skip
CACHE_BYTES = 2**26  # of a larger cache no more is used
MOMENTS = 3
ENOUGH_S = 1.5  # after which no further moment begins
MOST_MOMENTS = 12  # a figure that cannot be must not measure the machine again and again
SLICE_S = 0.02  # for each product and each way of moving bytes, in each moment
LONGEST_S = 0.5  # for one product; slower ones are left out
SYSFS = Path("/sys/devices/system/cpu/cpu0/cache")


class Target(Protocol):
    """The device that is measured, as `benchsuite.devices` describes it: the name that torch gives it, whether it is
    the host's CPU, and how to wait for it."""

    @property
    def name(self) -> str: ...
    @property
    def is_host(self) -> bool: ...
    def synchronize(self) -> None: ...
    def __hash__(self) -> int: ...


@dataclass(frozen=True)
class Cache:
    """A cache as Linux tells of it: `bytes` in each, and the number of processors that share it."""

    name: str
    bytes: int
    shared: int


@dataclass(frozen=True)
class Measured:
    """copy_gb_per_s: bytes read and written, 10^9 a second, in memory; product_gflop_per_s: in the type that was asked
    for; levels: the caches of the threads together, the smallest first."""

    copy_gb_per_s: float
    product_gflop_per_s: float
    threads: int
    moments: int
    levels: tuple[Level, ...] = ()

    def peaks(self) -> Peaks:
        """Return them in the units of a roofline."""
        source = "measured here: the best of products of several shapes, and of copies, sums and reads"
        return Peaks(self.product_gflop_per_s / 1e3, self.copy_gb_per_s, source, self.levels)


def measure(device: Target, dtype: str, moments: int = MOMENTS, threads: int | None = None) -> Measured:
    """Return the best of `moments` rounds, products in `dtype`, with `threads` threads on the CPU (by default torch's);
    about two seconds. On a busy machine it takes longer, with fewer moments."""
    end = time.perf_counter() + ENOUGH_S
    with _threads(threads or torch.get_num_threads()):
        floats = torch.ones(BUFFER_BYTES * (1 if device.is_host else 8) // 4, device=device.name)
        found = _moment(floats, device, getattr(torch, dtype))
        while found.moments < moments and time.perf_counter() < end:
            found = better(found, _moment(floats, device, getattr(torch, dtype)))
        return found


def better(one: Measured, other: Measured) -> Measured:
    """Return the best of each peak of two measurements of one machine; their moments add up."""
    rates = {level.name: level.gb_per_s for level in other.levels}
    return Measured(
        max(one.copy_gb_per_s, other.copy_gb_per_s),
        max(one.product_gflop_per_s, other.product_gflop_per_s),
        one.threads,
        one.moments + other.moments,
        tuple(replace(x, gb_per_s=max(x.gb_per_s, rates.get(x.name, 0.0))) for x in one.levels),
    )


@functools.cache
def peaks(device: Target, dtype: str, threads: int) -> Peaks:
    """Return the peaks to hold a figure of this machine against where its maker publishes none: measured once between
    two boots (about two seconds for each number of threads and type), then read from the cache."""
    path = _path(device, dtype, threads)
    return (_read(path) or _keep(path, measure(device, dtype, threads=threads))).peaks()


def known(device: Target, dtype: str, threads: int) -> bool:
    """Return whether `peaks` measures nothing."""
    return _read(_path(device, dtype, threads)) is not None


def may_rise(device: Target, dtype: str, threads: int) -> bool:
    """Return whether `beaten` measures."""
    stored = _read(_path(device, dtype, threads))
    return stored is None or stored.moments < MOST_MOMENTS


def beaten(device: Target, dtype: str, threads: int) -> Peaks:
    """Return the peaks after one more moment, for a figure that lies above them: what is higher now replaces what was
    stored. After `MOST_MOMENTS` in all they stay as they are."""
    if may_rise(device, dtype, threads):
        _keep(_path(device, dtype, threads), measure(device, dtype, 1, threads))
    peaks.cache_clear()
    return peaks(device, dtype, threads)


def caches() -> list[Cache]:
    """Return the data caches of this machine's first processor; empty where the system does not tell."""
    return caches_in(SYSFS)


def caches_in(folder: Path) -> list[Cache]:
    """Return the data caches that Linux describes in `folder`, the smallest first."""
    found = []
    for index in folder.glob("index*"):
        with contextlib.suppress(OSError, ValueError, KeyError):
            text = {x: (index / x).read_text().strip() for x in ("level", "type", "size", "shared_cpu_list")}
            size = int(text["size"][:-1]) * {"K": 2**10, "M": 2**20}[text["size"][-1]]
            if text["type"] != "Instruction":
                found.append(Cache(f"L{text['level']}", size, _count(text["shared_cpu_list"])))
    return sorted(found, key=lambda cache: cache.name)


def fastest(call: Callable[[], object], device: Target) -> float:
    """Return the seconds of the fastest call in `SLICE_S`, of two at least."""
    best, calls, made, end = math.inf, 1, 0, now(device) + SLICE_S
    while True:
        started = now(device)
        for _ in range(calls):
            call()
        ended = now(device)
        best, made = min(best, (ended - started) / calls), made + calls
        if ended >= end and made > 1:
            return best
        calls = max(1, min(1000, int(SLICE_S / 10 / best)))  # so that reading the clock counts for nothing


def now(device: Target) -> float:
    """Seconds of the wall clock, when all that was asked of the device is done."""
    device.synchronize()
    return time.perf_counter()


def _moment(floats: torch.Tensor, device: Target, dtype: torch.dtype) -> Measured:
    """One round of everything. A cache is never slower than what lies behind it, however little a call moves."""
    gflop_per_s = _products(device, dtype)
    threads = torch.get_num_threads()
    rate = memory = _bandwidth(floats, floats.nbytes, device)
    levels: list[Level] = []
    for cache in reversed(caches() if device.is_host else []):
        capacity = cache.bytes * math.ceil(threads / cache.shared)
        rate = max(rate, _bandwidth(floats, min(capacity // 2, CACHE_BYTES), device))
        levels.insert(0, Level(cache.name, capacity, rate))
    return Measured(memory, gflop_per_s, threads, 1, tuple(levels))


def _products(device: Target, dtype: torch.dtype) -> float:
    """GFLOP/s of the best shape; weights are transposed, as in a linear layer."""
    best = 0.0
    for rows, depth, columns in SHAPES:
        scale = 1 if device.is_host else 4
        flops = 2 * rows * depth * columns * scale**3
        if best and flops / best / 1e9 > LONGEST_S:
            continue
        x, weight = (torch.ones(n * scale, depth * scale, device=device.name, dtype=dtype) for n in (rows, columns))
        out = x.new_empty(rows * scale, columns * scale)
        multiply = functools.partial(torch.mm, x, weight.t(), out=out)
        best = max(best, flops / fastest(multiply, device) / 1e9)
    return best


def _bandwidth(floats: torch.Tensor, working_set: int, device: Target) -> float:
    """GB/s, bytes read and written, of the best of a copy, a scaled sum and a read, within the first `working_set`
    bytes."""
    count = max(6, min(working_set, floats.nbytes) // 4)
    a, b = floats[: count // 2], floats[count // 2 : count // 2 * 2]
    x, y, z = (floats[count // 3 * n : count // 3 * (n + 1)] for n in range(3))
    kinds: tuple[tuple[int, Callable[[], object]], ...] = (
        (2 * a.nbytes, lambda: b.copy_(a)),
        (3 * x.nbytes, lambda: torch.add(x, y, alpha=0.5, out=z)),
        (4 * count, lambda: floats[:count].sum()),
    )
    return max(moved / fastest(call, device) / 1e9 for moved, call in kinds)


def _path(device: Target, dtype: str, threads: int) -> Path:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text()
    except OSError:
        boot = platform.node()
    return cache_dir("peaks") / f"{digest([boot, threads, device.name, dtype, torch.__version__], 16)}.json"


def _read(path: Path) -> Measured | None:
    """The stored peaks; None where there are none, or none that can be read."""
    try:
        fields: dict[str, Any] = json.loads(path.read_text())
        return Measured(**{**fields, "levels": tuple(Level(**level) for level in fields["levels"])})
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _keep(path: Path, found: Measured) -> Measured:
    """Store the better of what is stored and what was found, and return it."""
    stored = _read(path)
    best = found if stored is None else better(stored, found)
    with write_atomically(path) as temporary:
        temporary.write_text(json.dumps(asdict(best)))
    return best


def _count(ranges: str) -> int:
    """Return how many processors a list such as `0-3,8` names."""
    ends = [[int(end) for end in part.split("-")] for part in ranges.split(",")]
    return sum(end[-1] - end[0] + 1 for end in ends)


@contextlib.contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
