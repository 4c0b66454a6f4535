"""Predict the time of a kernel on a GPU that is not here: *predicted*, not measured.

The interpreter executes samples of the work and counts; the maker's peaks (hardware/peaks.yaml) turn counts into the
least time that each resource of the device needs:

* memory: each byte of a buffer that is read, and each that is written, counted once, over the bandwidth. What is read
  again is taken to come from a cache.
* tensor cores: the FLOPs of mma.sync over the peak of their type.
* issue: the warp instructions of PTX, without those that the assembler folds into others (mov, cvta, ld.param), over
  four a cycle and multiprocessor, at boost clock. SASS has other instructions, so this is the least certain.

The predicted time is the longest of the three: a bound from below for these very instructions, without launch
overhead, latency that is not hidden, or a tail of blocks. A measured time that is shorter would show that the model is
wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from benchsuite.cuda_ext.launches import Launch, Work
from benchsuite.cuda_ext.ptx import Program, Result, load
from benchsuite.hardware.peaks import Peak

FOLDED = ("mov", "cvta", "ld.param")
ISSUES_PER_CYCLE = 4  # of a multiprocessor: one for each of its four schedulers, sm_80 to sm_100


@dataclass(frozen=True)
class Counts:
    """The needs of a launch: bytes of memory, FLOPs of the tensor cores, warp instructions."""

    bytes: float
    flops: float
    instructions: float

    def __add__(self, other: Counts) -> Counts:
        return Counts(self.bytes + other.bytes, self.flops + other.flops, self.instructions + other.instructions)

    def times(self, factor: float) -> Counts:
        return Counts(self.bytes * factor, self.flops * factor, self.instructions * factor)


@dataclass(frozen=True)
class Prediction:
    """Seconds that each resource needs at least; `time_s` is the longest, of the resource called `bound`."""

    memory_s: float
    tensor_s: float
    issue_s: float

    @property
    def time_s(self) -> float:
        return max(self.memory_s, self.tensor_s, self.issue_s)

    @property
    def bound(self) -> str:
        return max(
            ("memory", self.memory_s), ("tensor cores", self.tensor_s), ("issue", self.issue_s), key=lambda x: x[1]
        )[0]

    @property
    def fraction(self) -> float:
        """Of the bandwidth's peak, or of the tensor cores' where they need longer, that this time would reach."""
        return max(self.memory_s, self.tensor_s) / self.time_s


@cache
def program(path: Path, arch: str) -> Program:
    return load(path, arch)


def execute(launch: Launch, arch: str = "sm_80") -> Result:
    """Run a launch on the interpreter. Raises PTXFault for what a GPU would punish."""
    return program(launch.path, arch).launch(
        launch.name, launch.grid, launch.block, launch.arguments, launch.shared, launch.buffers
    )


def counts_of(launch: Launch, result: Result) -> tuple[Counts, Counts]:
    """Return what grows with the rows, and the bytes of buffers that all rows share."""
    grows = shared = 0
    for key, touched in result.touched.items():
        if key in launch.shared_by_rows:
            shared += touched
        else:
            grows += touched
    counters = result.counters
    issued = counters.instructions.total() - sum(counters.instructions[name] for name in FOLDED)
    return Counts(grows, counters.matrix_flops, issued / 32), Counts(shared, 0, 0)


def count(work: Work, run: Callable[[Launch], Result] = execute) -> Counts:
    """Of the whole work, from its samples."""
    total = Counts(0, 0, 0)
    found = [counts_of(launch, run(launch)) for launch in work.samples]
    if not work.squares:
        for (grows, shared), scale in zip(found, work.scales, strict=True):
            total += grows.times(scale) + shared
        return total
    tiles, pairs = work.scales
    for (one, _), (two, _) in zip(found[::2], found[1::2], strict=True):
        # One tile is one pair, two tiles are three: pair = two − 2 one, and what a tile needs beside it is the rest.
        pair = two + one.times(-2)
        tile = one + pair.times(-1)
        linear = Counts(one.bytes, 0, 0)  # each byte once: as many as there are tiles
        total += Counts(0, pair.flops, pair.instructions).times(pairs)
        total += Counts(0, tile.flops, tile.instructions).times(tiles) + linear.times(tiles)
    return total


def predict(counts: Counts, peak: Peak, dtype: str) -> Prediction:
    """From counts and the maker's peaks."""
    return Prediction(
        counts.bytes / (peak.gb_per_s * 1e9),
        counts.flops / (peak.tflop_per_s[dtype] * 1e12),
        counts.instructions / (ISSUES_PER_CYCLE * peak.sms * peak.boost_mhz * 1e6),
    )
