"""Numbers in the kernels' types, and how close a result must be."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from benchsuite.cuda_ext import launches
from benchsuite.cuda_ext.ptx import from_bf16, to_bf16

Array = NDArray[Any]
# By type: its mangled name, elements in 16 bytes, the largest error relative to the largest value.
LIMITS = {"float32": 2e-6, "bfloat16": 6e-3, "float16": 8e-4}
TYPES = {dtype: (*launches.TYPES[dtype], limit) for dtype, limit in LIMITS.items()}


# float16 differs from bfloat16 in conversions alone: where every kind of kernel is tried, it is for `make test-long`.
MOST_TYPES = [pytest.param(dtype, marks=pytest.mark.long if dtype == "float16" else ()) for dtype in TYPES]


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
