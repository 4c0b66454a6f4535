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
    name: str,
    setup_context: Callable[[Any, tuple[Any, ...], Any], None],
    backward: Callable[..., Any],
    *,
    kept: int = 0,
) -> Callable[..., Any]:
    """Gives torch.ops.benchsuite.`name` its gradient and returns the function to call instead of it.

    setup_context(ctx, inputs, output) saves what backward(ctx, *grads) needs; backward returns a gradient or None for
    each input, as for torch.library.register_autograd. The last `kept` outputs are there for the backward pass alone:
    they have no gradient, backward gets none, and the function returns the others (the tensor itself where one is
    left). A second derivative raises RuntimeError.
    """
    op = getattr(torch.ops.benchsuite, name).default
    returned = len(op._schema.returns) - kept
    no_gradients = (None,) * len(op._schema.arguments)

    def traced_setup(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        if kept:
            ctx.mark_non_differentiable(*output[returned:])
            ctx.set_materialize_grads(False)  # zeros for what is kept
        setup_context(ctx, inputs, output)

    def traced_backward(ctx: Any, *grads: Any) -> Any:
        if kept and all(grad is None for grad in grads[:returned]):
            return no_gradients
        return backward(ctx, *grads[:returned])

    torch.library.register_autograd(f"benchsuite::{name}", traced_backward, setup_context=traced_setup)

    def shown(output: Any) -> Any:
        if not kept:
            return output
        return output[0] if returned == 1 else output[:returned]

    def below(*args: Any) -> Any:
        with below_autograd():
            return op(*args)

    def forward(ctx: Any, *args: Any) -> Any:
        output = below(*args)
        setup_context(ctx, args, output)
        # What is kept is no output here: each would become a Python object with a place in the graph.
        return shown(output)

    def once(ctx: Any, *grads: Any) -> Any:
        if grad_enabled():  # someone builds a graph of the backward pass
            raise RuntimeError(f"{name}: benchsuite's kernels cannot be differentiated twice")
        return backward(ctx, *grads)

    members = {"forward": staticmethod(forward), "backward": staticmethod(once)}
    function: Any = type(name, (torch.autograd.Function,), members)
    compiling, grad_enabled = torch.compiler.is_compiling, torch.is_grad_enabled
    below_autograd = torch._C._AutoDispatchBelowAutograd

    def call(*args: Any) -> Any:
        if compiling():
            return shown(op(*args))
        if grad_enabled():
            return function.apply(*args)
        return shown(below(*args))

    return call
