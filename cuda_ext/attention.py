"""Attention by online softmax (arXiv:2205.14135), with ALiBi or rotary positions computed inside.

No T×T tensor exists, forward or backward: kept are the inputs, the result and one number a row.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from benchsuite import cuda_ext
from benchsuite.cuda_ext.autograd import differentiable, fake, fits, no_gradient, product
from benchsuite.cuda_ext.rotary import rotary_angles

_calls: dict[str, Callable[..., Any]] = {}


def attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    slopes: Tensor | None = None,
    causal: bool = True,
    rotary_base: float | None = None,
    scale: float | None = None,
    angles: tuple[Tensor, Tensor] | None = None,
) -> Tensor:
    """softmax(scale · q·k + slope · (key place − query place)) · v, for q (B, H, Tq, D), k and v (B, H, Tk, D).

    k and v may have fewer heads, of which H is a multiple: neighbouring heads of q share them (arXiv:2305.13245). The
    queries are the last Tq of Tk places, and a causal one sees its own and earlier places. slopes: (H) float32,
    ALiBi's (arXiv:2108.12409). rotary_base: turns q and k by their places first (arXiv:2104.09864, halves against
    each other); `angles`, the cosines and sines of `rotary_angles` (Tk, D / 2), do so where many layers share them.
    scale: 1/√D by default. Any strides with a contiguous last dimension; float32, bfloat16, float16, and float64 on the
    CPU; arithmetic in float32; under autocast q, k and v in its type, as torch's. The result (B, H, Tq, D) lies in
    memory as (B, Tq, H, D). It and its gradients have the same bits for any number of threads. Raises RuntimeError for
    what does not fit.
    """
    cuda_ext.load()
    if q.dim() != 4 or k.dim() != 4:
        shapes = f"{tuple(q.shape)} and {tuple(k.shape)}"
        raise RuntimeError(f"attention: q, k and v are (batch, heads, time, channels), not {shapes}")
    cos, sin = _angles(k.shape[2], q.shape[3], rotary_base, angles, q)
    scale = 1 / math.sqrt(q.shape[3] or 1) if scale is None else scale
    return _calls["attention"](q, k, v, slopes, cos, sin, causal, scale).transpose(1, 2)


def attention_qkv(
    qkv: Tensor,
    slopes: Tensor | None = None,
    causal: bool = True,
    rotary_base: float | None = None,
    scale: float | None = None,
    angles: tuple[Tensor, Tensor] | None = None,
) -> Tensor:
    """The same for the packed projection (B, T, 3, H, D), q first; (B, T, H · D). Its gradient is packed, too."""
    cuda_ext.load()
    if qkv.dim() != 5:
        raise RuntimeError(f"attention_qkv: qkv is (batch, time, 3, heads, channels), not {tuple(qkv.shape)}")
    cos, sin = _angles(qkv.shape[1], qkv.shape[4], rotary_base, angles, qkv)
    scale = 1 / math.sqrt(qkv.shape[4] or 1) if scale is None else scale
    return _calls["attention_qkv"](qkv, slopes, cos, sin, causal, scale).flatten(2)


def _angles(
    T: int, D: int, base: float | None, angles: tuple[Tensor, Tensor] | None, like: Tensor
) -> tuple[Tensor | None, Tensor | None]:
    """Cosine and sine (T, D / 2) of each place and channel, in the type of the arithmetic. They are made again for each
    call: a tensor that is kept from one call to another belongs to the first one's mode, stream and graph."""
    if angles is None:
        if base is None:
            return None, None
        angles = rotary_angles(torch.arange(T, device=like.device), D, base)
    cos, sin = angles
    return (cos.double(), sin.double()) if like.dtype == torch.float64 else (cos, sin)


def register() -> None:
    """Fake implementations and gradients; called once, when the library is loaded."""
    fake("benchsuite::attention", _fake_attention)
    fake(
        "benchsuite::attention_backward",
        lambda grad, q, k, v, *_: (q.new_empty(q.shape), k.new_empty(k.shape), v.new_empty(v.shape)),
    )
    fake(
        "benchsuite::attention_qkv",
        lambda x, *_: _outputs(x, x.shape[0], x.shape[3], x.shape[1], x.shape[4]),
    )
    fake("benchsuite::attention_qkv_backward", lambda grad, qkv, *_: qkv.new_empty(qkv.shape))
    _calls["attention"] = differentiable("attention", _save, _backward, kept=1, autocast=product(3))
    _calls["attention_qkv"] = differentiable(
        "attention_qkv", _save_packed, _backward_packed, kept=1, autocast=product(1)
    )


def _fake_attention(q: Tensor, k: Tensor, v: Tensor, *_: Any) -> tuple[Tensor, Tensor]:
    B, H, Tq, D = q.shape
    shared, Tk = k.shape[1:3]
    fits("attention", q, (B, shared, Tk, D), k=k, v=v)
    if shared != H and (shared == 0 or H % shared):
        raise RuntimeError(f"attention: {H} heads of q are no multiple of {shared} heads of k")
    return _outputs(q, B, H, Tq, D)


def _outputs(like: Tensor, B: int, H: int, T: int, D: int) -> tuple[Tensor, Tensor]:
    dtype = torch.float64 if like.dtype == torch.float64 else torch.float32
    return like.new_empty((B, T, H, D)), like.new_empty((B, H, T), dtype=dtype)


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    q, k, v, slopes, cos, sin, ctx.causal, ctx.scale = inputs
    no_gradient("attention", slopes=slopes, cos=cos, sin=sin)
    out, lse = output
    ctx.save_for_backward(q, k, v, out, lse, slopes, cos, sin)


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    saved = ctx.saved_tensors
    gradients = torch.ops.benchsuite.attention_backward.default(grad, *saved, ctx.causal, ctx.scale)
    return (*gradients, None, None, None, None, None)


def _save_packed(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    qkv, slopes, cos, sin, ctx.causal, ctx.scale = inputs
    no_gradient("attention_qkv", slopes=slopes, cos=cos, sin=sin)
    out, lse = output
    ctx.save_for_backward(qkv, out, lse, slopes, cos, sin)


def _backward_packed(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    d = torch.ops.benchsuite.attention_qkv_backward.default(grad, *ctx.saved_tensors, ctx.causal, ctx.scale)
    return d, None, None, None, None, None
