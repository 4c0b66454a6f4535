"""Measure the noise of this machine: the same work timed against itself.

A/A over some seconds: blocks of one and the same product and copy in pairs, so that any difference within a pair is the
machine's. It is a quick look for `doctor`; `calibrate` measures what a gate may believe.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from benchsuite.timing.monitor import Monitor

BLOCK_S = 0.1
SIZE, COPY = 512, 2**22  # rows of a product; float32 that are copied, beyond the second-level cache


@dataclass(frozen=True)
class Noise:
    """`spread`: relative standard deviation of the ratio within a pair of blocks; `worst`: the largest deviation."""

    pairs: int
    spread: float
    worst: float
    steal_fraction: float | None
    foreign_cores: float | None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def measure(seconds: float, say: Callable[[float], None] = lambda _: None) -> Noise:
    """Time pairs of equal blocks for about `seconds`; tells `say` the fraction done."""
    a, source, target = np.ones((SIZE, SIZE), np.float32), np.ones(COPY, np.float32), np.empty(COPY, np.float32)

    def block() -> float:
        calls, started = 0, time.perf_counter()
        while (now := time.perf_counter()) - started < BLOCK_S or calls == 0:
            a @ a
            np.copyto(target, source)
            calls += 1
        return (now - started) / calls

    block()
    ratios: list[float] = []
    started = time.perf_counter()
    with Monitor() as monitor:
        while (elapsed := time.perf_counter() - started) < seconds or len(ratios) < 2:
            ratios.append(math.log(block() / block()))
            say(min(1.0, elapsed / seconds) if seconds else 1.0)
    seen = monitor.summary()
    return Noise(
        pairs=len(ratios),
        spread=statistics.stdev(ratios),
        worst=max(map(abs, ratios)),
        steal_fraction=seen["steal_fraction"],
        foreign_cores=seen["foreign_cores"],
    )
