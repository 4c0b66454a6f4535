"""What the operators' tests share: types with their tolerances, instruction sets, errors relative to float64."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from torch import Tensor

from benchsuite import cuda_ext
from benchsuite.measure import accuracy

# An operator by itself has a few roundings of the type: a quarter of what a whole layer may have.
LIMITS = {getattr(torch, name): limit / 4 for name, limit in accuracy.LIMITS.items()}
DTYPES = list(LIMITS)
# The first library that tests build is for this machine's instruction set; `make test-long` builds one with all three.
ISAS = ("", *(pytest.param(name, marks=pytest.mark.long) for name in ("v4", "v3", "v1")))


@contextmanager
def isa(name: str) -> Iterator[str]:
    """Runs the CPU operators in one of their compilations; yields the one really in use (a machine may lack some)."""
    built = cuda_ext.load().about["isas"]
    assert not name or f"cpu_{name}" in built, "build the library with BENCHSUITE_KERNELS_ISA=all"
    before = torch.ops.benchsuite.cpu_isa()
    try:
        yield torch.ops.benchsuite.set_cpu_isa(name or before)
    finally:
        torch.ops.benchsuite.set_cpu_isa(before)


def error(got: Tensor, want: Tensor) -> float:
    """The largest deviation over the largest value of `want`, or over 1 where that is smaller."""
    assert got.shape == want.shape
    return accuracy.relative_error(got, want.double(), floor=1.0)


def gradients(call, inputs: list[Tensor], grad: Tensor) -> list[Tensor]:
    """The result of `call(*inputs)` and the gradients of the floating-point inputs, for the gradient `grad` of it."""
    leaves = [x.detach().requires_grad_() if x.is_floating_point() else x for x in inputs]
    y = call(*leaves)
    y.backward(grad.to(y.dtype))
    return [y.detach(), *(x.grad for x in leaves if x.grad is not None)]


def check(ours, reference, inputs: list[Tensor], limit: float | None = None) -> None:
    """Result and gradients of `ours` against `reference` in float64 on the same values."""
    dtype = next(x.dtype for x in inputs if x.is_floating_point())
    exact = [x.double() if x.is_floating_point() else x for x in inputs]
    shape = reference(*exact).shape
    grad = torch.randn(shape, dtype=torch.float64).to(dtype)
    mine, theirs = gradients(ours, inputs, grad), gradients(reference, exact, grad.double())
    assert len(mine) == len(theirs)
    for number, (a, b) in enumerate(zip(mine, theirs, strict=True)):
        found = error(a, b)
        assert found <= (limit or LIMITS[dtype]), f"tensor {number}: error {found:.2g}"
