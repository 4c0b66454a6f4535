"""Arguments of the operators that make a launcher on CUDA choose, and what is right: the CPU operator in float64.

for name, *arguments in activations(draw):
    compare(name, arguments, call)              # call(name, *arguments) runs it on a device
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from tests.cuda_ext.operators import LIMITS, error

TYPES = [torch.float32, torch.bfloat16, torch.float16]
SLOPES = [torch.tensor([0.5, 0.25, 0.125, 0.0625][:heads]) for heads in range(5)]
Draw = Callable[..., Tensor]
Arguments = Iterator[tuple[Any, ...]]


def draws(dtype: torch.dtype) -> Draw:
    """Normal numbers of this type, the same ones every time."""
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: Any, dtype: torch.dtype = dtype) -> Tensor:
        return torch.randn(*shape, generator=generator).to(dtype)

    return draw


def compare(name: str, arguments: Sequence[Any], call: Callable[..., Sequence[Tensor]]) -> None:
    """Run an operator, which may write some of its `arguments`, and compare with what it gives in float64."""
    exact = [x.double() if _floats(x) and not any(x is s for s in SLOPES) else x for x in arguments]
    want = [*several(getattr(torch.ops.benchsuite, name)(*exact)), *written(name, exact)]
    got = [*call(name, *arguments), *written(name, arguments)]
    dtype = next(x.dtype for x in arguments if _floats(x))
    shapes = [tuple(x.shape) if isinstance(x, Tensor) else x for x in arguments]
    # A tensor kept in float32 (mean, rstd, logarithm of the sum) has float32's limit: rounding it to bfloat16 on the
    # way would be an error of 2e-3. Attention is excepted where it rounds turned queries and keys to the type.
    turned = name.startswith("attention") and _given(name, arguments, "cos") is not None
    for number, (mine, theirs) in enumerate(zip(got, want, strict=True)):
        found, limit = error(mine.cpu(), theirs), LIMITS[mine.dtype]
        if mine.dtype != dtype and turned:
            limit = LIMITS[dtype] / 5
        assert found <= limit, f"{name}{shapes}, tensor {number}: error {found:.2g}"


def several(results: Any) -> tuple[Tensor, ...]:
    return results if isinstance(results, tuple) else () if results is None else (results,)


def written(name: str, arguments: Sequence[Any]) -> list[Tensor]:
    """Those of the arguments that the operator writes."""
    schema = getattr(torch.ops.benchsuite, name).default._schema.arguments
    marked = zip(arguments, schema, strict=True)
    return [x for x, declared in marked if declared.alias_info is not None and declared.alias_info.is_write]


def _given(name: str, arguments: Sequence[Any], argument: str) -> Any:
    """The value of one of an operator's arguments."""
    schema = getattr(torch.ops.benchsuite, name).default._schema.arguments
    return next(x for x, declared in zip(arguments, schema, strict=True) if declared.name == argument)


def _floats(x: Any) -> bool:
    return isinstance(x, Tensor) and x.is_floating_point()


def shifted(draw: Draw, *shape: int) -> Tensor:
    """A contiguous tensor that does not begin at 16 bytes."""
    return draw(torch.Size(shape).numel() + 1)[1:].view(shape)


def angles(draw: Draw, *shape: int) -> tuple[Tensor, Tensor]:
    a = draw(*shape, dtype=torch.float32)
    return a.cos(), a.sin()


def activations(draw: Draw) -> Arguments:
    for kind in ("gelu", "gelu_erf", "relu", "relu2", "silu"):
        yield "act", draw(3, 64), None, kind
        yield "act_backward", draw(3, 40), draw(3, 48)[:, :40], draw(40), kind
    yield "act", draw(3, 2, 37), draw(37), "silu"  # no whole packs
    yield "act", shifted(draw, 2, 40), draw(40), "silu"
    yield "act", draw(2, 40), shifted(draw, 40), "silu"
    yield "act", draw(5, 48)[:, :40], None, "gelu"
    yield "act", draw(2, 40), draw(41)[:40], "relu"
    yield "act", draw(1, 2700), None, "relu"  # several blocks along a row
    yield "act", draw(4, 6)[:, ::2], None, "gelu"  # copied first
    yield "act_out", draw(5, 8), draw(8), "silu", draw(5, 8)
    yield "act_out", draw(5, 8), None, "silu", shifted(draw, 5, 8)
    yield "act_backward", shifted(draw, 3, 16), draw(3, 16), None, "gelu"
    yield "act_backward", draw(3, 16), draw(3, 16), shifted(draw, 16), "gelu"
    for kind in ("swiglu", "geglu", "reglu"):
        yield "glu", draw(3, 64), None, kind
        yield "glu_backward", draw(3, 32), draw(3, 64), draw(64), kind
    yield "glu", draw(70, 16), draw(16), "swiglu"
    yield "glu", draw(2, 74), draw(74), "swiglu"
    yield "glu", draw(3, 80)[:, :64], draw(64), "swiglu"
    yield "glu", shifted(draw, 3, 64), None, "swiglu"
    yield "glu", draw(2, 24), None, "swiglu"  # in 16 bits the second half is not aligned
    yield "glu_out", draw(3, 64), shifted(draw, 64), "geglu", draw(3, 32)
    yield "glu_backward", draw(2, 37), draw(2, 74), draw(74), "swiglu"
    yield "glu_separate", draw(3, 40)[:, :32], draw(3, 48)[:, :32], "swiglu"
    yield "glu_separate", draw(3, 37), shifted(draw, 3, 37), "geglu"
    yield "glu_separate_backward", draw(3, 32), draw(3, 40)[:, :32], draw(3, 48)[:, :32], "swiglu"
    yield "glu_separate_backward", draw(3, 32), draw(3, 32), shifted(draw, 3, 32), "reglu"


def norms(draw: Draw) -> Arguments:
    def statistics(x: Tensor) -> tuple[Tensor, Tensor]:
        x = x.float()
        return x.mean(-1).flatten(), x.var(-1, unbiased=False).add(1e-5).rsqrt().flatten()

    for shape in ((5, 64), (2, 3, 37), (2, 4200), (40, 16)):
        w, b = draw(shape[-1]), draw(shape[-1])
        x = draw(*shape) + 1
        yield "layer_norm", x, w, b, 1e-5
        yield "layer_norm_backward", draw(*shape), x, w, *statistics(x)
    w, b, x = draw(64), draw(64), draw(3, 72)[:, :64]
    yield "layer_norm", x, w, None, 1e-2
    yield "layer_norm_backward", draw(3, 64), x, w, *statistics(x)
    yield "layer_norm_backward", draw(3, 64), x, shifted(draw, 64), *statistics(x)
    yield "layer_norm", shifted(draw, 3, 64), w, b, 1e-5
    yield "layer_norm", draw(3, 64), shifted(draw, 64), b, 1e-5
    yield "layer_norm", draw(3, 64), w, shifted(draw, 64), 1e-5
    row = draw(3, dtype=torch.float32)
    yield "layer_norm_out", draw(3, 64), w, b, 1e-5, shifted(draw, 3, 64), row.clone(), row.clone()
    table, places = draw(9, 64), draw(7, 64)
    tokens, at = torch.tensor([[8, 0, 3], [8, 8, 1]]), torch.tensor([[0, 6, 2], [5, 0, 1]])
    yield "embedding_layer_norm", tokens, table, None, None, w, b, 1e-5
    yield "embedding_layer_norm", tokens, table, at, places, w, b, 1e-5
    yield "embedding_layer_norm", tokens, table, at, shifted(draw, 7, 64), w, b, 1e-5
    mean, rstd = statistics(table[tokens])
    yield "embedding_layer_norm_rows_backward", draw(2, 3, 64), tokens, table, w, mean, rstd


def rotations(draw: Draw) -> Arguments:
    for interleaved in (False, True):
        yield "rotary", draw(2, 3, 5, 32), draw(2, 3, 5, 32), *angles(draw, 1, 5, 16), interleaved, 1.0
        yield (
            "rotary",
            draw(2, 1, 3, 64),
            draw(2, 1, 3, 64),
            *angles(draw, 2, 3, 16),
            interleaved,
            -1.0,
        )  # half is turned
        yield "rotary", draw(1, 2, 3, 6), draw(1, 2, 3, 6), *angles(draw, 1, 3, 3), interleaved, 1.0
        yield "rotary", shifted(draw, 1, 2, 3, 16), draw(1, 2, 3, 16), *angles(draw, 1, 3, 8), interleaved, 1.0
    projection = draw(2, 4, 2, 3, 32)  # (batch, time, q or k, heads, channels)
    q, k = (part.transpose(1, 2) for part in projection.unbind(2))
    yield "rotary", q, k, *angles(draw, 1, 4, 16), False, 1.0
    yield "rotary", q, draw(2, 3, 4, 32), *angles(draw, 1, 4, 16), False, 1.0  # of different strides
    yield "rotary_", draw(1, 2, 3, 16), draw(1, 2, 3, 16), *angles(draw, 1, 3, 4), False, -1.0
    wide = draw(1, 3, 2, 5, 64)  # tasks for more threads than a block has
    yield "rotary", *(part.transpose(1, 2) for part in wide.unbind(2)), *angles(draw, 1, 3, 32), False, 1.0


def softmaxes(draw: Draw) -> Arguments:
    for shape, causal in (((2, 3, 4, 64), True), ((1, 2, 3, 37), True), ((1, 1, 2, 1300), False), ((1, 3, 5, 5), True)):
        heads = shape[1]
        yield "alibi_softmax", draw(*shape), SLOPES[heads], 0.3, causal
        probabilities = draw(*shape).float().softmax(-1)
        hidden = torch.ones(shape[2:], dtype=torch.bool).triu(shape[3] - shape[2] + 1)
        y = probabilities.masked_fill(hidden, 0) if causal else probabilities
        yield "alibi_softmax_backward", draw(*shape), y.to(draw(1).dtype), 0.3, causal
    yield "alibi_softmax", shifted(draw, 1, 2, 3, 64), None, 2.0, True
    yield "alibi_softmax_out", draw(1, 2, 3, 64), SLOPES[2], 0.3, True, shifted(draw, 1, 2, 3, 64)
    yield "alibi_softmax_backward", shifted(draw, 1, 2, 3, 64), draw(1, 2, 3, 64).abs(), 0.3, False


def entropies(draw: Draw) -> Arguments:
    for columns, gradient in ((1, True), (64, True), (1031, True), (1031, False)):
        targets = torch.tensor([0, columns - 1, -100, columns // 2])
        yield "cross_entropy_rows_", draw(4, columns), targets, -100, 0.25, gradient
    yield "cross_entropy_rows_", shifted(draw, 2, 64), torch.tensor([3, 7]), 7, 1.0, True


def attentions(draw: Draw) -> Arguments:
    def both_ways(q: Tensor, k: Tensor, v: Tensor, *more: Any) -> Arguments:
        exact = [x.double() if isinstance(x, Tensor) and x is not more[0] else x for x in more]
        out, lse = torch.ops.benchsuite.attention(q.double(), k.double(), v.double(), *exact)
        yield "attention", q, k, v, *more
        yield "attention_backward", draw(*out.shape), q, k, v, out.to(q.dtype), lse.float(), *more

    def heads(B: int, H: int, T: int, D: int) -> Tensor:
        return draw(B, T, H, D).transpose(1, 2)

    queries, keys = (66, 70) if draw(1).dtype != torch.float32 else (33, 36)  # more than a tile, and few of the next
    yield from both_ways(
        heads(1, 2, queries, 32), heads(1, 2, keys, 32), heads(1, 2, keys, 32), SLOPES[2], None, None, True, 0.2
    )
    yield from both_ways(
        draw(2, 1, 3, 64), draw(2, 1, 3, 64), draw(2, 1, 3, 64), None, *angles(draw, 3, 32), False, 0.1
    )
    yield from both_ways(
        heads(1, 4, 5, 20), heads(1, 2, 9, 20), heads(1, 2, 9, 20), SLOPES[4], *angles(draw, 9, 10), True, 0.2
    )
    yield from both_ways(draw(1, 1, 7, 80), draw(1, 1, 7, 80), shifted(draw, 1, 1, 7, 80), None, None, None, True, 0.1)
    yield from both_ways(draw(1, 1, 3, 128), draw(1, 1, 20, 128), draw(1, 1, 20, 128), SLOPES[1], None, None, True, 0.1)
    qkv = draw(2, 5, 3, 2, 24)
    more = (SLOPES[2], *angles(draw, 5, 12), True, 0.2)
    out, lse = torch.ops.benchsuite.attention_qkv(qkv.double(), more[0], *(x.double() for x in more[1:3]), *more[3:])
    yield "attention_qkv", qkv, *more
    yield "attention_qkv_backward", draw(*out.shape), qkv, out.to(qkv.dtype), lse.float(), *more


FAMILIES: tuple[Callable[[Draw], Arguments], ...] = (
    activations, norms, rotations, softmaxes, entropies, attentions
)  # fmt: skip
