"""Register the gradient of an operator: once for torch.library, once on a short path for eager mode; and what autograd
learns of operators that write into their arguments.

torch.library's own autograd wrapper is Python that costs tens of µs a call, more than a small operator takes. Eager
code therefore goes through a torch.autograd.Function with the same two functions, and torch.func's transforms through
one of the form that they ask for; torch.compile, and whoever calls torch.ops.benchsuite directly, gets torch.library's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

TWICE = "benchsuite's kernels cannot be differentiated twice"

# What becomes of the arguments under autocast on a kind of device.
Cast = Callable[[tuple[Any, ...], str], tuple[Any, ...]]


def differentiable(
    name: str,
    setup_context: Callable[[Any, tuple[Any, ...], Any], None],
    backward: Callable[..., Any],
    *,
    kept: int = 0,
    autocast: Cast | None = None,
) -> Callable[..., Any]:
    """Give torch.ops.benchsuite.`name` its gradient and return the function to call instead of it.

    setup_context(ctx, inputs, output) saves what backward(ctx, *grads) needs; backward returns a gradient or None for
    each input, as for torch.library.register_autograd. The last `kept` outputs are there for the backward pass alone:
    they have no gradient, backward gets none, and the function returns the others (the tensor itself where one is
    left). A second derivative raises RuntimeError. `autocast` casts the arguments where torch.autocast is on.
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
        if not grad_enabled():
            return backward(ctx, *grads[:returned])
        with torch.no_grad():  # torch.func always builds a graph of the backward pass, wanted or not
            found = backward(ctx, *grads[:returned])
        return _once(name, found, [*ctx.saved_tensors, *grads[:returned]])

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
            raise RuntimeError(f"{name}: {TWICE}")
        return backward(ctx, *grads)

    def jvp(ctx: Any, *tangents: Any) -> Any:
        raise RuntimeError(f"{name}: benchsuite's kernels have no derivative in forward mode")

    members: dict[str, Any] = {
        "forward": staticmethod(forward),
        "backward": staticmethod(once),
        "jvp": staticmethod(jvp),
    }
    function: Any = type(name, (torch.autograd.Function,), members)
    apply = super(torch.autograd.Function, function).apply  # without the search for a setup_context, which it has not
    members = {"forward": staticmethod(op), "setup_context": staticmethod(traced_setup)}
    members |= {"backward": staticmethod(traced_backward), "jvp": staticmethod(jvp), "generate_vmap_rule": True}
    functional: Any = type(name, (torch.autograd.Function,), members)
    compiling, grad_enabled = torch.compiler.is_compiling, torch.is_grad_enabled
    transformed = torch._C._are_functorch_transforms_active
    below_autograd, any_autocast = torch._C._AutoDispatchBelowAutograd, torch._C._is_any_autocast_enabled

    def call(*args: Any) -> Any:
        if compiling():
            return shown(op(*(_under_autocast(autocast, args) if autocast else args)))
        if autocast and any_autocast():
            args = _under_autocast(autocast, args)
        if transformed():
            return shown(functional.apply(*args))
        if grad_enabled() or forward_ad._current_level >= 0:  # which it has not, and says so
            return apply(*args)
        return shown(below(*args))

    return call


class _Once(torch.autograd.Function):
    """Gradients as they are, and an error for who asks for theirs."""

    generate_vmap_rule = True

    @staticmethod
    def forward(name: str, count: int, *tensors: Tensor) -> tuple[Tensor, ...]:
        return tuple(tensor.clone() for tensor in tensors[:count])

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        ctx.name = inputs[0]

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        raise RuntimeError(f"{ctx.name}: {TWICE}")


def _once(name: str, found: Any, inputs: list[Any]) -> tuple[Any, ...]:
    """The gradients `found`, which depend on `inputs` in a way that cannot be differentiated."""
    every = found if isinstance(found, tuple) else (found,)
    gradients = [one for one in every if one is not None]
    done = iter(_Once.apply(name, len(gradients), *gradients, *(one for one in inputs if one is not None)))
    return tuple(None if one is None else next(done) for one in every)


def fake(name: str, implementation: Callable[..., Any]) -> None:
    """Give the operator its outputs for meta and fake tensors, of which all or none are."""

    def checked(*args: Any) -> Any:
        if len({one.device for one in args if isinstance(one, Tensor)}) > 1:
            raise RuntimeError(f"{name.partition('::')[2]}: the tensors are on different devices")
        return implementation(*args)

    torch.library.register_fake(name, checked)


def fits(name: str, like: Tensor, shape: Sequence[int], **tensors: Tensor | None) -> None:
    """Raise RuntimeError unless each of `tensors` has this shape and the type of `like`. For meta and fake
    tensors, which the kernels and their checks never see."""
    for argument, tensor in tensors.items():
        if tensor is None:
            continue
        if tuple(tensor.shape) != tuple(shape):
            raise RuntimeError(f"{name}: {argument} has shape {tuple(tensor.shape)}, not {tuple(shape)}")
        if tensor.dtype != like.dtype:
            raise RuntimeError(f"{name}: the tensors have different types, {like.dtype} and {tensor.dtype}")


def no_gradient(name: str, **tensors: Tensor | None) -> None:
    """Raise RuntimeError if one of `tensors`, for which the operator `name` has no gradient, requires one."""
    for argument, tensor in tensors.items():
        if tensor is not None and tensor.requires_grad:
            raise RuntimeError(f"{name}: {argument} require a gradient, and the kernel has none for them")


# --- autocast --------------------------------------------------------------------------------------------------------


def _under_autocast(cast: Cast, args: tuple[Any, ...]) -> tuple[Any, ...]:
    kind = next(one for one in args if isinstance(one, Tensor)).device.type
    return cast(args, kind) if torch.is_autocast_enabled(kind) else args


def _cast(args: tuple[Any, ...], count: int, dtype: torch.dtype) -> tuple[Any, ...]:
    """The first `count` arguments in `dtype`, where they are floating-point tensors but not float64, as torch does."""

    def to(x: Any) -> Any:
        fits = isinstance(x, Tensor) and x.is_floating_point() and x.dtype != torch.float64
        return x.to(dtype) if fits else x

    return (*map(to, args[:count]), *args[count:])


def product(count: int) -> Cast:
    """The first `count` arguments in autocast's type, as those of matrix products and torch's attention."""
    return lambda args, kind: _cast(args, count, torch.get_autocast_dtype(kind))


def widest(count: int) -> Cast:
    """The first `count` arguments in the widest of their types, as elementwise arithmetic takes them."""

    def cast(args: tuple[Any, ...], kind: str) -> tuple[Any, ...]:
        dtypes = [x.dtype for x in args[:count] if isinstance(x, Tensor) and x.is_floating_point()]
        dtype = dtypes[0]
        for other in dtypes[1:]:
            dtype = torch.promote_types(dtype, other)
        return _cast(args, count, dtype)

    return cast


def reduction(count: int) -> Cast:
    """The first `count` arguments in float32 on CUDA, as those of torch's norms and softmax; as they are on the CPU."""
    return lambda args, kind: args if kind == "cpu" else _cast(args, count, torch.float32)


# --- operators that write into their arguments -----------------------------------------------------------------------

_library: torch.library.Library | None = None


def mutating(*names: str) -> None:
    """Tell autograd what the operators `names` of torch.ops.benchsuite do: arguments that are written get a new
    version, and none that requires a gradient is taken where one would be recorded. Raises RuntimeError for such."""
    global _library
    _library = _library or torch.library.Library("benchsuite", "IMPL")
    for name in names:
        _library.impl(name, _versioned(getattr(torch.ops.benchsuite, name).default), "Autograd", with_keyset=True)


def _versioned(op: Any) -> Callable[..., Any]:
    name = op._schema.name.partition("::")[2]
    written = [i for i, one in enumerate(op._schema.arguments) if one.alias_info and one.alias_info.is_write]

    def autograd(keyset: Any, *args: Any) -> Any:
        if torch.is_grad_enabled() and any(isinstance(one, Tensor) and one.requires_grad for one in args):
            raise RuntimeError(
                f"{name} has no gradient, and an argument requires one: call it under torch.no_grad(), or take the "
                "operator that writes a new tensor"
            )
        with torch._C._AutoDispatchBelowAutograd():
            result = op.redispatch(keyset & torch._C._after_autograd_keyset, *args)
        torch.autograd.graph.increment_version([args[i] for i in written])
        return result

    return autograd
