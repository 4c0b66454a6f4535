"""The position schemes as modules: three hooks, each of which does nothing unless a scheme says otherwise."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from benchsuite.cuda_ext.rotary import rotary_angles


@dataclass(frozen=True)
class Shape:
    """The part of a model's shape that a position scheme may depend on; `seq` is the training length in tokens, and
    `bidirectional` says that a token may also look at later ones."""

    width: int
    heads: int
    seq: int
    bidirectional: bool = False

    @property
    def head_dim(self) -> int:
        return self.width // self.heads


class Position(nn.Module):
    """No position. Subclasses override what they need.

    `positions` is an int64 tensor, (T) or (B, T): the place of each token, 0 for the first of its document.
    `max_length` is the longest input in tokens that the scheme can take, None for any.

    What a scheme computes from places is float32 whatever the type of the model, and made where it is used: a buffer
    would be cast with the model, and 16 bits hold neither an angle of many turns nor the distance of far tokens.
    """

    max_length: int | None = None

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape

    def embed(self, x: Tensor, positions: Tensor) -> Tensor:
        """Change the embedding (B, T, width) before the first block."""
        return x

    def rotation(self, positions: Tensor) -> tuple[Tensor, Tensor] | None:
        """The cosine and sine, each (..., T, head_dim), by which queries and keys are turned; None for no turning."""
        return None

    def bias(self, positions: Tensor) -> Tensor | None:
        """Return what is added to the attention scores before the softmax, (..., heads, T, T); None for nothing."""
        return None

    def inside(self, positions: Tensor) -> dict[str, Any] | None:
        """The arguments by which benchsuite's attention kernel computes this scheme inside (`slopes`, `angles`) for the
        positions 0..T-1; None if it cannot. `embed` is applied in any case."""
        plain = type(self).rotation is Position.rotation and type(self).bias is Position.bias
        return {} if plain else None


class Learned(Position):
    """A trained vector for each of the `seq` positions (GPT-3, arXiv:2005.14165). Longer inputs are impossible."""

    def __init__(self, shape: Shape) -> None:
        super().__init__(shape)
        self.table = nn.Embedding(shape.seq, shape.width)
        self.max_length = shape.seq

    def embed(self, x: Tensor, positions: Tensor) -> Tensor:
        return x + self.table(positions)


class Sinusoidal(Position):
    """Sines in even and cosines in odd channels, wavelengths 2π to 20,000π (arXiv:1706.03762, section 3.5).

    They are scaled by 0.02, the scale at which token embeddings start here, where the original scaled the embeddings up
    by √width; unscaled they would drown the tokens.
    """

    SCALE = 0.02

    def embed(self, x: Tensor, positions: Tensor) -> Tensor:
        width = self.shape.width
        channels = torch.arange(0, width, 2, dtype=torch.float32, device=positions.device)
        angles = positions.unsqueeze(-1) * torch.exp(channels * (-math.log(10_000.0) / width))
        table = torch.stack((angles.sin(), angles.cos()), dim=-1).flatten(-2)[..., :width]
        return x + (self.SCALE * table).to(x.dtype)


class Rotary(Position):
    """Rotary embedding on the whole head, halves rotated against each other as in GPT-NeoX (arXiv:2104.09864)."""

    BASE = 10_000.0

    def __init__(self, shape: Shape) -> None:
        super().__init__(shape)
        if shape.head_dim % 2:
            raise ValueError(
                f"rotary positions need an even head size; width {shape.width} / {shape.heads} heads is odd"
            )

    def rotation(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        cos, sin = rotary_angles(positions, self.shape.head_dim, self.BASE)
        return torch.cat((cos, cos), dim=-1), torch.cat((sin, sin), dim=-1)

    def inside(self, positions: Tensor) -> dict[str, Any]:
        return {"angles": rotary_angles(positions, self.shape.head_dim, self.BASE)}


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn x (B, heads, T, head_dim) by the angles of cos and sin, (T, head_dim) or (B, 1, T, head_dim)."""
    left, right = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-right, left), dim=-1) * sin


class ALiBi(Position):
    """Attention to a token d places back loses slope · d, with a slope for each head (arXiv:2108.12409); to one d
    places ahead, where it may look there, as much."""

    def bias(self, positions: Tensor) -> Tensor:
        distance = positions.unsqueeze(-2) - positions.unsqueeze(-1)  # (..., T, T): key place minus query place
        if self.shape.bidirectional:
            distance = -distance.abs()
        return alibi_slopes(self.shape.heads, positions.device)[:, None, None] * distance.unsqueeze(-3)

    def inside(self, positions: Tensor) -> dict[str, Any]:
        return {"slopes": alibi_slopes(self.shape.heads, positions.device)}


def alibi_slopes(heads: int, device: torch.device | None = None) -> Tensor:
    """The slopes 2^(-8i/n), i = 1..n (heads,), float32.

    For a head count that is no power of two: those of the next smaller power, then every other one of the next larger,
    as in the authors' code and in transformers' BLOOM.
    """
    power = 2 ** math.floor(math.log2(heads))
    first = torch.arange(1, power + 1, dtype=torch.float32, device=device) * (-8 / power)
    if heads == power:
        return first.exp2()
    others = torch.arange(1, 2 * (heads - power), 2, dtype=torch.float32, device=device) * (-4 / power)
    return torch.cat((first, others)).exp2()


class T5Relative(Position):
    """A trained number for each head and bucket of distances, added to the scores in all layers (arXiv:1910.10683,
    section 2.1).

    Half of the buckets hold one distance each, the others ever more, in equal steps of their logarithm up to
    `FARTHEST`; all beyond share the last. T5 shares the table between layers as well. Where a token may look ahead,
    half of the buckets are those of the distances ahead, as in T5's encoder.
    """

    BUCKETS, FARTHEST = 32, 128

    def __init__(self, shape: Shape) -> None:
        super().__init__(shape)
        self.table = nn.Embedding(self.BUCKETS, shape.heads)

    def bias(self, positions: Tensor) -> Tensor:
        distance = positions.unsqueeze(-1) - positions.unsqueeze(-2)  # (..., T, T): query place minus key place
        return self.table(self.bucket(distance)).movedim(-1, -3)

    def bucket(self, distance: Tensor) -> Tensor:
        """The bucket of each distance, int64 of the same shape; a token that is ahead counts as distance 0, or has
        buckets of its own."""
        if self.shape.bidirectional:
            half = self.BUCKETS // 2
            return self._one_way(distance.abs(), half) + half * (distance < 0)
        return self._one_way(distance.clamp(min=0), self.BUCKETS)

    def _one_way(self, distance: Tensor, buckets: int) -> Tensor:
        exact = buckets // 2
        share = (distance.clamp(min=1).float() / exact).log() / math.log(self.FARTHEST / exact)
        far = (exact + (share * (buckets - exact)).long()).clamp(max=buckets - 1)
        return torch.where(distance < exact, distance, far)
