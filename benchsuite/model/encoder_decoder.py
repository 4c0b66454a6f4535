"""The encoder-decoder (T5, arXiv:1910.10683), put together from the decoder's blocks, and `build` for any architecture.

The given tokens, the prefix, pass through the encoder, where all see all; the others, and the last given one, through
the decoder, whose blocks also look at the encoder's output. So the decoder predicts at the same places of a sequence as
a decoder alone does, from the last given token on, and needs no token to begin with. Both halves keep the places that
tokens have in the sequence; between the halves there are no positions, as in T5.
"""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor, nn

from benchsuite.model.gpt import (
    GPT,
    Block,
    LayerNorm,
    attend_eager,
    attend_sdpa,
    position_inputs,
    position_scheme,
)
from benchsuite.model.spec import ModelSpec


def build(spec: ModelSpec, implementation: str = "sdpa") -> GPT:
    """The model of `spec`, of whichever architecture."""
    return (EncoderDecoder if spec.architecture == "encdec" else GPT)(spec, implementation)


class CrossAttention(nn.Module):
    """Attention of the stream x (B, T, C) to `memory` (B, P, C), of which `seen` (B, 1, 1, P) is 0 for what is there
    and -inf for padding; (B, T, C)."""

    def __init__(self, spec: ModelSpec, implementation: str) -> None:
        super().__init__()
        self.heads = spec.heads
        self.q = nn.Linear(spec.width, spec.width)
        self.kv = nn.Linear(spec.width, 2 * spec.width)
        self.out = nn.Linear(spec.width, spec.width)
        self.attend = attend_eager if implementation == "eager" else attend_sdpa

    def forward(self, x: Tensor, memory: Tensor, seen: Tensor) -> Tensor:
        B, T, C = x.shape
        q = self.q(x).view(B, T, self.heads, C // self.heads).transpose(1, 2)
        k, v = self.kv(memory).view(B, -1, 2, self.heads, C // self.heads).permute(2, 0, 3, 1, 4).unbind(0)
        return self.out(self.attend(q, k, v, seen).transpose(1, 2).reshape(B, T, C))


class CrossBlock(Block):
    """A block of the decoder: between its halves it looks at the encoder's output."""

    def __init__(self, spec: ModelSpec, implementation: str) -> None:
        super().__init__(spec, implementation)
        self.cross_norm = LayerNorm(spec, implementation)
        self.cross_attention = CrossAttention(spec, implementation)

    def between(self, x: Tensor, *more: Tensor) -> Tensor:
        memory, seen = more
        return x + self.cross_attention(self.cross_norm(x), memory, seen)

    def into_the_stream(self) -> list[nn.Linear]:
        return [*super().into_the_stream(), self.cross_attention.out]


class EncoderDecoder(GPT):
    """`layers` blocks in each half, one table of token embeddings, position schemes and final norms of their own."""

    ARCHITECTURES: ClassVar[tuple[str, ...]] = ("encdec",)

    def __init__(self, spec: ModelSpec, implementation: str = "sdpa") -> None:
        super().__init__(spec, implementation)
        self.blocks = nn.ModuleList(CrossBlock(spec, implementation) for _ in range(spec.layers))
        self.encoder_position = position_scheme(spec, bidirectional=True)
        self.encoder_blocks = nn.ModuleList(Block(spec, implementation) for _ in range(spec.layers))
        self.encoder_norm = LayerNorm(spec, implementation)
        for part in (self.blocks, self.encoder_position, self.encoder_blocks):
            part.apply(self._initialise)

    def hidden(
        self,
        tokens: Tensor,
        positions: Tensor | None = None,
        mask: Tensor | None = None,
        at: Tensor | None = None,
        prefix: Tensor | None = None,
    ) -> Tensor:
        """As `GPT.hidden`; without a `prefix` the first token alone is given. A mask and positions are those of the
        decoder. States before the last given token are zero: the decoder begins there.
        """
        B, T = tokens.shape
        if prefix is None:
            prefix = torch.ones(B, dtype=torch.int64, device=tokens.device)
        memory, seen = self.encode(tokens[:, : int(prefix.max())], prefix)
        first = prefix - 1
        length = T - int(first.min())
        # Sequences begin in the decoder at their own places; what a shorter one lacks is padding at its end.
        places = first[:, None] + torch.arange(length, device=tokens.device)
        inside = places < T
        places = places.clamp(max=T - 1)
        read = tokens.gather(1, places)
        where = places if positions is None else positions.expand(B, T).gather(1, places)
        mine = torch.ones(length, length, dtype=torch.bool, device=tokens.device).tril()
        if mask is not None:
            rows = places[:, None, :, None].expand(B, 1, length, T)
            mine = mask.expand(B, 1, T, T).gather(2, rows).gather(3, places[:, None, None].expand(B, 1, length, length))
            mine = mine & inside[:, None, None] | torch.eye(length, dtype=torch.bool, device=tokens.device)
        if at is None:
            found = self.decode(read, where, mine, None, memory, seen)
            whole = found.new_zeros(B, T, found.shape[-1])
            rows = torch.arange(B, device=tokens.device)[:, None].expand_as(places)
            return whole.index_put((rows[inside], places[inside]), found[inside])
        row = at // T
        return self.decode(read, where, mine, row * length + at % T - first[row], memory, seen)

    def encode(self, tokens: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Return what the encoder makes of tokens (B, P), of which `lengths` (B) are there, (B, P, C); and 0 for these,
        -inf for the padding, (B, 1, 1, P)."""
        positions = torch.arange(tokens.shape[1], device=tokens.device)
        x = self.embed(tokens, positions, self.encoder_position)
        there = (positions < lengths[:, None])[:, None, None, :]
        rotation, bias = position_inputs(self.encoder_position, positions, x, there)
        for block in self.encoder_blocks:
            x = self.run(block, x, rotation, bias)
        seen = torch.zeros(there.shape, dtype=x.dtype, device=x.device).masked_fill_(~there, -math.inf)
        return self.encoder_norm(x), seen
