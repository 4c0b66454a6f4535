"""Our operators and their rivals as subjects: the cases of the kinds `operator` (timed) and `check` (checked only).

`benchsuite.components.operators` has their names. Every operator is a function of tensors; its formula, `eager`, gives
the reference when it is computed in float64.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from benchsuite import cuda_ext
from benchsuite.components import other_kernels
from benchsuite.components.operators import HEAD_DIM, shape_name
from benchsuite.components.position_modules import Rotary, Shape, alibi_slopes, rotate
from benchsuite.cuda_ext.activation import act, glu
from benchsuite.cuda_ext.attention import attention_qkv
from benchsuite.cuda_ext.cross_entropy import linear_cross_entropy
from benchsuite.cuda_ext.norm import embedding, embedding_layer_norm, layer_norm
from benchsuite.cuda_ext.rotary import rotary
from benchsuite.cuda_ext.softmax import alibi_softmax
from benchsuite.measure import accuracy, references, speed
from benchsuite.measure.subjects import DTYPES, Subject, normal
from benchsuite.model import peer_kernels
from benchsuite.model.folded import folded_attention
from benchsuite.records.case import Incorrect
from benchsuite.records.params import CheckParams, OperatorParams
from benchsuite.records.results import SpeedResult

PART = 2**20  # numbers of an input that the reference takes at a time, so that they stay in a cache
Sizes = dict[str, int]
Call = Callable[..., Any]


@dataclass(frozen=True)
class Operator:
    """One operator at one shape.

    `inputs` are its tensors; those of floating point have gradients. `ours`, the formula `eager` and the `rivals` take
    them and return a tensor or several. `numbers` is the least that memory has to carry forward and backward: each
    input, result and gradient once; `flops` are those of its matrix products. The first dimension of the inputs at the
    indices `rows` is one of independent rows, which the result has too, or is their mean.
    """

    inputs: Sequence[Tensor]
    ours: Call
    eager: Call
    numbers: tuple[int, int]
    flops: tuple[int, int] = (0, 0)
    rivals: dict[str, Call] = field(default_factory=dict)
    rows: tuple[int, ...] = ()


def measure(params: dict[str, Any], *, first: bool = True, turns: dict[str, Any] | None = None) -> dict[str, Any]:
    """Measure an operator case as `benchsuite.measure.speed.timed` does."""
    case = OperatorParams.read(params)
    return speed.timed(case, functools.partial(subject, case), first=first, turns=turns)


def check(params: dict[str, Any], *, first: bool = True, turns: dict[str, Any] | None = None) -> dict[str, Any]:
    """Check our operator at all `shapes` of a check case; the result holds the largest errors. Takes no turns. Raises
    Incorrect for the first shape that is wrong."""
    torch.set_num_threads(1)
    case = CheckParams.read(params)
    errors: list[accuracy.Errors] = []
    for shape in case.shapes:
        one = replace(case, shape=shape)
        try:
            errors.append(speed.once(one, functools.partial(subject, one))["error"])
        except Incorrect as error:
            raise Incorrect(f"{shape_name(case.variant, shape.json())}: {error.reason}", error.result) from error
    known = {way: [x for one in errors if (x := one[way]) is not None] for way in errors[0]}
    return SpeedResult(error={way: max(each, default=None) for way, each in known.items()}).model_dump()


def subject(params: OperatorParams) -> Subject:
    """Return what a case of an operator times: forward, or forward and backward, with fixed random inputs."""
    torch.manual_seed(0)
    cuda_ext.load()
    backward = params.direction == "fwd+bwd"
    operator = FACTORIES[params.variant](params.shape.json(), DTYPES[params.dtype], params.device)
    inputs = [x.requires_grad_(backward and x.is_floating_point()) for x in operator.inputs]
    run = _call(operator, params.implementation)
    leaves = [x for x in inputs if x.requires_grad]
    grads: list[Tensor] = []  # of the results, drawn with the first call
    last: list[Tensor] = []

    def clear() -> None:
        last.clear()
        for leaf in leaves:
            leaf.grad = None

    def call() -> None:
        clear()
        if not backward:
            with torch.no_grad():
                last.extend(_several(run(*inputs)))
            return
        results = _several(run(*inputs))
        if not grads:
            grads.extend(normal(*y.shape).to(y) for y in results)
        torch.autograd.backward(results, grads)
        last.extend(y.detach() for y in results)

    def reference() -> list[Tensor]:
        compute = functools.partial(_exact, operator, inputs, grads if backward else None, params.dtype)
        # What arithmetic takes long for is kept; what memory takes long for would take as long to read.
        return references.kept(params, inputs, compute, subject) if any(operator.flops) else compute()

    size = inputs[0].element_size()
    return Subject(
        call=call,
        results=lambda: [*last, *(leaf.grad for leaf in leaves if leaf.grad is not None)],
        reference=reference,
        held=inputs,
        clear=clear,
        tokens=None,
        flops=sum(operator.flops) if backward else operator.flops[0],
        bytes_moved=size * (sum(operator.numbers) if backward else operator.numbers[0]),
    )


def _call(operator: Operator, implementation: str) -> Call:
    if implementation == "compile":
        return torch.compile(operator.eager, dynamic=False)
    return {"fused": operator.ours, "eager": operator.eager, **operator.rivals}[implementation]


def _several(result: Any) -> list[Tensor]:
    return list(result) if isinstance(result, tuple) else [result]


def _exact(operator: Operator, inputs: Sequence[Tensor], grads: list[Tensor] | None, dtype: str) -> list[Tensor]:
    """The formula in float64, results and then gradients, computed in parts of independent rows so that little memory
    is needed; kept in float32 unless the tensors are of float64 themselves."""
    kept = torch.float64 if dtype == "float64" else torch.float32
    exact = [x.detach().double() if x.is_floating_point() else x for x in inputs]
    rows = inputs[0].shape[0] if operator.rows else 1
    step = max(1, min(rows, PART * rows // max(1, inputs[0].numel()))) if operator.rows else 1
    shared = [x.requires_grad_(grads is not None and x.is_floating_point()) for x in exact]
    results: list[list[Tensor]] = []
    gradients: dict[int, list[Tensor]] = {index: [] for index in operator.rows}
    for start in range(0, rows, step):
        part = list(shared)
        for index in operator.rows:
            x = shared[index].detach()[start : start + step]
            part[index] = x.requires_grad_(grads is not None and x.is_floating_point())
        found = _several(operator.eager(*part))
        mean = found[0].dim() == 0
        if mean:
            found = [y * (min(step, rows - start) / rows) for y in found]
        if grads is not None:
            of_part = grads if mean or not operator.rows else [g[start : start + step] for g in grads]
            torch.autograd.backward(found, [g.double() for g in of_part])
        results.append([y.detach().to(kept) for y in found])
        for index in operator.rows:
            if (grad := part[index].grad) is not None:
                gradients[index].append(grad.to(kept))
    whole = [sum(ys) if ys[0].dim() == 0 else torch.cat(ys) for ys in zip(*results, strict=True)]
    for index, x in enumerate(shared):
        if gradients.get(index):
            whole.append(torch.cat(gradients[index]))
        elif x.grad is not None:
            whole.append(x.grad.to(kept))
    return whole


def _draw(dtype: torch.dtype, device: str, *shapes: tuple[int, ...]) -> list[Tensor]:
    return [normal(*shape).to(device, dtype) for shape in shapes]


_ACTIVATIONS: dict[str, Call] = {
    "gelu": lambda x: F.gelu(x, approximate="tanh"),
    "gelu_erf": F.gelu,
    "relu": F.relu,
    "relu2": lambda x: F.relu(x).square(),
    "silu": F.silu,
}
_GATES: dict[str, Call] = {"swiglu": F.silu, "geglu": _ACTIVATIONS["gelu"], "reglu": F.relu}


def _activation(kind: str, sizes: Sizes, dtype: torch.dtype, device: str) -> Operator:
    rows, columns = sizes["batch"] * sizes["seq"], sizes["width"]
    n = rows * columns
    inputs = _draw(dtype, device, (rows, columns))
    return Operator(inputs, lambda x: act(x, kind), _ACTIVATIONS[kind], (2 * n, 3 * n), rows=(0,))


def _gated(kind: str, sizes: Sizes, dtype: torch.dtype, device: str) -> Operator:
    rows, columns = sizes["batch"] * sizes["seq"], sizes["width"]

    def eager(x: Tensor) -> Tensor:
        gate, up = x.chunk(2, dim=-1)
        return _GATES[kind](gate) * up

    def liger(x: Tensor) -> Tensor:
        return peer_kernels.gated(kind)(*(half.contiguous() for half in x.chunk(2, dim=-1)))

    n = rows * columns
    inputs = _draw(dtype, device, (rows, 2 * columns))
    return Operator(inputs, lambda x: glu(x, kind), eager, (3 * n, 5 * n), rivals={"liger": liger}, rows=(0,))


def _norm(sizes: Sizes, dtype: torch.dtype, device: str) -> Operator:
    rows, columns = sizes["batch"] * sizes["seq"], sizes["width"]
    n = rows * columns
    return Operator(
        _draw(dtype, device, (rows, columns), (columns,), (columns,)),
        lambda x, w, b: layer_norm(x, w, b),
        lambda x, w, b: F.layer_norm(x, (columns,), w, b),
        (2 * n, 3 * n),
        rows=(0,),
    )


def _tokens(sizes: Sizes, device: str) -> Tensor:
    return torch.randint(sizes["vocab"], (sizes["batch"], sizes["seq"])).to(device)


def _embedding(sizes: Sizes, dtype: torch.dtype, device: str) -> Operator:
    tokens, columns, vocab = _tokens(sizes, device), sizes["width"], sizes["vocab"]
    n = columns * tokens.numel()
    return Operator(
        _draw(dtype, device, (vocab, columns)),
        lambda table: embedding(tokens, table),
        lambda table: F.embedding(tokens, table),
        (2 * n, n + columns * vocab),
    )


def _embedding_norm(sizes: Sizes, dtype: torch.dtype, device: str) -> Operator:
    tokens, columns, vocab = _tokens(sizes, device), sizes["width"], sizes["vocab"]
    positions = torch.arange(sizes["seq"], device=device)
    n = columns * tokens.numel()

    def eager(table: Tensor, position_table: Tensor, w: Tensor, b: Tensor) -> Tensor:
        return F.layer_norm(F.embedding(tokens, table), (columns,), w, b) + F.embedding(positions, position_table)

    def ours(table: Tensor, position_table: Tensor, w: Tensor, b: Tensor) -> Tensor:
        return embedding_layer_norm(tokens, table, w, b, positions=positions, position_table=position_table)

    inputs = _draw(dtype, device, (vocab, columns), (sizes["seq"], columns), (columns,), (columns,))
    places = columns * sizes["seq"]
    # The words' rows, read in each pass, the result and its gradient; the positions and their gradient.
    return Operator(inputs, ours, eager, (2 * n + places, 4 * n + 2 * places + columns * vocab))


def _angles(T: int, heads: int, like: Tensor) -> tuple[Tensor, Tensor]:
    positions = torch.arange(T, device=like.device)
    cos, sin = Rotary(Shape(heads * HEAD_DIM, heads, T)).rotation(positions)
    return cos.to(like.dtype), sin.to(like.dtype)


def _rotary(sizes: Sizes, dtype: torch.dtype, device: str) -> Operator:
    B, T, H = sizes["batch"], sizes["seq"], sizes["heads"]

    def by_head(*qk: Tensor) -> tuple[Tensor, ...]:
        return tuple(x.transpose(1, 2) for x in qk)

    def eager(q: Tensor, k: Tensor) -> tuple[Tensor, ...]:
        angles = _angles(T, H, q)
        return tuple(rotate(x, *angles) for x in by_head(q, k))

    def ours(q: Tensor, k: Tensor) -> tuple[Tensor, ...]:
        q, k = by_head(q, k)
        return rotary(q, k, torch.arange(T, device=q.device))

    shape = (B, T, H, HEAD_DIM)
    n = math.prod(shape)
    return Operator(_draw(dtype, device, shape, shape), ours, eager, (4 * n, 4 * n), rows=(0, 1))


def _bias(T: int, slopes: Tensor) -> Tensor:
    """ALiBi's bias (H, T, T) with the causal mask."""
    places = torch.arange(T, device=slopes.device)
    bias = slopes[:, None, None] * (places - places[:, None])
    return bias.masked_fill(torch.ones(T, T, dtype=torch.bool, device=slopes.device).triu(1), -math.inf)


def _softmax(sizes: Sizes, dtype: torch.dtype, device: str) -> Operator:
    B, T, H = sizes["batch"], sizes["seq"], sizes["heads"]
    slopes = alibi_slopes(H).to(device)
    bias, scale = _bias(T, slopes), HEAD_DIM**-0.5
    n = B * H * T * T
    return Operator(
        _draw(dtype, device, (B, H, T, T)),
        lambda s: alibi_softmax(s, slopes, scale),
        lambda s: (s * scale + bias.to(s)).softmax(-1),
        (3 * n // 2, 5 * n // 2),  # half of what is read is behind the mask
        rows=(0,),
    )


def _attention(scheme: str, sizes: Sizes, dtype: torch.dtype, device: str) -> Operator:
    B, T, H = sizes["batch"], sizes["seq"], sizes["heads"]
    slopes = alibi_slopes(H).to(device)
    schemes: dict[str, dict[str, Any]] = {"alibi": {"slopes": slopes}, "rotary": {"rotary_base": Rotary.BASE}}
    inside = schemes.get(scheme, {})
    bias = _bias(T, slopes if scheme == "alibi" else torch.zeros_like(slopes))

    def heads(qkv: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        if scheme == "rotary":
            angles = _angles(T, H, qkv)
            q, k = rotate(q, *angles), rotate(k, *angles)
        return q, k, v

    def merged(x: Tensor) -> Tensor:
        return x.transpose(1, 2).flatten(2)

    def eager(qkv: Tensor) -> Tensor:
        q, k, v = heads(qkv)
        return merged((q * HEAD_DIM**-0.5 @ k.transpose(-1, -2) + bias.to(qkv)).softmax(-1) @ v)

    def sdpa(qkv: Tensor) -> Tensor:
        if scheme != "alibi":
            return merged(F.scaled_dot_product_attention(*heads(qkv), is_causal=True))
        mask = bias.to(qkv).expand(qkv.shape[0], -1, -1, -1)
        return merged(F.scaled_dot_product_attention(*heads(qkv), attn_mask=mask))

    def other(name: str) -> Call:
        with_slopes = {"slopes": slopes} if scheme == "alibi" else {}
        return lambda qkv: merged(peer_kernels.attention(name)(*heads(qkv), **with_slopes))

    rivals: dict[str, Call] = {"sdpa": sdpa, **{name: other(name) for name in other_kernels.ATTENTION}}
    rivals["folded"] = lambda qkv: merged(folded_attention(*heads(qkv), slopes))
    n = B * T * H * HEAD_DIM
    product = 2 * B * H * T * (T + 1) // 2 * HEAD_DIM  # half of it is masked
    return Operator(
        _draw(dtype, device, (B, T, 3, H, HEAD_DIM)),
        lambda qkv: attention_qkv(qkv, **inside),
        eager,
        (4 * n, 8 * n),
        (2 * product, 5 * product),
        rivals,
        rows=(0,),
    )


def _cross_entropy(sizes: Sizes, dtype: torch.dtype, device: str) -> Operator:
    rows, columns, vocab = sizes["batch"] * sizes["seq"], sizes["width"], sizes["vocab"]
    x, weight = _draw(dtype, device, (rows, columns), (vocab, columns))
    n, product = columns * (rows + vocab), 2 * rows * columns * vocab

    def eager(x: Tensor, w: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy((x @ w.t()).to(torch.promote_types(x.dtype, torch.float32)), targets)

    return Operator(
        [x, weight * columns**-0.5, torch.randint(vocab, (rows,)).to(device)],
        linear_cross_entropy,
        eager,
        (n, 2 * n),
        (product, 2 * product),
        rows=(0, 2),
    )


FACTORIES: dict[str, Callable[[Sizes, torch.dtype, str], Operator]] = {
    **{kind: functools.partial(_activation, kind) for kind in _ACTIVATIONS},
    **{kind: functools.partial(_gated, kind) for kind in _GATES},
    "layer_norm": _norm,
    "embedding": _embedding,
    "embedding_layer_norm": _embedding_norm,
    "rotary": _rotary,
    "attention": functools.partial(_attention, ""),
    "attention, alibi": functools.partial(_attention, "alibi"),
    "attention, rotary": functools.partial(_attention, "rotary"),
    "alibi_softmax": _softmax,
    "linear_cross_entropy": _cross_entropy,
}
