"""The model: a GPT-3-style decoder whose activation, position scheme and embedding norm are components.

Reads top to bottom: feed-forward, attention, block, model. Shapes: B sequences of T tokens, width C, H heads of size D.
A prefix decoder is the same model with another mask; an encoder-decoder is put together from the same blocks in
`benchsuite.model.encoder_decoder`, whose `build` makes any of them.

One model, several implementations, which change speed and not results:
`eager` is the formula; `sdpa` has torch's scaled_dot_product_attention; `fused` has benchsuite's kernels for
activation, norms, embedding, attention and loss; `folded` is sdpa with ALiBi as one more dimension of each head;
`flex`, `flash_attn`, `xformers` and `liger` are other people's kernels for attention or gated activations.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from benchsuite import components
from benchsuite.components import other_kernels
from benchsuite.components.position_modules import Learned, Position, Shape, rotate
from benchsuite.cuda_ext.activation import act, glu
from benchsuite.cuda_ext.attention import attention_qkv
from benchsuite.cuda_ext.cross_entropy import linear_cross_entropy
from benchsuite.cuda_ext.linear import linear
from benchsuite.cuda_ext.norm import embedding, embedding_layer_norm, layer_norm
from benchsuite.model import peer_kernels
from benchsuite.model.folded import folded_attention
from benchsuite.model.spec import ModelSpec

IMPLEMENTATIONS = ("eager", "sdpa", "fused", "folded", *other_kernels.ATTENTION, *other_kernels.ACTIVATION)


class LayerNorm(nn.LayerNorm):
    """torch's LayerNorm, by its own code or by benchsuite's kernel."""

    def __init__(self, spec: ModelSpec, implementation: str) -> None:
        super().__init__(spec.width, eps=spec.norm_eps)
        self.fused = implementation == "fused"

    def forward(self, x: Tensor) -> Tensor:
        if self.fused:
            return layer_norm(x, self.weight, self.bias, self.eps)
        return super().forward(x)


class Linear(nn.Linear):
    """torch's Linear, by its own code or by benchsuite's kernel, added onto the stream `onto` where there is one."""

    def __init__(self, inputs: int, outputs: int, implementation: str) -> None:
        super().__init__(inputs, outputs)
        self.fused = implementation == "fused"

    def forward(self, x: Tensor, onto: Tensor | None = None) -> Tensor:
        if self.fused:
            return linear(x, self.weight, self.bias, onto)
        y = super().forward(x)
        return y if onto is None else onto + y


class FeedForward(nn.Module):
    """down(act(up(x))), or down(act(gate(x)) * up(x)) with gate and up packed in one projection; (B, T, C) to
    itself, added onto the stream `onto` where there is one.
    """

    def __init__(self, spec: ModelSpec, implementation: str = "eager") -> None:
        super().__init__()
        activation = components.get("activation", spec.activation)
        self.act = activation.build()
        self.gated = activation.gated
        self.kernel = activation.kernel if implementation == "fused" else None
        self.liger = (
            activation.kernel if implementation == "liger" and implementation in activation.implementations else None
        )
        self.up = Linear(spec.width, (2 if self.gated else 1) * spec.d_ff, implementation)
        self.down = Linear(spec.d_ff, spec.width, implementation)

    def forward(self, x: Tensor, onto: Tensor | None = None) -> Tensor:
        x = self.up(x)
        if self.liger:
            x = peer_kernels.gated(self.liger)(*(half.contiguous() for half in x.chunk(2, dim=-1)))
        elif self.kernel:
            x = glu(x, self.kernel) if self.gated else act(x, self.kernel)
        elif self.gated:
            gate, x = x.chunk(2, dim=-1)
            x = self.act(gate) * x
        else:
            x = self.act(x)
        return self.down(x, onto)


class Attention(nn.Module):
    """Causal self-attention, (B, T, C) to itself; rotation and bias are those of `position_inputs`.

    Added onto the stream `onto` where there is one. `inside`, a position scheme's own `Position.inside`, stands for
    both where the positions are 0..T-1 and the mask is causal: `fused` and `folded` compute the scheme from it.
    Without it they are `sdpa`.
    """

    def __init__(self, spec: ModelSpec, implementation: str) -> None:
        super().__init__()
        self.heads = spec.heads
        self.qkv = Linear(spec.width, 3 * spec.width, implementation)
        self.out = Linear(spec.width, spec.width, implementation)
        self.implementation = implementation
        self.attend = attend_eager if implementation == "eager" else attend_sdpa

    def forward(
        self,
        x: Tensor,
        rotation: tuple[Tensor, Tensor] | None,
        bias: Tensor | None,
        inside: dict[str, Any] | None = None,
        onto: Tensor | None = None,
    ) -> Tensor:
        B, T, C = x.shape
        qkv = self.qkv(x).view(B, T, 3, self.heads, C // self.heads)
        if inside is not None and self.implementation == "fused":
            return self.out(attention_qkv(qkv, **inside), onto)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        if self.implementation in other_kernels.ATTENTION and bias is None:
            if rotation is not None:
                q, k = rotate(q, *rotation), rotate(k, *rotation)
            y = peer_kernels.attention(self.implementation)(q, k, v, **(inside or {}))
            return self.out(y.transpose(1, 2).reshape(B, T, C), onto)
        if inside is not None:
            return self.out(folded_attention(q, k, v, **inside).transpose(1, 2).reshape(B, T, C), onto)
        if rotation is not None:
            q, k = rotate(q, *rotation), rotate(k, *rotation)
        return self.out(self.attend(q, k, v, bias).transpose(1, 2).reshape(B, T, C), onto)


def attend_eager(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None) -> Tensor:
    """softmax(q·k / √D + bias)·v for q, k, v (B, H, T, D). Without a bias the attention is causal."""
    scores = (q * (1 / math.sqrt(q.shape[-1]))) @ k.transpose(-2, -1)
    scores = scores + (causal_bias(q.shape[-2], q) if bias is None else bias)
    return scores.softmax(dim=-1) @ v


def attend_sdpa(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None) -> Tensor:
    """The same by torch's scaled_dot_product_attention, which takes a fused kernel where it has one."""
    if bias is not None and bias.dim() == 3:
        bias = bias.expand(q.shape[0], -1, -1, -1)
    return functional.scaled_dot_product_attention(q, k, v, attn_mask=bias, is_causal=bias is None)


def causal_bias(T: int, like: Tensor) -> Tensor:
    """0 where a token may look (itself and before), -inf elsewhere; (T, T) in the type and place of `like`."""
    return torch.full((T, T), -math.inf, dtype=like.dtype, device=like.device).triu(1)


def position_inputs(
    position: Position, positions: Tensor, x: Tensor, mask: Tensor | None = None
) -> tuple[tuple[Tensor, Tensor] | None, Tensor | None]:
    """The rotation and the bias that every attention layer gets, in the type of the stream x (B, T, C).

    A bias of None stands for plain causal attention; any other holds the causal mask, or `mask` (see GPT.hidden).
    """
    rotation = position.rotation(positions)
    if rotation is not None:  # (B, T, D) needs a place for the heads
        cos, sin = (part.unsqueeze(-3).to(x.dtype) for part in rotation)
        rotation = cos, sin
    bias = position.bias(positions)
    if mask is not None:
        blocked = torch.zeros(mask.shape, dtype=x.dtype, device=x.device).masked_fill_(~mask, -math.inf)
        bias = blocked if bias is None else bias.to(x.dtype) + blocked
    elif bias is not None:
        bias = bias.to(x.dtype) + causal_bias(x.shape[1], x)
    return rotation, bias


def attention_inputs(
    position: Position, implementation: str, positions: Tensor, x: Tensor
) -> tuple[tuple[Tensor, Tensor] | None, Tensor | None, dict[str, Any] | None]:
    """Rotation, bias and `inside` (see Attention) for the positions 0..T-1 under a causal mask: what the attention of
    this implementation computes inside it does not get as rotation or bias."""
    inside = position.inside(positions) if implementation in ("fused", "folded", *other_kernels.ATTENTION) else None
    if implementation != "fused" and "slopes" not in (inside or ()):
        inside = None  # nothing to fold: plain causal attention, and rotation outside of it
    rotation, bias = (None, None) if inside is not None else position_inputs(position, positions, x)
    if implementation == "flex" and bias is None:  # one mask for all layers
        inside = {**(inside or {}), "blocks": peer_kernels.causal_blocks(x.shape[1], x.device)}
    return rotation, bias, inside


class Block(nn.Module):
    """Pre-LN: each half adds to the residual stream what it computes from the normalised stream."""

    def __init__(self, spec: ModelSpec, implementation: str) -> None:
        super().__init__()
        self.attention_norm = LayerNorm(spec, implementation)
        self.attention = Attention(spec, implementation)
        self.middle = nn.Identity()  # the stream between the halves by a name, which learning rules ask for
        self.ffn_norm = LayerNorm(spec, implementation)
        self.ffn = FeedForward(spec, implementation)

    def forward(
        self,
        x: Tensor,
        rotation: tuple[Tensor, Tensor] | None,
        bias: Tensor | None,
        inside: dict[str, Any] | None = None,
        at: Tensor | None = None,
        *more: Tensor,
    ) -> Tensor:
        x = self.between(self.attention(self.attention_norm(x), rotation, bias, inside, x), *more)
        x = self.middle(x)
        if at is not None:  # no token needs another one's feed-forward block
            x = x.flatten(0, 1)[at]
        return self.ffn(self.ffn_norm(x), x)

    def between(self, x: Tensor, *more: Tensor) -> Tensor:
        """Return what a block of another architecture adds between its halves, from `more` that `forward` was given."""
        return x

    def into_the_stream(self) -> list[nn.Linear]:
        """The projections whose results are added to the residual stream."""
        return [self.attention.out, self.ffn.down]


class GPT(nn.Module):
    """The decoder of `spec`, computed by one of IMPLEMENTATIONS; raises ValueError for one that a variant lacks, and
    for an architecture that is no decoder alone.

    Weights start normal with std 1/√width, the projections into the residual stream smaller by √(their number),
    embeddings with 0.02. GPT-3 takes 0.02 throughout, which is 1/√width at its sizes; at width 96 it would be five
    times too small.
    """

    ARCHITECTURES: ClassVar[tuple[str, ...]] = ("causal", "prefix")

    def __init__(self, spec: ModelSpec, implementation: str = "sdpa") -> None:
        super().__init__()
        if spec.architecture not in self.ARCHITECTURES:
            raise ValueError(f"a {type(self).__name__} is no model of architecture {spec.architecture!r}")
        self.spec = spec
        self.implementation = implementation
        self.recompute = False  # whether training keeps of each block its input alone (arXiv:1604.06174)
        self.embedding = nn.Embedding(spec.vocab, spec.width)
        self.position = position_scheme(spec, bidirectional=spec.architecture == "prefix")
        self.embedding_norm = components.get("embedding_norm", spec.embedding_norm).build(spec.width, spec.norm_eps)
        self.blocks = nn.ModuleList(Block(spec, implementation) for _ in range(spec.layers))
        self.final_norm = LayerNorm(spec, implementation)
        self.unembedding = nn.Linear(spec.width, spec.vocab, bias=False)
        if spec.tied:
            self.unembedding.weight = self.embedding.weight
        self.apply(self._initialise)
        check_implementation(spec, implementation)

    def _initialise(self, module: nn.Module) -> None:
        if isinstance(module, nn.Embedding) or module is self.unembedding:
            nn.init.normal_(module.weight, std=0.02)
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=self.spec.width**-0.5)
            nn.init.zeros_(module.bias)
        elif isinstance(module, Block):  # apply() visits children first, so this scales what they drew
            projections = module.into_the_stream()
            for projection in projections:
                projection.weight.data /= math.sqrt(len(projections) * self.spec.layers)

    @property
    def max_length(self) -> int | None:
        """The longest input in tokens, None for any."""
        return self.position.max_length

    def hidden(
        self,
        tokens: Tensor,
        positions: Tensor | None = None,
        mask: Tensor | None = None,
        at: Tensor | None = None,
        prefix: Tensor | None = None,
    ) -> Tensor:
        """The residual stream after the final norm, (B, T, C), for tokens (B, T).

        positions: (T) or (B, T), 0..T-1 if not given. mask: bool, broadcastable to (B, H, T, T), True where a token may
        look; causal if not given. at: indices (N) into the flattened B · T tokens; then the result is theirs alone,
        (N, C). All three exist for evaluation, where the choices of one document share its context.

        prefix: (B), how many tokens of each sequence are given, at least one. In a prefix decoder they see one another,
        unless a mask says what they see; a causal decoder takes no notice.
        """
        if prefix is not None and mask is None and self.spec.architecture == "prefix":
            mask = prefix_mask(prefix, tokens.shape[1])
        return self.decode(tokens, positions, mask, at)

    def decode(
        self, tokens: Tensor, positions: Tensor | None, mask: Tensor | None, at: Tensor | None, *more: Tensor
    ) -> Tensor:
        """The decoder's part of `hidden`; its blocks get `more`."""
        plain = positions is None and mask is None
        if positions is None:
            positions = torch.arange(tokens.shape[1], device=tokens.device)
        x = self.embed(tokens, positions)
        inside = None
        if plain:
            rotation, bias, inside = attention_inputs(self.position, self.implementation, positions, x)
        else:
            rotation, bias = position_inputs(self.position, positions, x, mask)
        *earlier, last = self.blocks
        for block in earlier:
            x = self.run(block, x, rotation, bias, inside, None, *more)
        return self.final_norm(self.run(last, x, rotation, bias, inside, at, *more))

    def run(self, block: nn.Module, *inputs: Any) -> Any:
        """A block's output, of which training keeps the input alone where the model says `recompute`."""
        if self.recompute and torch.is_grad_enabled():
            return checkpoint(block, *inputs, use_reentrant=False)
        return block(*inputs)

    def embed(self, tokens: Tensor, positions: Tensor, position: Position | None = None) -> Tensor:
        """The residual stream before the first block, (B, T, C), by the model's position scheme or another.

        The norm is on the words alone, and positions are added after it, as in Megatron-DeepSpeed's
        VocabParallelEmbedding, which the original study trained with.
        """
        norm, position = self.embedding_norm, position or self.position
        if self.implementation != "fused" or not isinstance(norm, nn.LayerNorm):
            return position.embed(norm(self.lookup(tokens)), positions)
        words = tokens, self.embedding.weight, norm.weight, norm.bias, norm.eps
        if isinstance(position, Learned):
            return embedding_layer_norm(*words, positions=positions, position_table=position.table.weight)
        return position.embed(embedding_layer_norm(*words), positions)

    def lookup(self, tokens: Tensor) -> Tensor:
        """The tokens' embeddings, (B, T, C)."""
        return embedding(tokens, self.embedding.weight) if self.implementation == "fused" else self.embedding(tokens)

    def head(self, hidden: Tensor) -> Tensor:
        """Logits (..., vocab) in float32 of hidden states (..., C)."""
        return self.unembedding(hidden).float()

    def forward(self, tokens: Tensor, positions: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        """Logits (B, T, vocab) in float32 for tokens (B, T)."""
        return self.head(self.hidden(tokens, positions, mask))

    def loss(self, tokens: Tensor, targets: Tensor, prefix: Tensor | None = None) -> Tensor:
        """Mean cross-entropy in nats of targets (B, T) given tokens (B, T); a target of -100 does not count.

        With a `prefix` (B) only what counts is computed to its end, and no target before the last token of the prefix
        may count.
        """
        if prefix is not None:
            at = (targets.flatten() != -100).nonzero().squeeze(1)
            hidden, wanted = self.hidden(tokens, at=at, prefix=prefix), targets.flatten()[at]
            if self.implementation == "fused":
                return linear_cross_entropy(hidden, self.unembedding.weight, wanted)
            return functional.cross_entropy(self.head(hidden), wanted)
        if self.implementation == "fused":
            return linear_cross_entropy(self.hidden(tokens).flatten(0, 1), self.unembedding.weight, targets.flatten())
        return functional.cross_entropy(self(tokens).flatten(0, 1), targets.flatten())


def position_scheme(spec: ModelSpec, *, bidirectional: bool) -> Position:
    """The position scheme of a stack of blocks of `spec`."""
    shape = Shape(spec.width, spec.heads, spec.seq, bidirectional)
    built: Position = components.get("position", spec.position).build(shape)
    return built


def prefix_mask(prefix: Tensor, T: int) -> Tensor:
    """True where a token may look: itself, what came before, and all of the prefix; (B, 1, T, T) for prefix (B)."""
    places = torch.arange(T, device=prefix.device)
    given = places < prefix[:, None]
    return (places <= places[:, None]) | given[:, None, None, :]


def check_implementation(spec: ModelSpec, implementation: str) -> None:
    """Raise ValueError where a part of `spec` cannot be computed in this way."""
    if implementation not in IMPLEMENTATIONS:
        raise ValueError(f"unknown implementation {implementation!r}; choose from {', '.join(IMPLEMENTATIONS)}")
    for component in components.COMPONENTS if implementation == "fused" else ():
        variant = components.get(component, getattr(spec, component))
        if implementation not in variant.implementations:
            raise ValueError(f"{component} {variant.name} has no implementation {implementation!r}")
