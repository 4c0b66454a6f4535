"""LayerNorm, and LayerNorm of the token embedding, with learned positions added after it, in one pass over memory; and
the embedding without it.

The backward pass recomputes the normalised values from the input, or from the table, so that neither is kept twice.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from benchsuite import cuda_ext
from benchsuite.cuda_ext.autograd import differentiable, fake, fits, mutating, reduction

_calls: dict[str, Callable[..., Any]] = {}


def layer_norm(x: Tensor, weight: Tensor | None, bias: Tensor | None = None, eps: float = 1e-5) -> Tensor:
    """(x - mean) / √(variance + eps) · weight + bias over the last dimension; (..., C), contiguous. arXiv:1607.06450.

    weight, bias: (C), a weight of None being ones. float32, bfloat16, float16, and float64 on the CPU; arithmetic in
    float32, the variance about the mean. As torch's, it takes x in 16 bits with weights in float32, and under autocast
    on CUDA it computes and returns float32. The result and its gradients have the same bits for any number of threads.
    Raises RuntimeError for what does not fit.
    """
    cuda_ext.load()
    if weight is None:
        weight = (x if bias is None else bias).new_ones(x.shape[-1:])
    if x.dtype is not weight.dtype and _mixed(x, weight):
        return _calls["layer_norm"](x.float(), weight, bias, eps).to(x.dtype)
    return _calls["layer_norm"](x, weight, bias, eps)


def embedding_layer_norm(
    tokens: Tensor,
    table: Tensor,
    weight: Tensor | None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    *,
    positions: Tensor | None = None,
    position_table: Tensor | None = None,
) -> Tensor:
    """layer_norm(table[tokens]) + position_table[positions]; tokens (...) int64 to (..., C), contiguous.

    The norm is on the words alone, as in the vocabulary embedding of BLOOM and its study (arXiv:2211.05100).
    table: (V, C); positions, broadcastable to the shape of tokens, and position_table (P, C) come together. Types as
    for `layer_norm`. Gradients of the tables are dense, and deterministic: on the CPU always, on CUDA after
    torch.use_deterministic_algorithms(True). Raises RuntimeError for what does not fit, on the CPU also for an
    index outside its table; on CUDA such an index stops the process's kernels, as with torch's.
    """
    cuda_ext.load()
    if positions is not None:
        positions = positions.expand(tokens.shape).contiguous()
    if weight is None:
        weight = (table if bias is None else bias).new_ones(table.shape[-1:])
    tokens = tokens.contiguous()
    if table.dtype is not weight.dtype and _mixed(table, weight):
        places = None if position_table is None else position_table.float()
        y = _calls["embedding_layer_norm"](tokens, table.float(), positions, places, weight, bias, eps)
        return y.to(table.dtype)
    return _calls["embedding_layer_norm"](tokens, table, positions, position_table, weight, bias, eps)


def _mixed(x: Tensor, weight: Tensor) -> bool:
    """Return whether x is of 16 bits and the weights of 32, where autocast on CUDA does not make all of it float32."""
    low = x.dtype in (torch.bfloat16, torch.float16) and weight.dtype == torch.float32
    return low and (x.device.type == "cpu" or not torch.is_autocast_enabled(x.device.type))


def embedding(tokens: Tensor, table: Tensor) -> Tensor:
    """table[tokens]; tokens (...) int64, table (V, C), to (..., C), contiguous; types and errors as above.

    What an embedding costs is its gradient: zeros for the whole table, and the rows added up. On the CPU it is ours, in
    one pass over the table; elsewhere torch's.
    """
    if table.device.type != "cpu":
        return torch.nn.functional.embedding(tokens, table)
    cuda_ext.load()
    return _calls["embedding"](tokens.contiguous(), table)


def register() -> None:
    """Fake implementations and gradients; called once, when the library is loaded."""
    fake("benchsuite::layer_norm", _fake_layer_norm)
    fake("benchsuite::layer_norm_out", lambda x, weight, bias, eps, out, mean, rstd: None)
    fake(
        "benchsuite::layer_norm_backward",
        lambda grad, x, weight, mean, rstd: (x.new_empty(x.shape), *_affine(weight)),
    )
    fake("benchsuite::embedding_layer_norm", _fake_embedding_layer_norm)
    fake(
        "benchsuite::embedding_layer_norm_rows_backward",
        lambda grad, tokens, table, weight, mean, rstd: (
            mean.new_empty((tokens.numel(), table.shape[1])),
            *_affine(weight),
        ),
    )
    fake(
        "benchsuite::embedding_layer_norm_backward",
        lambda grad, tokens, table, weight, mean, rstd: (table.new_empty(table.shape), *_affine(weight)),
    )
    fake("benchsuite::embedding", lambda tokens, table: table.new_empty((*tokens.shape, table.shape[1])))
    fake("benchsuite::embedding_backward", lambda grad, tokens, count: grad.new_empty((count, grad.shape[-1])))
    ops = torch.ops.benchsuite
    _calls["embedding"] = differentiable("embedding", _save_tokens, _lookup_backward_of(ops.embedding_backward.default))
    _calls["layer_norm"] = differentiable(
        "layer_norm", _save, _backward_of(ops.layer_norm_backward.default), kept=2, autocast=reduction(3)
    )
    _calls["embedding_layer_norm"] = differentiable(
        "embedding_layer_norm",
        _save_embedding,
        _embedding_norm_backward,
        kept=2,
        autocast=reduction(6),
    )
    mutating("layer_norm_out")


def _fake_layer_norm(x: Tensor, weight: Tensor, bias: Tensor | None, eps: float) -> tuple[Tensor, ...]:
    fits("layer_norm", x, x.shape[-1:], weight=weight, bias=bias)
    return x.new_empty(x.shape), *_statistics(x, _rows(x))


def _fake_embedding_layer_norm(
    tokens: Tensor,
    table: Tensor,
    positions: Tensor | None,
    position_table: Tensor | None,
    weight: Tensor,
    bias: Tensor | None,
    eps: float,
) -> tuple[Tensor, ...]:
    name, C = "embedding_layer_norm", table.shape[-1]
    fits(name, table, (C,), weight=weight, bias=bias)
    fits(name, tokens, tokens.shape, positions=positions)
    if position_table is not None:
        fits(name, table, (position_table.shape[0], C), position_table=position_table)
    return table.new_empty((*tokens.shape, C)), *_statistics(table, tokens.numel())


def _affine(weight: Tensor) -> tuple[Tensor, Tensor]:
    return weight.new_empty(weight.shape), weight.new_empty(weight.shape)


def _rows(x: Tensor) -> int:
    rows = 1
    for size in x.shape[:-1]:
        rows *= size
    return rows


def _statistics(x: Tensor, rows: int) -> tuple[Tensor, Tensor]:
    dtype = torch.float64 if x.dtype == torch.float64 else torch.float32
    return x.new_empty((rows,), dtype=dtype), x.new_empty((rows,), dtype=dtype)


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    x, weight, bias, _ = inputs
    _, mean, rstd = output
    ctx.has_bias = bias is not None
    ctx.save_for_backward(x, weight, mean, rstd)


def _backward_of(op: Callable[..., Any]) -> Callable[..., Any]:
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        dx, dweight, dbias = op(grad, *ctx.saved_tensors)
        return dx, dweight, dbias if ctx.has_bias else None, None

    return backward


def _save_tokens(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    tokens, table = inputs
    ctx.count = table.shape[0]
    ctx.save_for_backward(tokens)


def _lookup_backward_of(op: Callable[..., Any]) -> Callable[..., Any]:
    def backward(ctx: Any, grad: Tensor) -> tuple[None, Tensor]:
        return None, op(grad, *ctx.saved_tensors, ctx.count)

    return backward


def _save_embedding(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    tokens, table, positions, position_table, weight, bias, _ = inputs
    _, mean, rstd = output
    ctx.has_bias = bias is not None
    ctx.places = 0 if position_table is None else position_table.shape[0]
    ctx.save_for_backward(tokens, table, positions, weight, mean, rstd)


def _embedding_norm_backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    tokens, table, positions, weight, mean, rstd = ctx.saved_tensors
    ops = torch.ops.benchsuite
    if grad.device.type == "cpu":
        dtable, dweight, dbias = ops.embedding_layer_norm_backward(grad, tokens, table, weight, mean, rstd)
    else:
        rows, dweight, dbias = ops.embedding_layer_norm_rows_backward(grad, tokens, table, weight, mean, rstd)
        dtable = _summed(rows, tokens, table.shape[0]).to(table.dtype)
    dpositions = None if positions is None else _summed(grad, positions, ctx.places)
    return None, dtable, None, dpositions, dweight, dbias if ctx.has_bias else None, None


def _summed(rows: Tensor, index: Tensor, count: int) -> Tensor:
    """The gradient (count, C) of a table whose rows were taken at `index`, from that of the rows (..., C)."""
    if rows.device.type == "cpu":
        return torch.ops.benchsuite.embedding_backward(rows, index, count)
    rows = rows.reshape(index.numel(), rows.shape[-1])
    return torch.ops.aten.embedding_dense_backward(rows, index.flatten(), count, -1, False)
