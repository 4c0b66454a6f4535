"""The code that a speed case times: the part of the model that a component shapes (`layer`), or a whole training step
(`step`).

`layer` cases hold one layer and everything its variant does to a one-layer model: the feed-forward block for an
activation, embedding hook plus attention for a position scheme, token lookup plus norm for an embedding norm. A
variant that works once per model (learned positions) therefore looks dearer there than in a deep model; the `step`
case says what it costs in place.
"""

from __future__ import annotations

import copy
import functools
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from benchsuite import components
from benchsuite.measure import references
from benchsuite.model import flops
from benchsuite.model.gpt import GPT, Attention, FeedForward, attention_inputs
from benchsuite.model.spec import ModelSpec
from benchsuite.pretrain.step import Objective, adamw, add_gradients, teach, train_step
from benchsuite.records.params import SpeedParams, TrainConfig

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16, "float64": torch.float64}
NORMALS = 1_000_003
SEED = 0  # of the weights, the tokens, and what a learning rule draws


class AttentionLayer(nn.Module):
    """One attention layer with all that a position scheme does to it; (B, T, C) to itself."""

    def __init__(self, spec: ModelSpec, implementation: str) -> None:
        super().__init__()
        whole = GPT(replace(spec, vocab=1), implementation)
        self.position = whole.position
        self.attention: Attention = whole.blocks[0].attention  # type: ignore[assignment]

    def forward(self, x: Tensor) -> Tensor:
        positions = torch.arange(x.shape[1], device=x.device)
        x = self.position.embed(x, positions)
        rotation, bias, inside = attention_inputs(self.position, self.attention.implementation, positions, x)
        return self.attention(x, rotation, bias, inside)


class EmbeddingLayer(nn.Module):
    """Token lookup and what follows it; (B, T) int64 to (B, T, C)."""

    def __init__(self, spec: ModelSpec, implementation: str) -> None:
        super().__init__()
        self.whole = GPT(replace(spec, position="none"), implementation)
        del self.whole.blocks, self.whole.final_norm, self.whole.unembedding

    def forward(self, tokens: Tensor) -> Tensor:
        return self.whole.embed(tokens, torch.arange(tokens.shape[1], device=tokens.device))


@dataclass
class Subject:
    """Something to time.

    `call` does it once. `results` are the tensors to check, the result first, then the gradients: those of the last
    call, or of another that it makes; they are gone with the next call. `reference` returns the same computed in
    float64, and is None where there is none; `held` are the tensors that live through all calls.
    `flops` and `bytes_moved` (each input, weight and result once; a lower bound) are per call, None where unknown;
    `executed_flops` count what a training step recomputes, and are None for all else.
    """

    call: Callable[[], object]
    results: Callable[[], list[Tensor]]
    reference: Callable[[], list[Tensor]] | None
    held: list[Tensor]
    clear: Callable[[], None]
    tokens: int | None
    flops: int | None
    bytes_moved: int | None
    executed_flops: int | None = None


def build(params: SpeedParams) -> Subject:
    """Return the subject of a speed case on its device, with fixed random inputs."""
    torch.manual_seed(SEED)
    spec = ModelSpec.of_speed_case(params)
    if params.scope == "step":
        return _step(spec, params)
    return _layer(spec, params)


def _layer(spec: ModelSpec, params: SpeedParams) -> Subject:
    batch, device, dtype = params.shape.batch, params.device, DTYPES[params.dtype]
    # A compiled layer is the compiled formula.
    implementation = "eager" if params.compiled else params.implementation
    module = _module(spec, params.component, implementation)
    formula = components.get(params.component, params.variant).build
    match params.component:
        case "activation":
            work = flops.ffn_flops(spec, batch * spec.seq)
        case "position":
            work = flops.attention_flops(spec, batch, spec.seq)
        case _:
            work = 0
    backward = params.direction == "fwd+bwd"
    if params.component == "embedding_norm":
        x = torch.randint(spec.vocab, (batch, spec.seq), device=device)
        _draw_weights(module, x)
    else:
        x = normal(batch, spec.seq, spec.width, coarse=True).to(device, dtype).requires_grad_(backward)
        _draw_weights(module)
    module = module.to(device, dtype)
    grad = normal(batch, spec.seq, spec.width).to(device, dtype)
    run = torch.compile(module, dynamic=False) if params.compiled else module
    leaves = [*module.parameters(), *([x] if x.requires_grad else [])]

    last: list[Tensor] = []

    def clear() -> None:
        last.clear()
        for leaf in leaves:
            leaf.grad = None

    def call() -> None:
        clear()
        if not backward:
            with torch.no_grad():
                last.append(run(x))
            return
        y = run(x)
        y.backward(grad)
        last.append(y.detach())

    def results() -> list[Tensor]:
        return [*last, *(leaf.grad for leaf in leaves if leaf.grad is not None)]

    def in_float64() -> list[Tensor]:
        reference = _eager_reference(module, spec, params)
        x64 = x.detach().double().requires_grad_(x.requires_grad) if x.is_floating_point() else x
        y = reference(x64)
        if not backward:
            return [y.detach()]
        y.backward(grad.double())
        leaves64 = [*reference.parameters(), *([x64] if x64.requires_grad else [])]
        return [y.detach()] + [leaf.grad for leaf in leaves64 if leaf.grad is not None]

    passes = 3 if backward else 1
    result = grad.nbytes
    if isinstance(module, EmbeddingLayer):  # as many rows of the table are read as come out; its gradient has them all
        table = module.whole.embedding.weight
        others = sum(p.nbytes for p in module.parameters()) - table.nbytes
        moved = x.nbytes + 2 * result + others + backward * (result + table.nbytes + others)
    else:
        moved = (x.nbytes + result + sum(p.nbytes for p in module.parameters())) * (2 if backward else 1)
    return Subject(
        call=call,
        results=results,
        reference=lambda: references.kept(params, [x, grad, *module.parameters()], in_float64, formula),
        held=[x, grad, *module.parameters(), *module.buffers()],
        clear=clear,
        tokens=batch * spec.seq,
        flops=passes * work,
        bytes_moved=moved,
    )


def _eager_reference(module: nn.Module, spec: ModelSpec, params: SpeedParams) -> nn.Module:
    """The same weights in float64, computed by the formula, whatever the implementation under test."""
    reference = _module(spec, params.component, "eager").to(params.device)
    exact = {name: x.double() if x.is_floating_point() else x for name, x in module.state_dict().items()}
    reference.load_state_dict(exact, assign=True)
    return reference.double()


def _module(spec: ModelSpec, component: str, implementation: str) -> nn.Module:
    """The layer that `component` shapes, its weights not drawn."""
    kinds = {"activation": FeedForward, "position": AttentionLayer}
    with _Undrawn():
        return kinds.get(component, EmbeddingLayer)(spec, implementation)


class _Undrawn(TorchFunctionMode):
    """Leaves new weights as the allocator gave them: to draw and scale those of a large model takes longer than a
    call."""

    DRAWING = ("uniform_", "normal_", "trunc_normal_", "kaiming_uniform_", "div_")

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__name__", "") in self.DRAWING:
            return args[0] if args else kwargs["tensor"]
        return func(*args, **kwargs)


def _draw_weights(module: nn.Module, tokens: Tensor | None = None) -> None:
    """Weights of unit gain instead of the small initial ones, so that every part of the result matters to the check.

    With `tokens` only the rows of embeddings that these name are drawn; the others, which no call reads, stay zeros:
    drawing a large vocabulary takes a hundred times as long as one call.
    """
    for name, parameter in module.named_parameters():
        if tokens is not None and "embedding" in name and parameter.dim() > 1:
            used = tokens.unique().cpu()
            parameter.data = torch.zeros(parameter.shape)
            parameter.data[used] = normal(len(used), parameter.shape[1], coarse=True)
            continue
        fan_in = parameter.shape[-1] if parameter.dim() > 1 and "embedding" not in name else 1
        parameter.data = normal(*parameter.shape, deviation=fan_in**-0.5, coarse=True)


def normal(*shape: int, deviation: float = 1.0, coarse: bool = False) -> Tensor:
    """Normal numbers around 0, from one million of them that are taken again and again: to draw a large model's takes
    longer than to time it. Their number is a prime, so no two rows are alike.

    `coarse` ones are rounded to steps of about an eighth of the deviation, a power of two. Sums of products of such
    numbers are exact in float32, in any order. So the first projection of a layer is the same in every implementation,
    and no input of a ReLU is on one side of its kink here and on the other there: with ordinary numbers that happens
    once in some millions, and changes a gradient by a hundredth of the largest.
    """
    count = math.prod(shape)
    start = int(torch.randint(NORMALS, ()))  # each tensor begins elsewhere
    drawn = normals()[start : start + min(count, NORMALS)]
    if coarse:
        step = 2.0 ** (math.floor(math.log2(deviation)) - 3)
        drawn = drawn.mul(deviation / step).round_().mul_(step)
    else:
        drawn = drawn.mul(deviation)
    return drawn.repeat(-(-count // max(1, len(drawn))))[:count].view(shape)


@functools.cache
def normals() -> Tensor:
    """The numbers of all inputs and weights, twice over, in float32. Called before the fork of many processes they are
    drawn once; each process still writes tensors of its own, for where these lie in memory is part of what differs
    between processes."""
    return torch.randn(NORMALS, generator=torch.Generator().manual_seed(0)).repeat(2)


def _step(spec: ModelSpec, params: SpeedParams) -> Subject:
    batch, device = params.shape.batch, params.device
    # A compiled training loop has scaled_dot_product_attention inside, as every peer's.
    inner = "sdpa" if params.compiled else params.implementation
    model = GPT(spec, inner).to(device)
    model.recompute = params.shape.recompute
    config = TrainConfig(tokens=1, lr=1e-4, precision=params.dtype, implementation=inner)
    tokens = torch.randint(spec.vocab, (batch, spec.seq + 1), device=device)
    started_from = copy.deepcopy(model.state_dict())
    parts = tokens.split(params.shape.micro_batch or batch)
    optimizer = adamw(model.parameters(), config, capturable=params.mode == "graph-hot")
    objective = Objective(model)
    teach(objective, SEED)
    formula = components.get(params.component, params.variant).build
    run = torch.compile(objective, dynamic=False) if params.compiled else objective

    def call() -> Tensor:
        return train_step(run, optimizer, parts, config)[0]

    def clear() -> None:
        model.zero_grad(set_to_none=True)

    def results() -> list[Tensor]:
        """Loss and gradients at the first weights: the steps have moved them."""
        model.load_state_dict(started_from)
        clear()
        loss = add_gradients(run, parts, config)
        found = [loss, *(p.grad.clone() for p in model.parameters() if p.grad is not None)]
        clear()
        return found

    def in_float64() -> list[Tensor]:
        reference = GPT(spec, "eager").double().to(device)
        reference.load_state_dict(started_from)
        exact = Objective(reference)
        teach(exact, SEED)
        loss = exact(tokens)
        loss.backward()
        return [loss.detach(), *(p.grad for p in reference.parameters() if p.grad is not None)]

    held = [tokens, *model.parameters(), *model.buffers()]
    held += [s for state in optimizer.state.values() for s in state.values() if isinstance(s, Tensor)]
    return Subject(
        call=call,
        results=results,
        reference=lambda: references.kept(params, [tokens, *started_from.values()], in_float64, formula),
        held=held,
        clear=clear,
        tokens=batch * spec.seq,
        flops=flops.step_flops(spec, batch, spec.seq),
        bytes_moved=None,
        executed_flops=flops.executed_flops(spec, batch, spec.seq, recompute=model.recompute),
    )
