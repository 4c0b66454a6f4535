"""The distance of a figure from what the hardware can do.

* MFU (model FLOPs utilisation, arXiv:2204.02311, appendix B): the FLOPs that the model's mathematics needs, 3 times
  those of the forward pass for a training step, over time and published peak. Recomputation does not count.
* HFU (hardware FLOPs utilisation, the same appendix): the FLOPs that were really done, over the same. It is MFU
  where nothing is recomputed (`benchsuite.model.flops.executed_flops`).
* `fraction`: the time that the slower of arithmetic and memory needs at peak, over the time taken (Williams et al.,
  Roofline, CACM 2009). It cannot be above 1. Against the maker's peaks a figure that is was measured wrongly
  (`impossible`); against peaks measured here, or where data stay in a GPU's cache, the peak does not apply (`told`).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

TOLERANCE = 1.02  # clocks are given in whole MHz, sizes in rounded GB
REACHED = 1.03  # up to here a figure is at its peak, as exactly as peaks are measured
# FLOPs a cycle of one core that no CPU of its vector width goes beyond: two units, multiply and add, float32 lanes.
FLOPS_A_CYCLE = {"avx512f": 64, "avx2": 32, "sve": 64, "asimd": 32}
NO_CPU_CLOCK = 6.5e9  # Hz; none is sold that runs faster


@dataclass(frozen=True)
class Level:
    """A cache: the bytes that it holds for all threads together, and its bandwidth in GB/s."""

    name: str
    bytes: int
    gb_per_s: float


@dataclass(frozen=True)
class Peaks:
    """TFLOP/s for one type, GB/s of memory, where they are from (`published: …` or `measured here`), and the caches
    before memory, the smallest first."""

    tflop_per_s: float | None
    gb_per_s: float | None
    source: str
    levels: tuple[Level, ...] = ()


@dataclass(frozen=True)
class Distance:
    """Fractions of the peaks; `bound` is what would take longest at peak: compute or memory. `level` is the cache, or
    memory, whose bandwidth counts; `reason` says why a fraction is None although the figure is known."""

    fraction: float | None
    bound: str | None
    compute_fraction: float | None
    memory_fraction: float | None
    peaks: str
    level: str | None = None
    reason: str | None = None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def distance(
    time_s: float, flops: int | None, bytes_moved: int | None, peaks: Peaks, working_set: int | None = None
) -> Distance:
    """Return the distance of one call that takes `time_s`, needs `flops` and moves at least `bytes_moved`. It is held
    against the bandwidth of the smallest cache that holds `working_set` bytes; None: its data are in memory."""
    held = [x for x in peaks.levels if working_set is not None and working_set <= x.bytes]
    level, gb_per_s = (held[0].name, held[0].gb_per_s) if held else ("memory", peaks.gb_per_s)
    compute = flops / (peaks.tflop_per_s * 1e12) if flops and peaks.tflop_per_s else None
    memory = bytes_moved / (gb_per_s * 1e9) if bytes_moved and gb_per_s else None
    needed = [x for x in (compute, memory) if x is not None]
    bound = None if not needed else "compute" if compute == max(needed) else "memory"
    return Distance(
        max(needed) / time_s if needed else None,
        bound,
        None if compute is None else compute / time_s,
        None if memory is None else memory / time_s,
        peaks.source,
        None if memory is None else level,
    )


def beyond(found: Distance) -> list[str]:
    """Return the peaks that a figure lies above: `arithmetic`, and the name of the cache or memory."""
    parts = ((found.compute_fraction, "arithmetic"), (found.memory_fraction, found.level or "memory"))
    return [name for fraction, name in parts if fraction is not None and fraction > REACHED]


def told(found: Distance) -> Distance:
    """Return what can be said of a distance: a fraction above 1 is the instrument's fault and becomes None, with the
    reason; one that exceeds 1 by no more than peaks are exact is 1."""
    whose = "published" if found.peaks.startswith("published") else "measured"
    above = beyond(found)
    reason = f"above the {whose} peak of {' and of '.join(above)}" if above else None
    return replace(
        found,
        fraction=_possible(found.fraction),
        bound=None if above else found.bound,
        compute_fraction=_possible(found.compute_fraction),
        memory_fraction=_possible(found.memory_fraction),
        reason=reason,
    )


def _possible(fraction: float | None) -> float | None:
    return None if fraction is None or fraction > REACHED else min(fraction, 1.0)


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
    """Return why a figure cannot be, against published peaks: more arithmetic than the device can do or, with cold
    caches, more bytes. None where it can be."""
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
