"""How an operator gets its gradient: once for torch.library, once on a short path for eager mode.

torch.library's own autograd wrapper is Python that costs tens of µs a call, more than a small operator takes. Eager
code therefore goes through a torch.autograd.Function with the same two functions; torch.compile, and whoever calls
torch.ops.benchsuite directly, gets torch.library's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch


def differentiable(
    name: str, setup_context: Callable[[Any, tuple[Any, ...], Any], None], backward: Callable[..., Any]
) -> Callable[..., Any]:
    """Gives torch.ops.benchsuite.`name` its gradient and returns the function to call instead of it.

    setup_context(ctx, inputs, output) saves what backward(ctx, *grads) needs; backward returns a gradient or None for
    each input, as for torch.library.register_autograd. A second derivative raises RuntimeError.
    """
    op = getattr(torch.ops.benchsuite, name).default
    torch.library.register_autograd(f"benchsuite::{name}", backward, setup_context=setup_context)

    def below(*args: Any) -> Any:
        with torch._C._AutoDispatchBelowAutograd():
            return op(*args)

    def forward(ctx: Any, *args: Any) -> Any:
        output = below(*args)
        setup_context(ctx, args, output)
        return output

    def once(ctx: Any, *grads: Any) -> Any:
        if grad_enabled():  # someone builds a graph of the backward pass
            raise RuntimeError(f"{name}: benchsuite's kernels cannot be differentiated twice")
        return backward(ctx, *grads)

    members = {"forward": staticmethod(forward), "backward": staticmethod(once)}
    function: Any = type(name, (torch.autograd.Function,), members)
    compiling, grad_enabled = torch.compiler.is_compiling, torch.is_grad_enabled

    def call(*args: Any) -> Any:
        if compiling():
            return op(*args)
        if grad_enabled():
            return function.apply(*args)
        return below(*args)

    return call
