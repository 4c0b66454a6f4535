"""Numbers in the kernels' types, and how close a result must be."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchsuite.cuda_ext.ptx import from_bf16, to_bf16

Array = NDArray[Any]
# By type: its mangled name, elements in 16 bytes, the largest error relative to the largest value.
TYPES = {"float32": ("f", 4, 2e-6), "bfloat16": ("13__nv_bfloat16", 8, 6e-3), "float16": ("6__half", 8, 8e-4)}


def stored(x: Array, dtype: str) -> Array:
    return to_bf16(x) if dtype == "bfloat16" else x.astype(dtype)


def values(x: Array, dtype: str) -> Array:
    return (from_bf16(x) if dtype == "bfloat16" else x).astype(np.float64)


def draw(shape: tuple[int, ...], dtype: str, seed: int = 0) -> Array:
    return stored(np.random.default_rng([seed, *shape]).standard_normal(shape).astype(np.float32) * 2, dtype)


def close(got: Array, want: Array, dtype: str, factor: float = 1.0) -> None:
    limit = factor * TYPES[dtype][2] * max(1.0, float(np.abs(want).max(initial=0)))
    error = np.abs(values(got, dtype) - want)
    assert float(error.max(initial=0)) <= limit, f"{error.max()} > {limit}, first at {np.argwhere(error > limit)[0]}"


def rounded_up(n: int, to: int) -> int:
    return -(-n // to) * to


def row_threads(columns: int, lanes: int, packs: int, most: int = 1024) -> int:
    """As rows.cuh has it."""
    return min(most, max(32, rounded_up(rounded_up(columns, lanes * packs) // (lanes * packs), 32)))
