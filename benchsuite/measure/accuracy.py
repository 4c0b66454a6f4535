"""Tensors against their reference in float64: one definition of the error, and one table of what is right."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from benchsuite.records.case import Incorrect

# Largest error of a type in a layer or a step, relative to the largest value of the tensor. float32 sums of a
# few thousand terms err by some 1e-6 of it, 16-bit types by a few units of their 8 (bfloat16) or 11 (float16) bits of
# mantissa. The tests of single operators ask for a quarter of it.
LIMITS = {"float64": 4e-12, "float32": 2e-5, "bfloat16": 5e-2, "float16": 8e-3}
PART = 2**20  # numbers compared at a time

Errors = dict[str, float | None]


def check(got: list[Tensor], want: list[Tensor] | None, dtype: str) -> Errors:
    """Return the errors of the result (`forward`), of the gradients (`backward`, the largest), and their `limit`.

    The first tensor is the result, the others are gradients. Raises Incorrect beyond the limit of `dtype`. Without a
    reference (None) only NaN is known to be wrong.
    """
    if want is None:
        if any(x.isnan().any() for x in got):
            raise Incorrect("the output holds NaN")
        want = got = []
    if len(got) != len(want):
        raise Incorrect(f"{len(got)} tensors came out, the reference has {len(want)}", {})
    if not want:
        return {"forward": None, "backward": None, "limit": None}
    errors = [relative_error(mine, exact) for mine, exact in zip(got, want, strict=True)]
    error: Errors = {"forward": errors[0], "backward": worst(errors[1:]) if errors[1:] else None}
    error["limit"] = LIMITS[dtype]
    largest = worst(errors)
    if math.isnan(largest):
        raise Incorrect(_why_no_number(got, want), {"error": error})
    if largest > LIMITS[dtype]:
        reason = f"the error against float64 is {largest:.2g}; the limit of {dtype} is {LIMITS[dtype]:.0e}"
        raise Incorrect(reason, {"error": error})
    return error


def relative_error(got: Tensor, want: Tensor, floor: float = 0.0) -> float:
    """Return the largest deviation over the largest value of the reference, or over `floor` where that is larger (for
    gradients that are zero but for rounding); infinite for another shape, NaN where either holds NaN."""
    if got.shape != want.shape:
        return math.inf
    if want.numel() == 0:
        return 0.0
    largest = deviation = want.new_zeros(())
    # In parts that stay in a cache; a NaN anywhere makes the result NaN.
    for mine, exact in zip(got.reshape(-1).split(PART), want.reshape(-1).split(PART), strict=True):
        largest = torch.maximum(largest, _largest(exact))
        deviation = torch.maximum(deviation, _largest(mine.to(exact.dtype) - exact))
    return float(deviation / largest.clamp(min=max(floor, torch.finfo(want.dtype).tiny)))


def worst(errors: list[float]) -> float:
    """Return the largest; NaN, which Python's `max` passes over, is larger than all."""
    return max(errors, key=lambda error: math.inf if math.isnan(error) else error)


def _why_no_number(got: list[Tensor], want: list[Tensor]) -> str:
    for name, tensors in (("output", got), ("reference", want)):
        if any(x.isnan().any() for x in tensors):
            return f"the {name} holds NaN"
    return "the output and the reference are infinite, so that the error has no value"


def _largest(x: Tensor) -> Tensor:
    """Of the absolute values; aminmax takes a fifth of the time of a norm."""
    low, high = torch.aminmax(x)
    return torch.maximum(-low, high)
