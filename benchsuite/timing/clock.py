"""Clocks behind one interface, so that the engine alone decides when a device has finished, and tests need no real
time.

The mode is part of a case's identity: `wall` is what a caller waits for on the CPU.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Protocol


class Clock(Protocol):
    """Times calls. `mode` names what is timed."""

    mode: str

    def time_calls(self, call: Callable[[], object], calls: int) -> float:
        """Seconds that `calls` calls of `call` take, from the first start to the last end of the work they cause."""
        ...

    def now(self) -> float:
        """Seconds since any fixed moment, for budgets."""
        ...

    def pause(self, seconds: float) -> None:
        """Let the device rest."""
        ...


class RealTime:
    """The part that clocks of all real devices share."""

    def now(self) -> float:
        return time.perf_counter()

    def pause(self, seconds: float) -> None:
        time.sleep(seconds)


class CPUClock(RealTime):
    """perf_counter_ns around a block of calls; nothing is asynchronous on the CPU."""

    mode = "wall"

    def time_calls(self, call: Callable[[], object], calls: int) -> float:
        started = time.perf_counter_ns()
        for _ in range(calls):
            call()
        return (time.perf_counter_ns() - started) * 1e-9


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


class FakeClock:
    """A scripted clock: each call takes the next of `times_s`, the last one for ever. No real time passes."""

    mode = "wall"

    def __init__(self, times_s: Iterable[float]) -> None:
        self._times = iter(times_s)
        self._last = 0.0
        self._now = 0.0

    def time_calls(self, call: Callable[[], object], calls: int) -> float:
        total = 0.0
        for _ in range(calls):
            call()
            self._last = next(self._times, self._last)
            total += self._last
        self._now += total
        return total

    def now(self) -> float:
        return self._now

    def pause(self, seconds: float) -> None:
        self._now += seconds
