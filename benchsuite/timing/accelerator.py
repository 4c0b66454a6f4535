"""Clocks of accelerators, and of a CPU whose caches are cold.

What a mode times, and what it is for:

* `wall`: from the first launch until the device is idle, by the host's clock: what a training loop waits for;
* `event-cold`: the device's own time, its L2 cache flushed before each call: what one layer of a deep model costs;
* `event-hot`: the same without the flush: small tensors stay in L2, as in a loop over one layer;
* `graph-hot`: a captured CUDA graph, replayed: no launch gaps at all;
* `cold` (CPU): each call after the caches were filled with other memory.

Figures of different modes are never compared: the mode is part of a case's identity.

Launches take the host some microseconds. So that these do not count where the device's time is asked for, the device
first spins for `HOLD_CYCLES` while the host queues the block (NVIDIA's nvbench calls it a blocking kernel).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from benchsuite.errors import UserError
from benchsuite.timing.clock import Clock, CPUClock, RealTime

MODES = {"cpu": ("wall", "cold"), "cuda": ("event-cold", "wall", "event-hot", "graph-hot")}  # the first is the default
OTHER_MODES = ("wall",)  # of what torch.accelerator knows beside CUDA
HOLD_CYCLES = 2_000_000  # about a millisecond: some hundred launches
FLUSH = 2  # times the last-level cache


def clock(device: str, mode: str) -> Clock:
    """The clock of a device ("cpu", "cuda:1", "mps", …) in a mode. Raises UserError for a mode that it has not."""
    import torch

    kind = device.partition(":")[0]
    known = modes(kind)
    if mode not in known:
        raise UserError(f"{kind} has no timing mode {mode!r}", hint=f"choose from: {', '.join(known)}")
    if kind == "cpu":
        return CPUClock() if mode == "wall" else ColdCPUClock(_cache_bytes() * FLUSH)
    torch.accelerator.set_device_index(int(device.partition(":")[2] or 0))
    if mode == "wall":
        return WallClock(torch.accelerator.synchronize)
    if mode == "graph-hot":
        return GraphClock(torch.cuda)
    cold = torch.cuda.get_device_properties(device).L2_cache_size * FLUSH if mode == "event-cold" else 0
    return EventClock(torch.cuda, flush_bytes=cold)


def modes(kind: str) -> tuple[str, ...]:
    """The timing modes of a kind of device, the default first."""
    return MODES.get(kind, OTHER_MODES)


class WallClock(RealTime):
    """The host's clock around a block of calls, the device idle before and after."""

    mode = "wall"

    def __init__(self, synchronize: Callable[[], object]) -> None:
        self._synchronize = synchronize

    def time_calls(self, call: Callable[[], object], calls: int) -> float:
        self._synchronize()
        started = time.perf_counter_ns()
        for _ in range(calls):
            call()
        self._synchronize()
        return (time.perf_counter_ns() - started) * 1e-9


class EventClock(RealTime):
    """The device's time by pairs of events, one pair a call; `cuda` is torch.cuda, or what stands in for it."""

    def __init__(self, cuda: Any, flush_bytes: int = 0) -> None:
        self.mode = "event-cold" if flush_bytes else "event-hot"
        self._cuda = cuda
        self._other = _bytes_on_device(flush_bytes) if flush_bytes else None

    def time_calls(self, call: Callable[[], object], calls: int) -> float:
        cuda = self._cuda
        pairs = [(cuda.Event(enable_timing=True), cuda.Event(enable_timing=True)) for _ in range(calls)]
        cuda.synchronize()
        cuda._sleep(HOLD_CYCLES)
        for begin, end in pairs:
            if self._other is not None:
                self._other.zero_()
            begin.record()
            call()
            end.record()
        cuda.synchronize()
        return sum(begin.elapsed_time(end) for begin, end in pairs) * 1e-3


class GraphClock(RealTime):
    """The device's time of a captured graph. The first call of each subject is captured; what cannot be captured, such
    as a copy to the host, raises torch's RuntimeError."""

    mode = "graph-hot"

    def __init__(self, cuda: Any) -> None:
        self._cuda = cuda
        self._captured: tuple[Callable[[], object], Any] | None = None

    def time_calls(self, call: Callable[[], object], calls: int) -> float:
        graph = self._graph(call)
        begin, end = (self._cuda.Event(enable_timing=True) for _ in range(2))
        self._cuda.synchronize()
        begin.record()
        for _ in range(calls):
            graph.replay()
        end.record()
        self._cuda.synchronize()
        return float(begin.elapsed_time(end)) * 1e-3

    def _graph(self, call: Callable[[], object]) -> Any:
        if self._captured is None or self._captured[0] is not call:
            cuda = self._cuda
            side = cuda.Stream()  # capture wants work that has run on another stream before
            side.wait_stream(cuda.current_stream())
            with cuda.stream(side):
                for _ in range(3):
                    call()
            cuda.current_stream().wait_stream(side)
            graph = cuda.CUDAGraph()
            with cuda.graph(graph):
                call()
            self._captured = call, graph
        return self._captured[1]


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


def _bytes_on_device(size: int) -> Any:
    import torch

    return torch.empty(size, dtype=torch.int8, device="cuda")


def _cache_bytes() -> int:
    from benchsuite.hardware.fingerprint import last_level_cache

    return last_level_cache() or 2**25
