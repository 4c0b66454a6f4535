"""The operators that `benchsuite selftest` checks and times: ours, the eager formula, and torch's own fused peers.

`bytes_moved` is the least that memory has to carry for forward and backward: each input, result and gradient once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from benchsuite.components.position_modules import Rotary, Shape, alibi_slopes, rotate
from benchsuite.cuda_ext.activation import act, glu
from benchsuite.cuda_ext.attention import attention_qkv
from benchsuite.cuda_ext.cross_entropy import linear_cross_entropy
from benchsuite.cuda_ext.norm import embedding, embedding_layer_norm, layer_norm
from benchsuite.cuda_ext.rotary import rotary, rotary_
from benchsuite.cuda_ext.softmax import alibi_softmax
from benchsuite.model.folded import folded_attention

HEADS, HEAD_DIM = 8, 64


@dataclass(frozen=True)
class Operator:
    """One operator at one shape. `inputs` draws its tensors in a type, on a device; `ours`, `eager` and the `peers`
    take them and return a tensor or several. A peer computes the same, except
    where its name says `plain` (no position at all).

    `preallocated` is our forward pass into memory that exists: (call, bytes moved) from the inputs; None where there is
    no such form. `compiled` says whether torch.compile of the eager formula is a fair rival.
    """

    family: str
    shape: str
    inputs: Callable[[torch.dtype, str], list[Tensor]]
    ours: Callable[..., Any]
    eager: Callable[..., Any]
    bytes_moved: int
    flops: int = 0
    peers: dict[str, Callable[..., Tensor]] = field(default_factory=dict)
    preallocated: Callable[[list[Tensor]], tuple[Callable[[], object], int]] | None = None
    compiled: bool = True

    @property
    def name(self) -> str:
        return f"{self.family}/{self.shape}"


def for_timing(quick: bool = False) -> Iterator[Operator]:
    """The shapes of the speed table; a few of them for `quick`. Sized for two CPU cores."""
    rows = (512,) if quick else (512, 2048, 8192)
    for n in rows:
        for columns in (1376,) if quick else (344, 1376, 5456):
            yield activation("gelu", n, columns)
            yield gated("swiglu", n, columns)
            yield gated("geglu", n, columns)
        for columns in (768,) if quick else (128, 768, 2048):
            yield norm(n, columns)
        for columns, vocab in ((128, 2048),) if quick else ((128, 2048), (768, 8192), (2048, 8192)):
            yield lookup(n, columns, vocab)
            yield lookup_and_norm(n, columns, vocab)
    for T in (256,) if quick else (256, 512, 1024, 2048):
        yield turned(max(1, 4096 // T), T)
        yield attended(max(1, 4096 // T), T)
    for T in (256,) if quick else (256, 512, 1024):
        yield softmax(max(1, 2048 // T), T)
    for n, columns, vocab in ((512, 384, 2048),) if quick else ((512, 384, 2048), (2048, 768, 50257)):
        yield cross_entropy(n, columns, vocab)


def for_checking() -> Iterator[Operator]:
    """Small, odd and uneven shapes of every operator."""
    for n, columns in ((1, 1), (7, 33), (40, 130)):
        for kind in ("gelu", "gelu_erf", "relu", "relu2", "silu"):
            yield activation(kind, n, columns)
        for kind in ("swiglu", "geglu", "reglu"):
            yield gated(kind, n, columns)
        yield norm(n, columns + 1)
        yield lookup(n, columns + 1, 11)
        yield lookup_and_norm(n, columns + 1, 11)
        yield cross_entropy(n, columns, 77)
    for B, T in ((1, 1), (2, 37), (1, 130)):
        yield turned(B, T)
        yield softmax(B, T)
        for scheme in ("none", "alibi", "rotary"):
            yield attended(B, T, scheme)


def _draw(*shapes: tuple[int, ...]) -> Callable[[torch.dtype, str], list[Tensor]]:
    return lambda dtype, device: [torch.randn(shape, dtype=dtype, device=device) for shape in shapes]


def activation(kind: str, rows: int, columns: int) -> Operator:
    formulas: dict[str, Callable[[Tensor], Tensor]] = {
        "gelu": lambda x: F.gelu(x, approximate="tanh"),
        "gelu_erf": F.gelu,
        "relu": F.relu,
        "relu2": lambda x: F.relu(x).square(),
        "silu": F.silu,
    }

    def preallocated(inputs: list[Tensor]) -> tuple[Callable[[], object], int]:
        x, out = inputs[0].detach(), torch.zeros_like(inputs[0])
        return lambda: torch.ops.benchsuite.act_out(x, None, kind, out), 2 * x.nbytes

    return Operator(
        kind,
        f"{rows}x{columns}",
        _draw((rows, columns)),
        lambda x: act(x, kind),
        formulas[kind],
        bytes_moved=4 * 5 * rows * columns,
        preallocated=preallocated,
    )


def gated(kind: str, rows: int, columns: int) -> Operator:
    gates = {"swiglu": F.silu, "geglu": lambda x: F.gelu(x, approximate="tanh"), "reglu": F.relu}

    def eager(x: Tensor) -> Tensor:
        gate, up = x.chunk(2, dim=-1)
        return gates[kind](gate) * up

    def preallocated(inputs: list[Tensor]) -> tuple[Callable[[], object], int]:
        x = inputs[0].detach()
        out = torch.zeros(rows, columns, dtype=x.dtype)
        return lambda: torch.ops.benchsuite.glu_out(x, None, kind, out), x.nbytes + out.nbytes

    return Operator(
        kind,
        f"{rows}x{columns}",
        _draw((rows, 2 * columns)),
        lambda x: glu(x, kind),
        eager,
        bytes_moved=4 * 8 * rows * columns,
        preallocated=preallocated,
    )


def norm(rows: int, columns: int) -> Operator:
    def preallocated(inputs: list[Tensor]) -> tuple[Callable[[], object], int]:
        x, w, b = (t.detach() for t in inputs)
        out, mean, rstd = torch.zeros_like(x), torch.zeros(rows), torch.zeros(rows)
        return lambda: torch.ops.benchsuite.layer_norm_out(x, w, b, 1e-5, out, mean, rstd), 2 * x.nbytes

    return Operator(
        "layer_norm",
        f"{rows}x{columns}",
        _draw((rows, columns), (columns,), (columns,)),
        lambda x, w, b: layer_norm(x, w, b),
        lambda x, w, b: F.layer_norm(x, (columns,), w, b),
        bytes_moved=4 * 5 * rows * columns,
        preallocated=preallocated,
    )


def _tokens(rows: int, vocab: int) -> Tensor:
    length = min(rows, 256)
    return torch.randint(vocab, (rows // length, length), generator=torch.Generator().manual_seed(0))


def lookup(rows: int, columns: int, vocab: int) -> Operator:
    tokens = _tokens(rows, vocab)
    return Operator(
        "embedding",
        f"{rows}x{columns}, vocabulary {vocab}",
        _draw((vocab, columns)),
        lambda table: embedding(tokens.to(table.device), table),
        lambda table: F.embedding(tokens.to(table.device), table),
        bytes_moved=4 * columns * (3 * tokens.numel() + vocab),
    )


def lookup_and_norm(rows: int, columns: int, vocab: int) -> Operator:
    tokens = _tokens(rows, vocab)
    length = tokens.shape[1]
    places = torch.arange(length)

    def eager(table: Tensor, position_table: Tensor, w: Tensor, b: Tensor) -> Tensor:
        words = F.layer_norm(F.embedding(tokens.to(w.device), table), (columns,), w, b)
        return words + F.embedding(places.to(w.device), position_table)

    def ours(table: Tensor, position_table: Tensor, w: Tensor, b: Tensor) -> Tensor:
        at, where = tokens.to(w.device), places.to(w.device)
        return embedding_layer_norm(at, table, w, b, positions=where, position_table=position_table)

    return Operator(
        "embedding_layer_norm",
        f"{rows}x{columns}, vocabulary {vocab}",
        _draw((vocab, columns), (length, columns), (columns,), (columns,)),
        ours,
        eager,
        # The words' rows, read in each pass, the result and its gradient; the positions and their gradient.
        bytes_moved=4 * columns * (4 * tokens.numel() + 2 * length + vocab),
    )


def _angles(T: int, like: Tensor) -> tuple[Tensor, Tensor]:
    positions = torch.arange(T, device=like.device)
    cos, sin = Rotary(Shape(HEADS * HEAD_DIM, HEADS, T)).rotation(positions)
    return cos.to(like.dtype), sin.to(like.dtype)


def turned(B: int, T: int) -> Operator:
    def heads(*qk: Tensor) -> tuple[Tensor, ...]:
        return tuple(x.transpose(1, 2) for x in qk)

    def eager(q: Tensor, k: Tensor) -> tuple[Tensor, ...]:
        angles = _angles(T, q)
        return tuple(rotate(x, *angles) for x in heads(q, k))

    def ours(q: Tensor, k: Tensor) -> tuple[Tensor, ...]:
        q, k = heads(q, k)
        return rotary(q, k, torch.arange(T, device=q.device))

    def preallocated(inputs: list[Tensor]) -> tuple[Callable[[], object], int]:
        q, k = heads(*(x.detach().clone() for x in inputs))
        return lambda: rotary_(q, k, torch.arange(T, device=q.device)), 2 * (q.nbytes + k.nbytes)

    shape = (B, T, HEADS, HEAD_DIM)
    bytes_moved = 4 * 8 * math.prod(shape)
    return Operator(
        "rotary", f"{B}x{T}", _draw(shape, shape), ours, eager, bytes_moved=bytes_moved, preallocated=preallocated
    )


def _bias(T: int, slopes: Tensor) -> Tensor:
    places = torch.arange(T)
    bias = slopes[:, None, None] * (places - places[:, None])
    return bias.masked_fill(torch.ones(T, T, dtype=torch.bool).triu(1), -math.inf)


def softmax(B: int, T: int) -> Operator:
    slopes = alibi_slopes(HEADS)
    bias, scale = _bias(T, slopes), HEAD_DIM**-0.5
    shape = (B, HEADS, T, T)

    def preallocated(inputs: list[Tensor]) -> tuple[Callable[[], object], int]:
        s, out = inputs[0].detach(), torch.zeros_like(inputs[0])
        call = torch.ops.benchsuite.alibi_softmax_out
        return lambda: call(s, slopes, scale, True, out), s.nbytes // 2 + out.nbytes

    return Operator(
        "alibi_softmax",
        f"{B}x{T}",
        _draw(shape),
        lambda s: alibi_softmax(s, slopes.to(s.device), scale),
        lambda s: (s * scale + bias.to(s)).softmax(-1),
        # Half of what is read is behind the mask.
        bytes_moved=4 * B * HEADS * T * T * 4,
        preallocated=preallocated,
    )


def attended(B: int, T: int, scheme: str = "alibi") -> Operator:
    slopes = alibi_slopes(HEADS)
    schemes: dict[str, dict[str, Any]] = {
        "none": {},
        "alibi": {"slopes": slopes},
        "rotary": {"rotary_base": Rotary.BASE},
    }
    inside = schemes[scheme]
    bias = _bias(T, slopes if scheme == "alibi" else torch.zeros(HEADS))

    def heads(qkv: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        if scheme == "rotary":
            angles = _angles(T, qkv)
            q, k = rotate(q, *angles), rotate(k, *angles)
        return q, k, v

    def merged(x: Tensor) -> Tensor:
        return x.transpose(1, 2).flatten(2)

    def eager(qkv: Tensor) -> Tensor:
        q, k, v = heads(qkv)
        return merged((q * HEAD_DIM**-0.5 @ k.transpose(-1, -2) + bias.to(qkv)).softmax(-1) @ v)

    def masked(qkv: Tensor) -> Tensor:
        return merged(F.scaled_dot_product_attention(*heads(qkv), attn_mask=bias.to(qkv).expand(B, -1, -1, -1)))

    def ours(qkv: Tensor) -> Tensor:
        here: dict[str, Any] = {k: v.to(qkv.device) if isinstance(v, Tensor) else v for k, v in inside.items()}
        return attention_qkv(qkv, **here)

    peers: dict[str, Callable[..., Tensor]] = {"sdpa and mask": masked}
    if scheme == "alibi":
        peers["folded"] = lambda qkv: merged(folded_attention(*heads(qkv), slopes.to(qkv.device)))
    peers["sdpa plain"] = lambda qkv: merged(F.scaled_dot_product_attention(*heads(qkv), is_causal=True))
    elements = B * T * HEADS * HEAD_DIM
    return Operator(
        "attention" if scheme == "none" else f"attention, {scheme}",
        f"{B}x{T}",
        _draw((B, T, 3, HEADS, HEAD_DIM)),
        ours,
        eager,
        bytes_moved=4 * 12 * elements,
        flops=7 * 2 * B * HEADS * T * (T + 1) // 2 * HEAD_DIM,  # 2 products forward, 5 backward, half of each masked
        peers=peers,
        compiled=False,
    )


def cross_entropy(rows: int, columns: int, vocab: int) -> Operator:
    generator = torch.Generator().manual_seed(0)
    targets = torch.randint(vocab, (rows,), generator=generator)
    return Operator(
        "linear_cross_entropy",
        f"{rows}x{columns}, vocabulary {vocab}",
        lambda dtype, device: [
            torch.randn(rows, columns, dtype=dtype, device=device),
            torch.randn(vocab, columns, dtype=dtype, device=device) * columns**-0.5,
        ],
        lambda x, w: linear_cross_entropy(x, w, targets.to(x.device)),
        lambda x, w: F.cross_entropy((x @ w.t()).to(torch.promote_types(x.dtype, torch.float32)), targets.to(x.device)),
        bytes_moved=4 * 3 * columns * (rows + vocab),
        flops=3 * 2 * rows * columns * vocab,
        compiled=False,
    )
