"""Rotary positions (arXiv:2104.09864) of queries and keys in one pass, in place or not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from benchsuite import cuda_ext

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
    """The same in place, without a gradient: for caches and evaluation."""
    cuda_ext.load()
    cos, sin = _angles(q, positions, base, rotary_dim)
    torch.ops.benchsuite.rotary_(q, k, cos, sin, interleaved, 1.0)


def _angles(q: Tensor, positions: Tensor, base: float, rotary_dim: int | None) -> tuple[Tensor, Tensor]:
    """(1 or B, T, rotary_dim / 2) each; frequencies and angles in float32, as the model's own rotary has them."""
    R = q.shape[-1] if rotary_dim is None else rotary_dim
    if R % 2:
        raise RuntimeError(f"rotary: {R} channels have no pairs")
    dtype = torch.float64 if q.dtype == torch.float64 else torch.float32
    frequencies = base ** (-torch.arange(0, R, 2, device=q.device) / R)
    angles = (positions.reshape(-1, positions.shape[-1], 1) * frequencies).to(dtype)
    return angles.cos(), angles.sin()


def register() -> None:
    """Fake implementations and gradients; called once, when the library is loaded."""

    def outputs(q: Tensor, *_: Any) -> tuple[Tensor, Tensor]:
        B, H, T, D = q.shape
        return q.new_empty((B, T, H, D)), q.new_empty((B, T, H, D))

    torch.library.register_fake("benchsuite::rotary", outputs)
    torch.library.register_fake("benchsuite::rotary_", lambda q, k, cos, sin, interleaved, sign: None)
    from benchsuite.cuda_ext.autograd import differentiable

    _calls["rotary"] = differentiable("rotary", _save, _backward)


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    _, _, cos, sin, ctx.interleaved, ctx.sign = inputs
    ctx.save_for_backward(cos, sin)


def _backward(ctx: Any, dq: Tensor, dk: Tensor) -> tuple[Tensor | None, ...]:
    back = torch.ops.benchsuite.rotary.default(
        dq.transpose(1, 2), dk.transpose(1, 2), *ctx.saved_tensors, ctx.interleaved, -ctx.sign
    )
    return back[0].transpose(1, 2), back[1].transpose(1, 2), None, None, None, None
