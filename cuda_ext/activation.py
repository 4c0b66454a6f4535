"""Activations in one pass over memory: `act` (GELU, ReLU, ReLU², SiLU) and the gated `glu` (SwiGLU, GEGLU, ReGLU).

The backward pass recomputes from the saved input, so nothing but the input is kept.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from benchsuite import cuda_ext
from benchsuite.cuda_ext.autograd import differentiable, fake, fits, mutating, widest

ACT_KINDS = ("gelu", "gelu_erf", "relu", "relu2", "silu")
GLU_KINDS = ("swiglu", "geglu", "reglu")

_calls: dict[str, Callable[..., Any]] = {}


def act(x: Tensor, kind: str, bias: Tensor | None = None) -> Tensor:
    """f(x + bias), (..., F) to the same shape, contiguous.

    kind: `gelu` (tanh form) and `gelu_erf` (arXiv:1606.08415), `relu`, `relu2` (arXiv:2109.08668), `silu`. bias: (F).
    float32, bfloat16, float16, and float64 on the CPU; arithmetic in float32. Rows of x may have any stride. Raises
    RuntimeError for what does not fit.
    """
    cuda_ext.load()
    return _calls["act"](x, bias, kind)


def glu(x: Tensor, kind: str, bias: Tensor | None = None) -> Tensor:
    """f(gate + bias) * (up + bias) of the packed projection x (..., 2F), gate first; (..., F), contiguous.

    kind: `swiglu`, `geglu` (tanh form), `reglu` (arXiv:2002.05202). bias: (2F). Types and errors as for `act`.
    """
    cuda_ext.load()
    return _calls["glu"](x, bias, kind)


def glu_separate(gate: Tensor, up: Tensor, kind: str) -> Tensor:
    """f(gate) * up for two tensors of one shape (..., F), such as the halves of a chunked projection."""
    cuda_ext.load()
    return _calls["glu_separate"](gate, up, kind)


def register() -> None:
    """Fake implementations and gradients; called once, when the library is loaded."""
    fake("benchsuite::act", _fake_act)
    fake("benchsuite::act_backward", lambda grad, x, bias, kind: x.new_empty(x.shape))
    fake("benchsuite::act_out", lambda x, bias, kind, out: None)
    fake("benchsuite::glu", _fake_glu)
    fake("benchsuite::glu_backward", lambda grad, x, bias, kind: x.new_empty(x.shape))
    fake("benchsuite::glu_out", lambda x, bias, kind, out: None)
    fake("benchsuite::glu_separate", _fake_separate)
    fake(
        "benchsuite::glu_separate_backward",
        lambda grad, gate, up, kind: (gate.new_empty(gate.shape), up.new_empty(up.shape)),
    )
    _calls["act"] = differentiable("act", _save, _backward_of("act_backward"), autocast=widest(2))
    _calls["glu"] = differentiable("glu", _save, _backward_of("glu_backward"), autocast=widest(2))
    _calls["glu_separate"] = differentiable("glu_separate", _save_separate, _separate_backward, autocast=widest(2))
    mutating("act_out", "glu_out")


def _fake_act(x: Tensor, bias: Tensor | None, kind: str) -> Tensor:
    fits("act", x, x.shape[-1:], bias=bias)
    return x.new_empty(x.shape)


def _fake_glu(x: Tensor, bias: Tensor | None, kind: str) -> Tensor:
    fits("glu", x, x.shape[-1:], bias=bias)
    if x.dim() == 0 or x.shape[-1] % 2:
        raise RuntimeError(f"glu: the last dimension of x {tuple(x.shape)} has no halves")
    return x.new_empty((*x.shape[:-1], x.shape[-1] // 2))


def _fake_separate(gate: Tensor, up: Tensor, kind: str) -> Tensor:
    fits("glu_separate", gate, gate.shape, up=up)
    return gate.new_empty(gate.shape)


def _save(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, bias, ctx.kind = inputs
    ctx.save_for_backward(x, bias)


def _backward_of(name: str) -> Callable[..., Any]:
    op = getattr(torch.ops.benchsuite, name).default

    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        x, bias = ctx.saved_tensors
        dx = op(grad, x, bias, ctx.kind)
        dbias = None
        if bias is not None and ctx.needs_input_grad[1]:
            dbias = dx.reshape(-1, dx.shape[-1]).sum(0, dtype=_accumulated(dx)).to(dx.dtype)
        return dx, dbias, None

    return backward


def _accumulated(x: Tensor) -> torch.dtype:
    return torch.float64 if x.dtype == torch.float64 else torch.float32


def _save_separate(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    gate, up, ctx.kind = inputs
    ctx.save_for_backward(gate, up)


def _separate_backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
    dgate, dup = torch.ops.benchsuite.glu_separate_backward.default(grad, *ctx.saved_tensors, ctx.kind)
    return dgate, dup, None
