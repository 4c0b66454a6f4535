"""Other people's kernels, called: FlexAttention, flash-attn, xformers, Liger Kernel (components/other_kernels.py)."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor


def attention(name: str) -> Callable[..., Tensor]:
    """Causal attention of q, k, v (B, H, T, D), with ALiBi where it gets `slopes` (H), by the kernel of that name."""
    return {"flex": _flex, "flash_attn": _flash_attn, "xformers": _xformers}[name]


def gated(kind: str) -> Callable[[Tensor, Tensor], Tensor]:
    """act(gate) · up by Liger Kernel; `kind` is swiglu or geglu (in its tanh form)."""
    if kind == "swiglu":
        from liger_kernel.ops.swiglu import LigerSiLUMulFunction

        return LigerSiLUMulFunction.apply
    from liger_kernel.ops.geglu import LigerGELUMulFunction

    return LigerGELUMulFunction.apply


def _flex(q: Tensor, k: Tensor, v: Tensor, slopes: Tensor | None = None, blocks: Any = None) -> Tensor:
    call = _compiled_flex() if q.is_cuda else _flex_attention()
    return call(q, k, v, score_mod=_alibi(slopes), block_mask=blocks or causal_blocks(q.shape[2], q.device))


def _alibi(slopes: Tensor | None) -> Callable[..., Tensor] | None:
    if slopes is None:
        return None
    return lambda score, b, h, query, key: score + slopes[h] * (key - query)


def _flex_attention() -> Callable[..., Any]:
    from torch.nn.attention.flex_attention import flex_attention

    return flex_attention


@cache
def _compiled_flex() -> Callable[..., Any]:
    return torch.compile(_flex_attention(), dynamic=False)


def causal_blocks(T: int, device: torch.device) -> Any:
    """FlexAttention's causal mask of T tokens. It holds tensors, so a model makes one for each pass and keeps none: one
    made in inference mode could not be used in training."""
    from torch.nn.attention.flex_attention import create_block_mask

    return create_block_mask(lambda b, h, query, key: query >= key, None, None, T, T, device=str(device))


def _flash_attn(q: Tensor, k: Tensor, v: Tensor, slopes: Tensor | None = None) -> Tensor:
    from flash_attn import flash_attn_func

    q, k, v = (x.transpose(1, 2) for x in (q, k, v))  # (B, T, H, D)
    return flash_attn_func(q, k, v, causal=True, alibi_slopes=slopes).transpose(1, 2)


def _xformers(q: Tensor, k: Tensor, v: Tensor, slopes: Tensor | None = None) -> Tensor:
    from xformers.ops import LowerTriangularMask, memory_efficient_attention

    mask: Any = LowerTriangularMask()
    if slopes is not None:  # an additive mask of all scores, as it has no other way
        places = torch.arange(q.shape[2], device=q.device)
        bias = slopes[:, None, None] * (places[None] - places[:, None])
        bias = bias.masked_fill(places[None] > places[:, None], -torch.inf).to(q.dtype)
        mask = bias.expand(q.shape[0], -1, -1, -1).contiguous()
    q, k, v = (x.transpose(1, 2) for x in (q, k, v))
    return memory_efficient_attention(q, k, v, attn_bias=mask).transpose(1, 2)
