"""Record what the machine did while a case was timed: other work on our cores, time the host took away, clocks, heat,
energy.

    with Monitor() as monitor:
        samples = sample(call, clock)
    monitor.summary()["disturbed"]        # [] or why the figure may not be the code's own

Counters are read before and after, which costs nothing between. Nothing is filtered: what was seen is recorded, and
what cannot be seen is None.
"""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from benchsuite.hardware.fingerprint import allowed_cores
from benchsuite.timing.clock import Clock

# Above these a window counts as disturbed. Two cores that each lose 2% run 2% slower: the gate's smallest margin.
STEAL_LIMIT, FOREIGN_LIMIT = 0.02, 0.1  # fraction of our cores' time; cores
ENERGY_PASS_S = 1.5  # of a pass for energy alone
RAPL = Path("/sys/class/powercap")


@dataclass(frozen=True)
class Counters:
    """Seconds that this process's cores were busy and taken away since they started, of this process, and energy."""

    at_s: float
    busy_s: float | None
    steal_s: float | None
    own_s: float
    energy_j: float | None


class Monitor:
    """Watches the host from `with` to its end; `summary()` afterwards. Devices add what they can tell of themselves."""

    def __init__(self, *, shared: int = 0) -> None:
        """`shared` other processes of the same round take turns with this one, so that neither the load nor the energy
        is its own; the turnstile knows what else ran."""
        self.shared = shared
        self._before = self._after = Counters(0.0, None, None, 0.0, None)

    def __enter__(self) -> Monitor:
        self._before = counters()
        return self

    def __exit__(self, *_: object) -> None:
        self._after = counters()

    @property
    def counts_energy(self) -> bool:
        """Return whether the device has a counter of energy that we may read."""
        return False

    def summary(self) -> dict[str, Any]:
        """JSON-ready. `disturbed` and `throttled` are sentences for a reader; both empty for a quiet window."""
        before, after = self._before, self._after
        own_s = None if self.shared else after.own_s - before.own_s
        work = other_work(before, after, own_s)
        frequency = psutil.cpu_freq()
        return {
            "window_s": round(after.at_s - before.at_s, 4),
            **work,
            "load_1min": os.getloadavg()[0],
            "cpu_mhz": frequency.current if frequency else None,
            "cpu_energy_j": None if self.shared else change(before.energy_j, after.energy_j),
            "throttled": [],
        }


def counters(cores: Collection[int] | None = None) -> Counters:
    """The counters now, those of time over `cores` (None: those that this process may use)."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    busy, steal = _cpu_times(_own_cores() if cores is None else cores)
    return Counters(time.perf_counter(), busy, steal, usage.ru_utime + usage.ru_stime, _rapl())


def other_work(before: Counters, after: Counters, own_s: float | None, cores: int | None = None) -> dict[str, Any]:
    """Return `steal_fraction` of the cores' time, `foreign_cores` and the sentences of `disturbed` for the time from
    `before` to `after`, of which `own_s` seconds of CPU were the measured work's (None: unknown)."""
    window_s = max(after.at_s - before.at_s, 1e-9)
    busy, steal = change(before.busy_s, after.busy_s), change(before.steal_s, after.steal_s)
    stolen = None if steal is None else round(steal / window_s / (cores or allowed_cores()), 4)
    foreign = None if busy is None or own_s is None else round(max(0.0, busy - own_s) / window_s, 3)
    disturbed = []
    if (stolen or 0) > STEAL_LIMIT:
        disturbed.append(f"the host took away {stolen:.0%} of the cores' time")
    if (foreign or 0) > FOREIGN_LIMIT:
        disturbed.append(f"other processes used {foreign:.2f} cores")
    return {"steal_fraction": stolen, "foreign_cores": foreign, "disturbed": disturbed}


def energy_per_token(summary: dict[str, Any], mode: str, calls: int, tokens: int | None) -> float | None:
    """Joules a token over a window of `calls` calls, of the GPU where it was watched, else of the CPU. None where the
    window is too short, nothing is counted, or the mode spends energy on making caches cold."""
    energy = summary.get("gpu_energy_j" if "gpu_readings" in summary else "cpu_energy_j")
    return energy / (calls * tokens) if energy and tokens and "cold" not in mode else None


def energy_pass(call: Callable[[], object], calls: int, clock: Clock, monitor: Monitor, tokens: int) -> float | None:
    """Joules a token over `ENERGY_PASS_S` of blocks of `calls` calls, for figures whose own window was too short or
    made caches cold; None, at once, where no energy is counted."""
    made, started = 0, clock.now()
    with monitor:
        if not monitor.counts_energy:
            return None
        while clock.now() - started < ENERGY_PASS_S:
            clock.time_calls(call, calls)
            made += calls
    return energy_per_token(monitor.summary(), clock.mode, made, tokens)


def _own_cores() -> set[int]:
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()


def _cpu_times(cores: Collection[int]) -> tuple[float | None, float | None]:
    """Seconds that `cores` were busy for anyone, and that the host ran something else on them: proc(5), stat."""
    own = {f"cpu{number}" for number in cores}
    try:
        lines = [line.split() for line in Path("/proc/stat").read_text().splitlines()]
    except OSError:
        return None, None
    rows = [[int(x) for x in line[1:]] for line in lines if line and line[0] in own]
    if not rows:
        return None, None
    tick = os.sysconf("SC_CLK_TCK")
    # user, nice, system, idle, iowait, irq, softirq, steal
    busy = sum(sum(row[:3]) + sum(row[5:7]) for row in rows) / tick
    return busy, sum(row[7] for row in rows if len(row) > 7) / tick


def _rapl() -> float | None:
    """Joules of all CPU packages since some moment (Linux powercap); None where it is not there or not for us."""
    total = 0.0
    packages = [path for path in RAPL.glob("intel-rapl:*") if path.name.count(":") == 1]
    try:
        for package in packages:
            total += int((package / "energy_uj").read_text()) / 1e6
    except (OSError, ValueError):
        return None
    return total if packages else None


def change(before: float | None, after: float | None) -> float | None:
    """after - before; None where one is unknown or the counter has been reset."""
    return None if before is None or after is None or after < before else after - before
