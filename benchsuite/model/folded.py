"""ALiBi without a bias tensor and without a kernel of one's own: as one more dimension of each head.

A softmax does not see what is constant along its row, so slope · (key place − query place) may be replaced by
slope · key place: a product of one channel, the slope in q and the place in k. With a zero in v,
scaled_dot_product_attention's plain causal attention then computes ALiBi, fused where torch has it fused.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

DIGIT = 256  # every integer up to it is exact in bfloat16 (8 bits of mantissa)


def folded_attention(q: Tensor, k: Tensor, v: Tensor, slopes: Tensor) -> Tensor:
    """softmax(q·k / √D + slope · (key place − query place)) · v, causal; q, k, v (B, H, T, D), slopes (H).

    Places are counted from the middle of the sequence, so that large ones keep their precision; in 16-bit types they
    are two digits in two channels.
    """
    H, T, D = q.shape[1:]
    places = torch.arange(T, device=q.device) - T // 2
    # q is multiplied by 1/√D inside, which the slopes must survive.
    weight = (slopes * math.sqrt(D)).to(q.dtype).view(1, H, 1)
    if q.dtype in (torch.float32, torch.float64):
        in_k, in_q = places[None].to(q.dtype), weight
    else:
        high = torch.div(places, DIGIT, rounding_mode="floor")
        in_k = torch.stack((high, places - high * DIGIT)).to(q.dtype)
        in_q = torch.cat((weight * DIGIT, weight))
    extra = in_k.shape[0]
    # A fused kernel on CUDA wants a multiple of 8 channels.
    width = -(-(D + extra) // 8) * 8 if q.is_cuda else D + extra
    q, k, v = (functional.pad(x, (0, width - D)) for x in (q, k, v))
    q[..., D : D + extra] = in_q.permute(1, 2, 0)
    k[..., D : D + extra] = in_k.t()
    return functional.scaled_dot_product_attention(q, k, v, is_causal=True, scale=1 / math.sqrt(D))[..., :D]
