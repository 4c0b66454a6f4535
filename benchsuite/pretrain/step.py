"""One step of training: the loss as a module, AdamW, and its learning rate.

What measures a step's speed needs no more than this. Of `torch.distributed` it imports nothing, which takes most of a
second.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from benchsuite import components, cuda_ext
from benchsuite.components.learning_rule import OUTPUT
from benchsuite.cuda_ext.adamw import ClippedAdamW
from benchsuite.learning import Learner, attach
from benchsuite.model.gpt import GPT
from benchsuite.records.params import TrainConfig

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
UNSCALED = torch.amp.GradScaler(enabled=False)  # does nothing, on any device


class Objective(nn.Module):
    """The loss of a model as a module: tokens (B, T + 1) to the mean loss in nats. Wrappers of torch want a forward.

    With `scored`, the tokens that a sequence is scored on, on average, rows are those of
    `benchsuite.pretrain.objectives`: how many tokens are given, then the tokens, -1 behind their end. The loss is the
    sum over what is scored, divided by the average of so many rows: thus a batch is the mean of its
    parts, however it is shared out.
    """

    def __init__(self, model: GPT, scored: float | None = None) -> None:
        super().__init__()
        self.model = model
        self.scored = scored

    def forward(self, tokens: Tensor) -> Tensor:
        if self.scored is None:
            return self.model.loss(tokens[:, :-1], tokens[:, 1:])
        given, row = tokens[:, 0], tokens[:, 1:]
        places = torch.arange(1, row.shape[1], device=row.device)
        counts = (places >= given[:, None]) & (row[:, 1:] >= 0)
        targets = row[:, 1:].masked_fill(~counts, -100)
        share = counts.sum() / (self.scored * len(row))
        return self.model.loss(row[:, :-1].clamp(min=0), targets, given) * share


def teach(objective: Objective, seed: int) -> Learner:
    """Make the model of `objective` learn by its spec's rule, whatever calls `objective` and `backward`. The feedback
    matrix is drawn here, so that torch.compile finds it."""
    spec = objective.model.spec
    taught = components.get("learning_rule", spec.learning_rule).build(spec.layers)
    points = [f"model.{point}" for point in taught.points]
    learner = attach(objective, points, taught.rule, seed=seed, output=f"model.{OUTPUT}")
    if taught.rule == "dfa":
        learner.draw(spec.width, spec.width, objective.model.embedding.weight.device)
    return learner


def train_step(
    objective: Callable[[Tensor], Tensor],
    optimizer: torch.optim.Optimizer,
    batches: Sequence[Tensor],
    config: TrainConfig,
    scaler: torch.amp.GradScaler = UNSCALED,
) -> tuple[Tensor, Tensor]:
    """One optimizer step on micro-batches (B, T + 1), their gradients added up. Returns the mean loss and the norm of
    the gradient before it was clipped, both detached, without waiting for the device."""
    loss = add_gradients(objective, batches, config, scaler)
    if isinstance(optimizer, ClippedAdamW) and not scaler.is_enabled():
        return loss, optimizer.clipped_step(config.clip)
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    scaler.unscale_(optimizer)
    norm = torch.nn.utils.clip_grad_norm_(parameters, config.clip, foreach=True)
    scaler.step(optimizer)
    scaler.update()
    optimizer.zero_grad(set_to_none=True)
    return loss, norm.full_tensor() if hasattr(norm, "full_tensor") else norm  # a DTensor, where it is sharded


def add_gradients(
    objective: Callable[[Tensor], Tensor],
    batches: Sequence[Tensor],
    config: TrainConfig,
    scaler: torch.amp.GradScaler = UNSCALED,
) -> Tensor:
    """Add the gradients of micro-batches (B, T + 1), each by its share of the whole, to those that are there. Returns
    the mean loss, detached."""
    total = sum(map(len, batches))
    loss = torch.zeros((), device=batches[0].device)
    kind = batches[0].device.type
    for number, batch in enumerate(batches, 1):
        with (
            torch.autocast(kind, DTYPES[config.precision], enabled=config.precision != "float32"),
            _no_exchange(objective, number < len(batches)),
        ):
            part = objective(batch) * (len(batch) / total)
            scaler.scale(part).backward()
        loss += part.detach()
    return loss


def _no_exchange(objective: Any, more: bool) -> contextlib.AbstractContextManager[Any]:
    """DDP exchanges gradients after the last micro-batch only."""
    return objective.no_sync() if more and isinstance(objective, DistributedDataParallel) else contextlib.nullcontext()


def adamw(parameters: Iterable[nn.Parameter], config: TrainConfig, *, capturable: bool = False) -> torch.optim.AdamW:
    """AdamW in torch's fused form; in ours where the implementation is `fused` and all parameters are on the CPU.
    Matrices and embeddings decay; biases and norms do not, as in Megatron-LM. A CUDA graph can hold the step of a
    `capturable` one."""
    parameters = list(parameters)
    decay = [p for p in parameters if p.dim() >= 2]
    rest = [p for p in parameters if p.dim() < 2]
    groups = [{"params": decay, "weight_decay": config.weight_decay}, {"params": rest, "weight_decay": 0.0}]
    plain = all(type(p) is nn.Parameter and p.device.type == "cpu" and p.dtype == torch.float32 for p in parameters)
    ours = plain and config.implementation == "fused" and cuda_ext.unavailable_reason() is None
    kind = ClippedAdamW if ours else torch.optim.AdamW
    betas = config.beta1, config.beta2
    return kind(groups, lr=config.lr, betas=betas, eps=config.eps, fused=True, capturable=capturable)


def set_lr(optimizer: torch.optim.Optimizer, config: TrainConfig, seen: int, total: int) -> None:
    """Linear warm-up to `lr`, then a cosine down to `min_lr` of it after `total` sequences; `seen` are those so far,
    those of the step included."""
    warmup = max(1, round(config.warmup * total / config.batch)) * config.batch
    if seen <= warmup:
        factor = seen / warmup
    else:
        done = min(1.0, (seen - warmup) / max(1, total - warmup))
        factor = config.min_lr + (1 - config.min_lr) * 0.5 * (1 + math.cos(math.pi * done))
    for group in optimizer.param_groups:
        group["lr"] = config.lr * factor
