"""Scale, causal mask, ALiBi and softmax of attention scores in one pass: what Megatron fuses, with ALiBi inside."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from benchsuite import cuda_ext
from benchsuite.cuda_ext.autograd import differentiable, fake, mutating, no_gradient, reduction

_calls: dict[str, Callable[..., Any]] = {}


def alibi_softmax(scores: Tensor, slopes: Tensor | None = None, scale: float = 1.0, causal: bool = True) -> Tensor:
    """softmax(scale · scores + slope · (key place − query place)) over the last dimension; (B, H, Tq, Tk) to itself.

    The queries are the last Tq of Tk places; what a causal one does not see is neither read nor exponentiated, and 0 in
    the result. slopes: (H) float32, ALiBi's (arXiv:2108.12409). float32, bfloat16, float16, and float64 on the CPU;
    arithmetic in float32. The backward pass needs the result alone. Raises RuntimeError for what does not fit.
    """
    cuda_ext.load()
    return _calls["alibi_softmax"](scores, slopes, scale, causal)


def register() -> None:
    """Fake implementations and gradients; called once, when the library is loaded."""
    fake("benchsuite::alibi_softmax", lambda scores, slopes, scale, causal: scores.new_empty(scores.shape))
    fake("benchsuite::alibi_softmax_out", lambda scores, slopes, scale, causal, out: None)
    fake("benchsuite::alibi_softmax_backward", lambda grad, p, scale, causal: p.new_empty(p.shape))
    _calls["alibi_softmax"] = differentiable("alibi_softmax", _save, _backward, autocast=reduction(1))
    mutating("alibi_softmax_out")


def _save(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    _, slopes, ctx.scale, ctx.causal = inputs
    no_gradient("alibi_softmax", slopes=slopes)
    ctx.save_for_backward(output)


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:
    (p,) = ctx.saved_tensors
    return torch.ops.benchsuite.alibi_softmax_backward.default(grad, p, ctx.scale, ctx.causal), None, None, None
