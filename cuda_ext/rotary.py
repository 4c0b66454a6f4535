"""Rotary positions (arXiv:2104.09864) of queries and keys in one pass, in place or not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from benchsuite import cuda_ext
from benchsuite.cuda_ext.autograd import differentiable, fake, fits, mutating, no_gradient, widest

_calls: dict[str, Callable[..., Any]] = {}


def rotary(
    q: Tensor,
    k: Tensor,
    positions: Tensor,
    *,
    base: float = 10_000.0,
    interleaved: bool = False,
    rotary_dim: int | None = None,
) -> tuple[Tensor, Tensor]:
    """q and k, each (B, H, T, D), turned by their positions, (T) or (B, T) int64. The results lie as (B, T, H, D).

    Channel pair i of the first rotary_dim (default D) turns by position · base^(−2i / rotary_dim): halves against each
    other as in GPT-NeoX, or neighbours (`interleaved`) as in GPT-J. Any strides with a contiguous last dimension;
    float32, bfloat16, float16, and float64 on the CPU; arithmetic in float32. Raises RuntimeError for what does not
    fit.
    """
    cuda_ext.load()
    cos, sin = _angles(q, positions, base, rotary_dim)
    turned = _calls["rotary"](q, k, cos, sin, interleaved, 1.0)
    return turned[0].transpose(1, 2), turned[1].transpose(1, 2)


def rotary_(
    q: Tensor,
    k: Tensor,
    positions: Tensor,
    *,
    base: float = 10_000.0,
    interleaved: bool = False,
    rotary_dim: int | None = None,
) -> None:
    """The same in place, without a gradient: for caches and evaluation. Raises RuntimeError also for tensors that
    require a gradient outside of torch.no_grad(), and for elements of q and k that share memory."""
    cuda_ext.load()
    cos, sin = _angles(q, positions, base, rotary_dim)
    torch.ops.benchsuite.rotary_(q, k, cos, sin, interleaved, 1.0)


def rotary_angles(positions: Tensor, channels: int, base: float) -> tuple[Tensor, Tensor]:
    """Cosine and sine, (..., channels / 2) each, of the angle position · base^(−2i / channels) of pair i, for positions
    (...); in float32 whatever the model's type, since 16 bits do not hold an angle of many turns."""
    pairs = torch.arange(0, channels, 2, dtype=torch.float32, device=positions.device)
    angles = positions.unsqueeze(-1) * base ** (-pairs / channels)
    return angles.cos(), angles.sin()


def _angles(q: Tensor, positions: Tensor, base: float, rotary_dim: int | None) -> tuple[Tensor, Tensor]:
    """(1 or B, T, rotary_dim / 2) each, in the type of the arithmetic."""
    R = q.shape[-1] if rotary_dim is None else rotary_dim
    if R % 2 or positions.dim() not in (1, 2) or positions.dtype != torch.int64:
        raise RuntimeError(
            f"rotary: {R} channels have no pairs"
            if R % 2
            else f"rotary: positions are (T) or (B, T) int64, not {tuple(positions.shape)} {positions.dtype}"
        )
    cos, sin = rotary_angles(positions.reshape(-1, positions.shape[-1]), R, base)
    return (cos.double(), sin.double()) if q.dtype == torch.float64 else (cos, sin)


def register() -> None:
    """Fake implementations and gradients; called once, when the library is loaded."""

    def outputs(q: Tensor, k: Tensor, *_: Any) -> tuple[Tensor, Tensor]:
        B, H, T, D = q.shape
        fits("rotary", q, q.shape, k=k)
        return q.new_empty((B, T, H, D)), q.new_empty((B, T, H, D))

    fake("benchsuite::rotary", outputs)
    fake("benchsuite::rotary_", lambda q, k, cos, sin, interleaved, sign: None)
    _calls["rotary"] = differentiable("rotary", _save, _backward, autocast=widest(2))
    mutating("rotary_")


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    _, _, cos, sin, ctx.interleaved, ctx.sign = inputs
    no_gradient("rotary", cos=cos, sin=sin)
    ctx.save_for_backward(cos, sin)


def _backward(ctx: Any, dq: Tensor, dk: Tensor) -> tuple[Tensor | None, ...]:
    back = torch.ops.benchsuite.rotary.default(
        dq.transpose(1, 2), dk.transpose(1, 2), *ctx.saved_tensors, ctx.interleaved, -ctx.sign
    )
    return back[0].transpose(1, 2), back[1].transpose(1, 2), None, None, None, None
