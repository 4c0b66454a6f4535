"""Cross-entropy fused with the projection onto the vocabulary, a chunk of rows at a time.

The logits of a whole batch never exist. A chunk's are computed by torch's matrix product, turned into the gradient in
place, and used at once for the gradients of input and weight, which therefore come out of the forward pass; the
backward pass only scales them (as Liger Kernel does, arXiv:2410.10989).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from benchsuite import cuda_ext
from benchsuite.cuda_ext.autograd import differentiable, fake, mutating, product
from benchsuite.cuda_ext.linear import by_products

# Bytes of a chunk's logits: large enough that a product's own passes over the weight, and one over its gradient, are
# cheap for each chunk, small beside that gradient itself. At 2048 x 768 and 50,257 words 64 MiB takes 9% longer.
CHUNK_BYTES = 100 * 2**20

_calls: dict[str, Callable[..., Any]] = {}


def linear_cross_entropy(x: Tensor, weight: Tensor, targets: Tensor, ignore_index: int = -100) -> Tensor:
    """The mean cross-entropy in nats of softmax(x · weightᵀ) for targets (N) int64; x (N, C), weight (V, C); a scalar.

    Targets of `ignore_index` do not count; without any other the mean is NaN, as torch's. float32, bfloat16, float16
    (the weight's gradient is summed in float32), and float64 on the CPU; under autocast in its type. On a CPU with
    16-bit products float32 is rounded inside of these. The result is float32 or float64. In float16 the gradients
    wait in float32 for the loss's scale, so that torch.amp.GradScaler finds them as torch's own. Raises RuntimeError
    for a target that is no class (on CUDA its loss is NaN instead) and for what does not fit.
    """
    cuda_ext.load()
    gradient = torch.is_grad_enabled() and (x.requires_grad or weight.requires_grad)
    if by_products(x):
        return _calls["rounded_cross_entropy"](x, weight, targets, ignore_index, gradient)
    return _calls["linear_cross_entropy"](x, weight, targets, ignore_index, gradient)


def register() -> None:
    """The chunked operator itself, fake implementations and gradients; called once, when the library is loaded."""
    fake(
        "benchsuite::cross_entropy_rows_",
        lambda logits, targets, ignore, scale, gradient: logits.new_empty(targets.shape, dtype=_arithmetic(logits)),
    )
    torch.library.impl("benchsuite::linear_cross_entropy", ("cpu", "cuda"))(_chunked)
    torch.library.impl("benchsuite::rounded_cross_entropy", "cpu")(_rounded)
    for name in ("linear_cross_entropy", "rounded_cross_entropy"):
        fake(
            f"benchsuite::{name}",
            lambda x, weight, targets, ignore, gradient: (
                x.new_empty((), dtype=_arithmetic(x)),
                x.new_empty(x.shape if gradient else (0,), dtype=_saved(x)),
                weight.new_empty(weight.shape if gradient else (0,), dtype=_saved(weight)),
            ),
        )
    call = differentiable("linear_cross_entropy", _save, _backward, kept=2, autocast=product(2))
    _calls["linear_cross_entropy"] = call
    _calls["rounded_cross_entropy"] = differentiable("rounded_cross_entropy", _save, _backward, kept=2)
    mutating("cross_entropy_rows_")


def _arithmetic(x: Tensor) -> torch.dtype:
    return torch.float64 if x.dtype == torch.float64 else torch.float32


def _saved(x: Tensor) -> torch.dtype:
    """The type in which gradients wait for the scale of the loss. float16 has no room for those of a mean."""
    return torch.float32 if x.dtype == torch.float16 else x.dtype


# What a row's gradient is multiplied by in float16, between 0 and 1 before: as large as it can be.
HALF_SCALE = 2.0**14


def _product(a: Tensor, b: Tensor) -> Tensor:
    """a · b for float16 in float32, to which the sums of many rows are bound."""
    return torch.mm(a, b, out_dtype=torch.float32) if a.device.type == "cuda" else a.float() @ b.float()


def _check(x: Tensor, weight: Tensor, targets: Tensor) -> None:
    if x.dim() != 2 or weight.dim() != 2 or x.shape[1] != weight.shape[1] or targets.shape != x.shape[:1]:
        shapes = f"{tuple(x.shape)}, {tuple(weight.shape)} and {tuple(targets.shape)}"
        raise RuntimeError(f"linear_cross_entropy: x (N, C), weight (V, C) and targets (N) have shapes {shapes}")
    if not x.device == weight.device == targets.device:
        raise RuntimeError("linear_cross_entropy: the tensors are on different devices")


def _rows(x: Tensor, classes: int, element_bytes: int | None = None) -> int:
    """Rows of a chunk, all alike: a small last one would cost a whole pass over the weight's gradient, too."""
    most = max(1, CHUNK_BYTES // max(1, classes * (element_bytes or x.element_size())))
    chunks = max(1, math.ceil(x.shape[0] / most))
    return max(1, math.ceil(x.shape[0] / chunks))


def _rounded(x: Tensor, weight: Tensor, targets: Tensor, ignore: int, gradient: bool) -> tuple[Tensor, Tensor, Tensor]:
    """The same by 16-bit products, which round what is float32 themselves; gradients have the types of x and weight."""
    _check(x, weight, targets)
    ops = torch.ops.benchsuite
    rows, targets = _rows(x, weight.shape[0], 2), targets.contiguous()
    count = (targets != ignore).sum()
    scale = 1 / max(1, int(count))
    losses: list[Tensor] = []
    dx: list[Tensor] = []
    dweight = weight.new_zeros(weight.shape) if gradient and not len(x) else weight.new_empty((0,))
    for part, wanted in zip(x.split(rows), targets.split(rows), strict=True):
        logits = ops.linear.default(part, weight, None, None)
        losses.append(ops.cross_entropy_rows_.default(logits, wanted, ignore, scale, gradient))
        if gradient:
            for_x, for_weight, _ = ops.linear_backward.default(logits, part, weight, True, True, False)
            dx.append(for_x)
            dweight = dweight.add_(for_weight) if len(dx) > 1 else for_weight
    whole = torch.cat(dx) if len(dx) != 1 else dx[0]
    return torch.cat(losses).sum() / count, whole if gradient else x.new_empty((0,)), dweight


def _chunked(x: Tensor, weight: Tensor, targets: Tensor, ignore: int, gradient: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Loss, and the gradients of x and weight (empty tensors where none are wanted)."""
    _check(x, weight, targets)
    if x.dtype != weight.dtype or not x.is_floating_point():
        raise RuntimeError(f"linear_cross_entropy: x and weight have the types {x.dtype} and {weight.dtype}, not one")
    N, V = x.shape[0], weight.shape[0]
    rows = _rows(x, V)
    targets = targets.contiguous()
    count = (targets != ignore).sum()
    # On the CPU the mean's factor goes into the gradient at once; on CUDA reading it would wait for the device.
    half = x.dtype == torch.float16
    scale = HALF_SCALE if half else 1 / max(1, int(count)) if x.device.type == "cpu" else 1.0
    logits = x.new_empty((rows, V))
    losses = x.new_empty((N,), dtype=_arithmetic(x))
    dx = x.new_empty(x.shape if gradient else (0,), dtype=_saved(x))
    dweight = weight.new_empty(weight.shape if gradient else (0,), dtype=_arithmetic(x))
    for first in range(0, N, rows):
        chunk = slice(first, min(first + rows, N))
        part = logits[: chunk.stop - first]
        torch.mm(x[chunk], weight.t(), out=part)
        losses[chunk] = torch.ops.benchsuite.cross_entropy_rows_(part, targets[chunk], ignore, scale, gradient)
        if gradient and half:
            dx[chunk] = _product(part, weight)
            product = _product(part.t(), x[chunk])
            dweight.copy_(product) if first == 0 else dweight.add_(product)
        elif gradient:
            torch.mm(part, weight, out=dx[chunk])
            if dweight.dtype != part.dtype:
                product = part.t() @ x[chunk]
                dweight.copy_(product) if first == 0 else dweight.add_(product)
            elif first == 0:
                torch.mm(part.t(), x[chunk], out=dweight)
            else:
                dweight.addmm_(part.t(), x[chunk])
    if gradient and N == 0:
        dweight.zero_()
    if gradient and half:
        dx, dweight = dx.div_(count * HALF_SCALE), dweight.div_(count * HALF_SCALE)
    elif gradient and x.device.type != "cpu":
        dx, dweight = dx / count, dweight / count
    return losses.sum() / count, dx, dweight.to(_saved(x))


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor, Tensor]) -> None:
    x, weight, *_ = inputs
    _, dx, dweight = output
    ctx.save_for_backward(dx, dweight, x, weight)


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    dx, dweight, x, weight = ctx.saved_tensors
    # A factor of 1 is seen on the CPU, where it costs nothing to look; not when traced, where there is no number.
    plain = grad.device.type == "cpu" and type(grad) is Tensor and not torch._C._are_functorch_transforms_active()
    if not plain or float(grad) != 1:
        dx, dweight = dx * grad.to(dx.dtype), dweight * grad.to(dweight.dtype)
    return dx.to(x.dtype), dweight.to(weight.dtype), None, None, None
