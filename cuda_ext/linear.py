"""x · Wᵀ + b by the CPU's 16-bit products, of weights in float32 that are rounded on their way.

torch.autocast copies each weight to bfloat16, multiplies, and copies its gradient back; for small layers these copies
and the calls around them take longer than the products. Here a layer is one call forward and one backward, and the
weight's gradient comes out in float32.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from benchsuite import cuda_ext
from benchsuite.cuda_ext.autograd import differentiable, fake

_calls: dict[str, Callable[..., Any]] = {}


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None, onto: Tensor | None = None) -> Tensor:
    """onto + x · weightᵀ + bias; x (..., in), weight (out, in), bias (out), to (..., out), as `onto` is.

    On a CPU with AMX and under autocast to bfloat16 the result is bfloat16 or of the type of `onto`, sums
    are float32, and gradients have the types of what they are gradients of; elsewhere it is torch's own. The result
    and its gradients have the same bits for any number of threads. Raises RuntimeError for what does not fit.
    """
    if by_products(x):
        y: Tensor = _calls["linear"](x, weight, bias, onto)
        return y
    y = functional.linear(x, weight, bias)
    return y if onto is None else onto + y


def by_products(x: Tensor) -> bool:
    """Return whether autocast takes x to bfloat16 on a CPU that has AMX."""
    if x.device.type != "cpu" or not torch.is_autocast_enabled("cpu"):
        return False
    if torch.get_autocast_dtype("cpu") is not torch.bfloat16 or x.dtype not in (torch.float32, torch.bfloat16):
        return False
    # By AVX512-BF16 alone a step takes 1.4 times as long as with torch's own products; they are there for the tests.
    return products() == "amx" and "linear" in _calls  # a library may be built without this family


def products() -> str:
    """Return the 16-bit products that this CPU has and the kernels use: `amx`, `avx512_bf16` or `none`."""
    cuda_ext.load()
    return str(torch.ops.benchsuite.cpu_products())


products._dynamo_marked_constant = True  # type: ignore[attr-defined]  # torch.compile asks while it traces


def register() -> None:
    """Fake implementations and gradients; called once, when the library is loaded."""
    fake("benchsuite::linear", _fake_linear)
    fake(
        "benchsuite::linear_backward",
        lambda grad, x, weight, for_x, for_weight, for_bias: (
            x.new_empty(x.shape if for_x else (0,)),
            weight.new_empty(weight.shape if for_weight else (0,)),
            weight.new_empty(weight.shape[:1] if for_bias else (0,)),
        ),
    )
    _calls["linear"] = differentiable("linear", _save, _backward_of(torch.ops.benchsuite.linear_backward.default))


def _fake_linear(x: Tensor, weight: Tensor, bias: Tensor | None, onto: Tensor | None) -> Tensor:
    if weight.dim() != 2 or x.dim() == 0 or x.shape[-1] != weight.shape[1]:
        raise RuntimeError(
            f"linear: x (..., in) and weight (out, in) have shapes {tuple(x.shape)} and {tuple(weight.shape)}"
        )
    return x.new_empty((*x.shape[:-1], weight.shape[0]), dtype=torch.bfloat16 if onto is None else onto.dtype)


def _save(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, weight, *_ = inputs
    ctx.save_for_backward(x, weight)


def _backward_of(op: Callable[..., Any]) -> Callable[..., Any]:
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        *wanted, onto = ctx.needs_input_grad
        found = op(grad, *ctx.saved_tensors, *wanted)
        gradients = (one if asked else None for one, asked in zip(found, wanted, strict=True))
        return *gradients, grad if onto else None

    return backward
