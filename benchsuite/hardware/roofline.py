"""How far a figure is from what the hardware can do.

* MFU (model FLOPs utilisation, arXiv:2204.02311, appendix B): the FLOPs that the model's mathematics needs, 3 times
  those of the forward pass for a training step, over time and published peak. Recomputation does not count.
* HFU (hardware FLOPs utilisation, the same appendix): the FLOPs that were really done, over the same. It is MFU
  where nothing is recomputed (`benchsuite.model.flops.executed_flops`).
* `fraction`: the time that the slower of arithmetic and memory needs at peak, over the time taken (Williams et al.,
  Roofline, CACM 2009). Against the maker's peaks it cannot be above 1, so a figure that is was measured wrongly.
  Against the machine's own large copy and product it can, where the data stay in a cache.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

TOLERANCE = 1.02  # clocks are given in whole MHz, sizes in rounded GB
# FLOPs a cycle of one core that no CPU of its vector width goes beyond: two units, multiply and add, float32 lanes.
FLOPS_A_CYCLE = {"avx512f": 64, "avx2": 32, "sve": 64, "asimd": 32}
NO_CPU_CLOCK = 6.5e9  # Hz; none is sold that runs faster


@dataclass(frozen=True)
class Peaks:
    """TFLOP/s for one type and GB/s, and where they are from: `published: …` or `measured here`."""

    tflop_per_s: float | None
    gb_per_s: float | None
    source: str


@dataclass(frozen=True)
class Distance:
    """Fractions of the peaks; `bound` is what would take longest at peak: compute or memory."""

    fraction: float | None
    bound: str | None
    compute_fraction: float | None
    memory_fraction: float | None
    peaks: str

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def distance(time_s: float, flops: int | None, bytes_moved: int | None, peaks: Peaks) -> Distance:
    """The distance of one call that takes `time_s`, needs `flops` and moves at least `bytes_moved`."""
    compute = flops / (peaks.tflop_per_s * 1e12) if flops and peaks.tflop_per_s else None
    memory = bytes_moved / (peaks.gb_per_s * 1e9) if bytes_moved and peaks.gb_per_s else None
    needed = [x for x in (compute, memory) if x is not None]
    bound = None if not needed else "compute" if compute == max(needed) else "memory"
    return Distance(
        max(needed) / time_s if needed else None,
        bound,
        None if compute is None else compute / time_s,
        None if memory is None else memory / time_s,
        peaks.source,
    )


def utilisation(flops: float, time_s: float, peaks: Peaks | None) -> float | None:
    """MFU, of the FLOPs that a model needs, or HFU, of those that were done; None without a published peak."""
    if peaks is None or not peaks.tflop_per_s or time_s <= 0:
        return None
    return flops / time_s / (peaks.tflop_per_s * 1e12)


def published(device_name: str, dtype: str) -> Peaks | None:
    """The maker's peaks of the device that its driver calls so; None for one that is not in peaks.yaml."""
    from benchsuite.hardware.peaks import peak

    known = peak(device_name)
    return None if known is None else Peaks(known.tflop_per_s.get(dtype), known.gb_per_s, f"published: {known.source}")


def impossible(distance: Distance, *, cold: bool) -> str | None:
    """Why a figure cannot be, against published peaks: more arithmetic than the device can do or, with cold caches,
    more bytes. None where it can be."""
    if (distance.compute_fraction or 0) > TOLERANCE:
        return f"it would be {distance.compute_fraction:.0%} of the device's peak arithmetic"
    if cold and (distance.memory_fraction or 0) > TOLERANCE:
        return f"it would be {distance.memory_fraction:.0%} of the device's peak bandwidth"
    return None


def impossible_cpu(time_s: float, flops: int | None, threads: int, flags: list[str], dtype: str) -> str | None:
    """The same for a CPU, whose makers publish no such peak: beyond any core of its vector width. None where it can be,
    and where the width is not known or a matrix unit (AMX) may be at work."""
    lanes = next((n for flag, n in FLOPS_A_CYCLE.items() if flag in flags), None)
    if not flops or lanes is None or any(flag.startswith("amx") for flag in flags) or dtype == "bfloat16":
        return None
    most = threads * NO_CPU_CLOCK * lanes
    if flops / time_s <= most:
        return None
    return f"it would be {flops / time_s / 1e9:.0f} GFLOP/s, and {threads} cores cannot do more than {most / 1e9:.0f}"
