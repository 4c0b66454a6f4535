"""What the machine did while a case was timed: other work on our cores, time the host took away, clocks, heat, energy.

    with Monitor("cpu") as monitor:
        samples = sample(call, clock)
    monitor.summary()["disturbed"]        # [] or why the figure may not be the code's own

On the CPU it reads counters before and after and costs nothing between. On a GPU a thread reads NVML. Nothing is
filtered: what was seen is recorded, and what cannot be seen is None.
"""

from __future__ import annotations

import contextlib
import os
import resource
import statistics
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from benchsuite.hardware import nvml
from benchsuite.hardware.fingerprint import allowed_cores
from benchsuite.timing.clock import Clock

INTERVAL_S = 0.05  # between readings of NVML
# Above these a window counts as disturbed. Two cores that each lose 2% run 2% slower: the gate's smallest margin.
STEAL_LIMIT, FOREIGN_LIMIT = 0.02, 0.1  # fraction of our cores' time; cores
THROTTLED_LIMIT = 0.1  # of the readings
ENERGY_PASS_S = 1.5  # of a pass for energy alone
ENERGY_WINDOW_S = 1.0  # shorter than this, the GPU's energy counter has moved too few times
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
    """Watches one device from `with` to its end; `summary()` afterwards."""

    def __init__(self, device: str = "cpu", *, shared: int = 0) -> None:
        """`shared` other processes of ours take turns with this one, so that neither the load nor the energy is its
        own; the turnstile knows what else ran."""
        self.device = device
        self.shared = shared
        self.readings: list[nvml.State] = []
        self.unknown: str | None = None  # why a GPU's clocks and heat are not told
        self.lost: str | None = None
        self.other_processes: int | None = None
        self._before = self._after = Counters(0.0, None, None, 0.0, None)
        self._end = threading.Event()
        self._thread: threading.Thread | None = None
        self._open = contextlib.ExitStack()

    def __enter__(self) -> Monitor:
        if self.device.startswith("cuda"):
            self._begin_gpu()
        self._before = counters()
        return self

    def __exit__(self, *_: object) -> None:
        self._after = counters()
        if self._thread is not None:
            self._end.set()
            self._thread.join()
        self._open.close()

    @property
    def counts_energy(self) -> bool:
        """Whether the GPU has a counter of energy that we may read."""
        return any(reading.energy_j is not None for reading in self.readings)

    def summary(self) -> dict[str, Any]:
        """JSON-ready. `disturbed` and `throttled` are sentences for a reader; both empty for a quiet window."""
        before, after = self._before, self._after
        window_s = after.at_s - before.at_s
        own_s = None if self.shared else after.own_s - before.own_s
        work = other_work(before, after, own_s)
        frequency = psutil.cpu_freq()
        found: dict[str, Any] = {
            "window_s": round(window_s, 4),
            **work,
            "load_1min": os.getloadavg()[0],
            "cpu_mhz": frequency.current if frequency else None,
            "cpu_energy_j": None if self.shared else _change(before.energy_j, after.energy_j),
        }
        gpu = self._gpu_summary(window_s) if self.device.startswith("cuda") else {}
        disturbed = list(work["disturbed"])
        if (self.other_processes or 0) > self.shared:
            disturbed.append(f"{self.other_processes} other processes were on the GPU")
        if self.lost:
            disturbed.append(self.lost)
        return {**found, **gpu, "disturbed": disturbed, "throttled": gpu.get("throttled", [])}

    def _begin_gpu(self) -> None:
        why_not = self._open.enter_context(nvml.opened())
        gpu = None if why_not else nvml.handle(self.device)
        if gpu is None:
            self.unknown = why_not or "the driver tells nothing of this device"
            return
        try:
            self.other_processes = nvml.other_processes(gpu)
            self.readings.append(nvml.state(gpu))
        except nvml.Lost as lost:
            self.lost = str(lost)
            return
        self._thread = threading.Thread(target=self._watch, args=(gpu,), daemon=True)
        self._thread.start()

    def _watch(self, gpu: Any) -> None:
        ended = False
        while not ended:
            ended = self._end.wait(INTERVAL_S)  # one more reading after the end, for the energy counter
            try:
                self.readings.append(nvml.state(gpu))
            except nvml.Lost as lost:
                self.lost = str(lost)
                return

    def _gpu_summary(self, window_s: float) -> dict[str, Any]:
        readings = self.readings
        energy = _change(readings[0].energy_j, readings[-1].energy_j) if readings else None
        slowed = [r.reasons for r in readings if r.reasons is not None]
        seen = {name for bits in slowed for name in nvml.reasons(bits)}
        bad = [bits for bits in slowed if bits & nvml.THROTTLED]
        names = sorted({name for bits in bad for name in nvml.reasons(bits & nvml.THROTTLED)})
        throttled = [f"{name} in {len(bad)} of {len(slowed)} readings" for name in names]
        return {
            "gpu_unknown": self.unknown,
            "gpu_readings": len(readings),
            "sm_mhz": _middle(r.sm_mhz for r in readings),
            "sm_mhz_least": min((r.sm_mhz for r in readings if r.sm_mhz is not None), default=None),
            "memory_mhz": _middle(r.memory_mhz for r in readings),
            "power_w": _middle(r.power_w for r in readings),
            "temperature_c": max((r.temperature_c for r in readings if r.temperature_c is not None), default=None),
            "clock_reasons": sorted(seen),
            "gpu_energy_j": energy if window_s >= ENERGY_WINDOW_S and not self.shared else None,
            "throttled": throttled if slowed and len(bad) > THROTTLED_LIMIT * len(slowed) else [],
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
    busy, steal = _change(before.busy_s, after.busy_s), _change(before.steal_s, after.steal_s)
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


def _change(before: float | None, after: float | None) -> float | None:
    """after - before; None where one is unknown or the counter has begun anew."""
    return None if before is None or after is None or after < before else after - before


def _middle(values: Any) -> float | None:
    known = [value for value in values if value is not None]
    return float(statistics.median(known)) if known else None
