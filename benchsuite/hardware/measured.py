"""This machine's own peaks: the bandwidth of a large copy and the rate of a large matrix product.

A fraction of a published peak says little on a virtual machine; a fraction of what plain torch reaches beside it does.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass

import torch

COPY_BYTES = 2**28  # beyond the last-level cache of one socket, or at least of what a few cores keep there
PRODUCT = 2048  # rows, columns and depth
REPEATS = 7


@dataclass(frozen=True)
class Measured:
    """copy_gb_per_s: bytes read and written, 10^9 a second, into memory that exists; product_gflop_per_s: float32."""

    copy_gb_per_s: float
    product_gflop_per_s: float
    threads: int


def measure(repeats: int = REPEATS) -> Measured:
    """Medians of `repeats` copies and products on the CPU, with torch's threads; under two seconds."""
    source, target = torch.ones(COPY_BYTES // 4), torch.zeros(COPY_BYTES // 4)
    a = torch.randn(PRODUCT, PRODUCT)
    out = torch.empty(PRODUCT, PRODUCT)
    copies, products = [], []
    target.copy_(source)
    torch.mm(a, a, out=out)
    for _ in range(repeats):
        started = time.perf_counter()
        target.copy_(source)
        middle = time.perf_counter()
        torch.mm(a, a, out=out)
        copies.append(middle - started)
        products.append(time.perf_counter() - middle)
    return Measured(
        copy_gb_per_s=2 * COPY_BYTES / statistics.median(copies) / 1e9,
        product_gflop_per_s=2 * PRODUCT**3 / statistics.median(products) / 1e9,
        threads=torch.get_num_threads(),
    )
