"""What the operators' tests share: types with their tolerances, instruction sets, errors relative to float64."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from benchsuite import cuda_ext

# Largest error relative to the largest value: a few roundings of the type.
LIMITS = {torch.float64: 1e-12, torch.float32: 3e-6, torch.bfloat16: 1.2e-2, torch.float16: 1.5e-3}
DTYPES = list(LIMITS)
ISAS = ("v4", "v3", "v1")


@contextmanager
def isa(name: str) -> Iterator[str]:
    """Runs the CPU operators in one of their compilations; yields the one really in use (a machine may lack some)."""
    cuda_ext.load()
    before = torch.ops.benchsuite.cpu_isa()
    try:
        yield torch.ops.benchsuite.set_cpu_isa(name)
    finally:
        torch.ops.benchsuite.set_cpu_isa(before)


def error(got: Tensor, want: Tensor) -> float:
    """The largest deviation over the largest value of `want`, or over 1 where that is smaller."""
    assert got.shape == want.shape
    if want.numel() == 0:
        return 0.0
    return float((got.double() - want.double()).abs().max() / want.double().abs().max().clamp_min(1.0))


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
