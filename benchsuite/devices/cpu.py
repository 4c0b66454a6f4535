"""The CPU: nothing on it is asynchronous, its threads are a part of each case, and its peaks are measured.

Beside `wall`, the time that a caller waits for, it has the mode `cold`: each call after its caches were filled with
other memory.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import psutil

from benchsuite.devices import Device, DType, Scope
from benchsuite.hardware import cgroup
from benchsuite.timing.clock import Clock, CPUClock, RealTime

if TYPE_CHECKING:
    from torch import Tensor

    from benchsuite.hardware.roofline import Distance
    from benchsuite.timing.memory import Memory

FLUSH = 2  # times the last-level cache


@dataclass(frozen=True)
class CPU(Device):
    """All cores that a process may use."""

    kind: ClassVar[str] = "cpu"
    numbered: ClassVar[bool] = False
    modes: ClassVar[tuple[str, ...]] = ("wall", "cold")
    is_host: ClassVar[bool] = True
    has_float64_kernels: ClassVar[bool] = True
    block_s: ClassVar[float | None] = None
    launch_s: ClassVar[float] = 0.0  # within the rate
    call_rates: ClassVar[tuple[float, float]] = (5e10, 1e9)  # of one core, and of freshly allocated memory
    evaluation_tokens: ClassVar[int] = 2048  # the best of a scan with nano models: it keeps to the cache
    lock: ClassVar[str | None] = "machine"

    def dtype(self, scope: Scope) -> DType:
        return "float32"

    def capacity_bytes(self) -> int | None:
        limit, total = cgroup.memory_limit(), int(psutil.virtual_memory().total)
        return total if limit is None else min(limit, total)

    def problem(self) -> str | None:
        return None

    def select(self) -> None:
        """There is one."""

    def synchronize(self) -> None:
        """Do nothing: what was called is done."""

    def clock(self, mode: str) -> Clock:
        self.check_mode(mode)
        return CPUClock() if mode == "wall" else ColdCPUClock(_cache_bytes() * FLUSH)

    def memory(self, call: Callable[[], object], held: Iterable[Tensor]) -> Memory:
        from benchsuite.timing.memory import allocated_on_host, measure_memory

        return measure_memory(call, held, allocated_on_host)

    def impossible(
        self, time_s: float, flops: int | None, distance: Distance | None, *, dtype: str, mode: str, threads: int
    ) -> str | None:
        from benchsuite.hardware import roofline
        from benchsuite.hardware.fingerprint import cpu_flags

        return roofline.impossible_cpu(time_s, flops, threads, cpu_flags(), dtype)


class ColdCPUClock(RealTime):
    """Each call timed by itself, after `other_bytes` of other memory went through the caches."""

    mode = "cold"

    def __init__(self, other_bytes: int) -> None:
        import torch

        self._other = torch.zeros(max(1, other_bytes), dtype=torch.uint8)

    def time_calls(self, call: Callable[[], object], calls: int) -> float:
        total = 0
        for _ in range(calls):
            self._other.add_(1)
            started = time.perf_counter_ns()
            call()
            total += time.perf_counter_ns() - started
        return total * 1e-9


def _cache_bytes() -> int:
    from benchsuite.hardware.fingerprint import last_level_cache

    return last_level_cache() or 2**25
