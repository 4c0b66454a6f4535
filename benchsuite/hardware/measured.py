"""This machine's own peaks: the bandwidth of a large copy and the rate of a large matrix product.

A fraction of a published peak says little on a virtual machine; a fraction of what plain torch reaches beside it does.
"""

from __future__ import annotations

import json
import platform
import statistics
import time
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

import torch

from benchsuite.cache import cache_dir, digest, write_atomically
from benchsuite.hardware.roofline import Peaks

COPY_BYTES = 2**28  # beyond the last-level cache of one socket, or at least of what a few cores keep there
PRODUCT = 2048  # rows, columns and depth
REPEATS = 7


@dataclass(frozen=True)
class Measured:
    """copy_gb_per_s: bytes read and written, 10^9 a second, into memory that exists; product_gflop_per_s: in float32 on
    the CPU, in bfloat16 on CUDA."""

    copy_gb_per_s: float
    product_gflop_per_s: float
    threads: int


def measure(repeats: int = REPEATS, device: str = "cpu") -> Measured:
    """Medians of `repeats` copies and products, with torch's threads on the CPU; under two seconds."""
    cuda = device.startswith("cuda")
    copied, size = (COPY_BYTES * 4, PRODUCT * 4) if cuda else (COPY_BYTES, PRODUCT)
    source, target = (make(copied // 4, device=device) for make in (torch.ones, torch.zeros))
    a = torch.randn(size, size, device=device, dtype=torch.bfloat16 if cuda else torch.float32)
    out = torch.empty_like(a)
    copies, products = [], []
    target.copy_(source)
    torch.mm(a, a, out=out)
    for _ in range(repeats):
        started = now(device)
        target.copy_(source)
        middle = now(device)
        torch.mm(a, a, out=out)
        copies.append(middle - started)
        products.append(now(device) - middle)
    return Measured(
        copy_gb_per_s=2 * copied / statistics.median(copies) / 1e9,
        product_gflop_per_s=2 * size**3 / statistics.median(products) / 1e9,
        threads=torch.get_num_threads(),
    )


@cache
def peaks(threads: int, device: str = "cpu") -> Peaks:
    """The peaks to hold a figure of this machine against where its maker publishes none: measured once between two
    boots (under two seconds), then read from the cache. Call it with `threads` set."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text()
    except OSError:
        boot = platform.node()
    path = cache_dir("peaks") / f"{digest([boot, threads, device, torch.__version__], 16)}.json"
    try:
        found = Measured(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):
        found = measure(3, device)
        with write_atomically(path) as temporary:
            temporary.write_text(json.dumps(asdict(found)))
    return Peaks(found.product_gflop_per_s / 1e3, found.copy_gb_per_s, "measured here: a large copy, a large product")


def now(device: str) -> float:
    """Seconds of the wall clock, when all that was asked of the device is done."""
    if device.startswith("cuda"):
        torch.cuda.synchronize()
    return time.perf_counter()
