"""NVIDIA's GPUs, and AMD's, which torch calls by the same name.

What a timing mode times, and what it is for:

* `event-cold`: the device's own time, its L2 cache flushed before each call: what one layer of a deep model costs;
* `wall`: from the first launch until the device is idle, by the host's clock: what a training loop waits for;
* `event-hot`: as `event-cold` without the flush: small tensors stay in L2, as in a loop over one layer;
* `graph-hot`: a captured CUDA graph, replayed: no launch gaps at all.

Figures of different modes are never compared: the mode is part of a case's identity.

Launches take the host some microseconds. So that these do not count where the device's time is asked for, the device
first spins for `HOLD_CYCLES` while the host queues the block (NVIDIA's nvbench calls it a blocking kernel).
"""

from __future__ import annotations

import contextlib
import statistics
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from benchsuite.devices import Device, Seen
from benchsuite.errors import UserError
from benchsuite.hardware import fingerprint, nvml, peaks
from benchsuite.timing.clock import Clock, RealTime, WallClock
from benchsuite.timing.monitor import Monitor, change

if TYPE_CHECKING:
    from torch import Tensor

    from benchsuite.hardware.roofline import Distance, Peaks
    from benchsuite.timing.memory import Memory

SUSTAINED = 0.35  # of the peak arithmetic: what good trainings of models up to 1B reach
HOLD_CYCLES = 2_000_000  # about a millisecond: some hundred launches
FLUSH = 2  # times the L2 cache
AMD = Path("/dev/kfd")  # the device file of AMD's driver
WHEELS = "https://download.pytorch.org/whl"
INTERVAL_S = 0.05  # between readings of NVML
THROTTLED_LIMIT = 0.1  # of the readings
ENERGY_WINDOW_S = 1.0  # shorter than this, the GPU's energy counter has moved too few times


@dataclass(frozen=True)
class CUDA(Device):
    """One GPU, as torch numbers those that CUDA_VISIBLE_DEVICES leaves."""

    kind: ClassVar[str] = "cuda"
    modes: ClassVar[tuple[str, ...]] = ("event-cold", "wall", "event-hot", "graph-hot")
    sanitized: ClassVar[bool] = True
    evaluation_tokens: ClassVar[int] = 65_536
    process_group: ClassVar[str] = "nccl"

    @classmethod
    def seen(cls) -> Seen:
        models, cuda, driver = _visible()
        if not models:
            return Seen(driver=driver)
        built = fingerprint.torch_backends()
        if not (built.get("cuda") or built.get("hip")):
            told = f"torch {fingerprint.version('torch')} is built without CUDA, though the driver shows {models[0]}"
            return Seen(why_not=told, fix=f"pip install torch --index-url {WHEELS}/{_wheels(cuda)}", driver=driver)
        return Seen(models, driver)

    def check(self) -> None:
        seen = self.seen()
        if not seen.models:
            raise UserError(
                f"--device {self.name}: {seen.why_not or 'no GPU is visible here'}",
                hint=seen.fix or "use --device cpu; `benchsuite doctor` says more",
            )
        if self.number >= len(seen.models):
            raise UserError(
                f"--device {self.name}: only {len(seen.models)} of them are visible here, from cuda:0 on",
                hint="CUDA_VISIBLE_DEVICES says which",
            )

    def model(self) -> str | None:
        return _about(self.name).get("name")

    def sustained_flop_per_s(self, dtype: str) -> float:
        return sustained(self.model(), dtype) or super().sustained_flop_per_s(dtype)

    def capacity_bytes(self) -> int | None:
        return _about(self.name).get("memory_bytes")

    def for_rank(self, rank: int) -> CUDA:
        """The GPU of torchrun's process `rank`; one that has a number stays as it is."""
        return self if ":" in self.name else CUDA(f"cuda:{rank}")

    def clock(self, mode: str) -> Clock:
        import torch

        self.check_mode(mode)
        self.select()
        if mode == "wall":
            return WallClock(self.synchronize)
        if mode == "graph-hot":
            return GraphClock(torch.cuda)
        cold = torch.cuda.get_device_properties(self.number).L2_cache_size * FLUSH if mode == "event-cold" else 0
        return EventClock(torch.cuda, flush_bytes=cold)

    def monitor(self, *, shared: int = 0) -> NVMLMonitor:
        return NVMLMonitor(self.name, shared=shared)

    def memory(self, call: Callable[[], object], held: Iterable[Tensor]) -> Memory:
        from benchsuite.timing.memory import measure_memory

        return replace(measure_memory(call, held, _allocated), device_process=_process_bytes(self.name))

    def published(self, dtype: str) -> Peaks | None:
        import torch

        from benchsuite.hardware import roofline

        return roofline.published(torch.cuda.get_device_name(self.number), dtype)

    def impossible(
        self, time_s: float, flops: int | None, distance: Distance | None, *, dtype: str, mode: str, threads: int
    ) -> str | None:
        from benchsuite.hardware import roofline

        return None if distance is None else roofline.impossible(distance, cold=mode == "event-cold")


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


class NVMLMonitor(Monitor):
    """Beside the host, the clocks, heat, power and energy of the GPU that CUDA calls `device`, read in a thread."""

    def __init__(self, device: str, *, shared: int = 0) -> None:
        super().__init__(shared=shared)
        self.device = device
        self.readings: list[nvml.State] = []
        self.unknown: str | None = None  # why clocks and heat are not told
        self.lost: str | None = None
        self.other_processes: int | None = None
        self._end = threading.Event()
        self._thread: threading.Thread | None = None
        self._open = contextlib.ExitStack()

    def __enter__(self) -> NVMLMonitor:
        self._begin()
        super().__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        super().__exit__()
        if self._thread is not None:
            self._end.set()
            self._thread.join()
        self._open.close()

    @property
    def counts_energy(self) -> bool:
        return any(reading.energy_j is not None for reading in self.readings)

    def summary(self) -> dict[str, Any]:
        found = super().summary()
        disturbed = list(found["disturbed"])
        if (self.other_processes or 0) > self.shared:
            disturbed.append(f"{self.other_processes} other processes were on the GPU")
        if self.lost:
            disturbed.append(self.lost)
        return {**found, **self._gpu(found["window_s"]), "disturbed": disturbed}

    def _begin(self) -> None:
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

    def _gpu(self, window_s: float) -> dict[str, Any]:
        readings = self.readings
        energy = change(readings[0].energy_j, readings[-1].energy_j) if readings else None
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


@cache
def _about(device: str) -> dict[str, Any]:
    """What NVML tells of a GPU; empty where it tells nothing."""
    with nvml.opened() as why_not:
        try:
            gpu = None if why_not else nvml.handle(device)
            return {} if gpu is None else nvml.about(gpu)
        except nvml.Lost:
            return {}


def sustained(model: str | None, dtype: str) -> float | None:
    """Return the FLOP/s that a training may reach on a GPU of this name: `SUSTAINED` of its published peak."""
    known = None if model is None else peaks.peak(model)
    peak = None if known is None else known.tflop_per_s.get(dtype)
    return None if peak is None else SUSTAINED * peak * 1e12


def _visible() -> tuple[tuple[str, ...], str | None, str]:
    """The models of the GPUs that CUDA_VISIBLE_DEVICES leaves, the CUDA version of NVIDIA's driver, and what there is
    to say of the driver. Of AMD's GPUs it is only known that there is one."""
    with nvml.opened() as why_not:
        if why_not is None:
            try:
                found = nvml.driver()
                return tuple(nvml.visible()), found["cuda"], f"driver {found['driver']}"
            except nvml.Lost as lost:
                return (), None, str(lost)
    return (("AMD GPU",), None, "AMD's driver") if AMD.exists() else ((), None, why_not)


def _wheels(driver: str | None) -> str:
    """The index of torch's wheels for the newest CUDA that a driver runs."""
    version = tuple(map(int, driver.split("."))) if driver else (12, 6)
    return "cu130" if version >= (13, 0) else "cu128" if version >= (12, 8) else "cu126"


def _allocated(call: Callable[[], object], held_bytes: int) -> tuple[int, int]:
    """The peak and what the allocator held then; it counts what is held."""
    import torch

    torch.cuda.synchronize()
    torch.cuda.empty_cache()  # what earlier calls reserved and this one does not need
    torch.cuda.reset_peak_memory_stats()
    call()
    torch.cuda.synchronize()
    return torch.cuda.max_memory_allocated(), torch.cuda.max_memory_reserved()


def _process_bytes(device: str) -> int | None:
    with nvml.opened() as why_not:
        try:
            gpu = None if why_not else nvml.handle(device)
            return None if gpu is None else nvml.process_bytes(gpu)
        except nvml.Lost:
            return None


def _middle(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(statistics.median(known)) if known else None


def _bytes_on_device(size: int) -> Any:
    import torch

    return torch.empty(size, dtype=torch.int8, device="cuda")
