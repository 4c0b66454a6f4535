"""Attention by online softmax (arXiv:2205.14135), with ALiBi or rotary positions computed inside.

No T×T tensor exists, forward or backward: kept are the inputs, the result and one number a row.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from benchsuite import cuda_ext

_calls: dict[str, Callable[..., Any]] = {}


def attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    slopes: Tensor | None = None,
    causal: bool = True,
    rotary_base: float | None = None,
    scale: float | None = None,
) -> Tensor:
    """softmax(scale · q·k + slope · (key place − query place)) · v, for q (B, H, Tq, D), k and v (B, H, Tk, D).

    The queries are the last Tq of Tk places, and a causal one sees its own and earlier places. slopes: (H) float32,
    ALiBi's (arXiv:2108.12409). rotary_base: turns q and k by their places first (arXiv:2104.09864, halves against
    each other). scale: 1/√D by default. Any strides with a contiguous last dimension; float32, bfloat16, float16, and
    float64 on the CPU; arithmetic in float32. The result (B, H, Tq, D) lies in memory as (B, Tq, H, D). It and its
    gradients have the same bits for any number of threads. Raises RuntimeError for what does not fit.
    """
    cuda_ext.load()
    cos, sin = _angles(k.shape[2], q.shape[3], rotary_base, q)
    scale = 1 / math.sqrt(q.shape[3]) if scale is None else scale
    return _calls["attention"](q, k, v, slopes, cos, sin, causal, scale).transpose(1, 2)


def attention_qkv(
    qkv: Tensor,
    slopes: Tensor | None = None,
    causal: bool = True,
    rotary_base: float | None = None,
    scale: float | None = None,
) -> Tensor:
    """The same for the packed projection (B, T, 3, H, D), q first; (B, T, H · D). Its gradient is packed, too."""
    cuda_ext.load()
    cos, sin = _angles(qkv.shape[1], qkv.shape[4], rotary_base, qkv)
    scale = 1 / math.sqrt(qkv.shape[4]) if scale is None else scale
    return _calls["attention_qkv"](qkv, slopes, cos, sin, causal, scale).flatten(2)


def _angles(T: int, D: int, base: float | None, like: Tensor) -> tuple[Tensor | None, Tensor | None]:
    """Cosine and sine (T, D / 2) of each place and channel, in the type of the arithmetic."""
    if base is None:
        return None, None
    dtype = torch.float64 if like.dtype == torch.float64 else torch.float32
    make = _angle_table.__wrapped__ if torch.compiler.is_compiling() else _angle_table
    return make(T, D, base, dtype, like.device)


@functools.lru_cache(maxsize=8)
def _angle_table(T: int, D: int, base: float, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
    # Frequencies and angles in the type of the arithmetic, as the model's own rotary computes them.
    frequencies = base ** (-torch.arange(0, D, 2, device=device) / D)
    angles = torch.arange(T, device=device).unsqueeze(-1) * frequencies
    return angles.to(dtype).cos(), angles.to(dtype).sin()


def register() -> None:
    """Fake implementations and gradients; called once, when the library is loaded."""
    fake = torch.library.register_fake
    fake("benchsuite::attention", lambda q, k, v, *_: _outputs(q, q.shape[0], q.shape[1], q.shape[2], q.shape[3]))
    fake(
        "benchsuite::attention_backward",
        lambda grad, q, k, v, *_: (q.new_empty(q.shape), k.new_empty(k.shape), v.new_empty(v.shape)),
    )
    fake(
        "benchsuite::attention_qkv",
        lambda x, *_: _outputs(x, x.shape[0], x.shape[3], x.shape[1], x.shape[4]),
    )
    fake("benchsuite::attention_qkv_backward", lambda grad, qkv, *_: qkv.new_empty(qkv.shape))
    from benchsuite.cuda_ext.autograd import differentiable

    _calls["attention"] = differentiable("attention", _save, _backward, kept=1)
    _calls["attention_qkv"] = differentiable("attention_qkv", _save_packed, _backward_packed, kept=1)


def _outputs(like: Tensor, B: int, H: int, T: int, D: int) -> tuple[Tensor, Tensor]:
    dtype = torch.float64 if like.dtype == torch.float64 else torch.float32
    return like.new_empty((B, T, H, D)), like.new_empty((B, H, T), dtype=dtype)


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    q, k, v, slopes, cos, sin, ctx.causal, ctx.scale = inputs
    out, lse = output
    ctx.save_for_backward(q, k, v, out, lse, slopes, cos, sin)


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    saved = ctx.saved_tensors
    gradients = torch.ops.benchsuite.attention_backward.default(grad, *saved, ctx.causal, ctx.scale)
    return (*gradients, None, None, None, None, None)


def _save_packed(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    qkv, slopes, cos, sin, ctx.causal, ctx.scale = inputs
    out, lse = output
    ctx.save_for_backward(qkv, out, lse, slopes, cos, sin)


def _backward_packed(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    d = torch.ops.benchsuite.attention_qkv_backward.default(grad, *ctx.saved_tensors, ctx.causal, ctx.scale)
    return d, None, None, None, None, None
