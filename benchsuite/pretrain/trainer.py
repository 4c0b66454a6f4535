"""The training loop: AdamW, linear warm-up and cosine, one order of the data for each seed.

    tokens = encode(tokenizer, corpus.train)
    model, log = train(spec, tokens, TrainConfig(tokens=500_000), seed=0)

Two models trained at the same seed see the same sequences in the same order, whatever their variants, so that seeds
pair.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchsuite.errors import UserError
from benchsuite.model.gpt import GPT
from benchsuite.model.spec import ModelSpec


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """`tokens` in all; `batch` in sequences of the model's `seq` tokens; `lr` at its peak, `min_lr` as a fraction of
    it; `warmup` as a fraction of the steps. The other defaults are GPT-3's (arXiv:2005.14165, appendix B)."""

    tokens: int
    batch: int = 32
    lr: float = 3e-3
    min_lr: float = 0.1
    warmup: float = 0.05
    weight_decay: float = 0.1
    beta1: float = 0.9
    beta2: float = 0.95
    eps: float = 1e-8
    clip: float = 1.0
    implementation: str = "sdpa"

    def steps(self, seq: int) -> int:
        """Optimizer steps of `batch` · `seq` tokens that fit into `tokens`, at least one."""
        return max(1, self.tokens // (self.batch * seq))


@dataclass(frozen=True)
class TrainLog:
    """What training took. `curve` holds (tokens seen, loss in nats averaged since the last point)."""

    tokens: int
    time_s: float
    curve: tuple[tuple[int, float], ...]
    final_loss: float

    @property
    def tokens_per_s(self) -> float:
        return self.tokens / self.time_s


CURVE_POINTS = 50


def train(
    spec: ModelSpec,
    tokens: NDArray[np.unsignedinteger],
    config: TrainConfig,
    *,
    seed: int,
    init_seed: int | None = None,
    device: str = "cpu",
    progress: Callable[[float], None] | None = None,
) -> tuple[GPT, TrainLog]:
    """Trains a model of `spec` on packed `tokens` and returns it in evaluation mode with its log.

    `seed` fixes the order of the data and, unless `init_seed` is given, the first weights. `progress` is told the
    fraction done. Raises UserError where `tokens` hold less than one sequence, FloatingPointError when the loss is
    no longer finite.
    """
    torch.manual_seed(seed if init_seed is None else init_seed)
    model = GPT(spec, config.implementation).to(device)
    optimizer = adamw(model, config)
    steps = config.steps(spec.seq)
    batches = data_order(tokens, spec.seq, config.batch, seed)
    every = max(1, steps // CURVE_POINTS)
    running = torch.zeros((), device=device)
    curve: list[tuple[int, float]] = []
    started = time.perf_counter()
    for step in range(1, steps + 1):
        set_lr(optimizer, config, step, steps)
        running += train_step(model, optimizer, next(batches).to(device), config.clip)
        if step % every == 0 or step == steps:  # the only place where the loop waits for the device
            mean = running.item() / (every if step % every == 0 else step % every)
            if not math.isfinite(mean):
                raise FloatingPointError(f"the loss is {mean} after {step} of {steps} steps")
            curve.append((step * config.batch * spec.seq, round(mean, 5)))
            running.zero_()
            if progress is not None:
                progress(step / steps)
    log = TrainLog(steps * config.batch * spec.seq, time.perf_counter() - started, tuple(curve), curve[-1][1])
    return model.eval(), log


def train_step(model: GPT, optimizer: torch.optim.Optimizer, batch: Tensor, clip: float) -> Tensor:
    """One optimizer step on `batch` (B, T + 1); returns the loss, detached, without waiting for the device."""
    loss = model.loss(batch[:, :-1], batch[:, 1:])
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), clip, foreach=True)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return loss.detach()


def adamw(model: GPT, config: TrainConfig) -> torch.optim.AdamW:
    """AdamW in torch's fused form; matrices decay, biases and norms do not."""
    decay = [p for p in model.parameters() if p.dim() >= 2]
    rest = [p for p in model.parameters() if p.dim() < 2]
    groups = [{"params": decay, "weight_decay": config.weight_decay}, {"params": rest, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=config.lr, betas=(config.beta1, config.beta2), eps=config.eps, fused=True)


def set_lr(optimizer: torch.optim.Optimizer, config: TrainConfig, step: int, steps: int) -> None:
    """Linear warm-up to `lr`, then a cosine down to `min_lr` of it at the last step (1 <= step <= steps)."""
    warmup = max(1, round(config.warmup * steps))
    if step <= warmup:
        factor = step / warmup
    else:
        done = (step - warmup) / max(1, steps - warmup)
        factor = config.min_lr + (1 - config.min_lr) * 0.5 * (1 + math.cos(math.pi * done))
    for group in optimizer.param_groups:
        group["lr"] = config.lr * factor


def data_order(tokens: NDArray[np.unsignedinteger], seq: int, batch: int, seed: int) -> Iterator[Tensor]:
    """Endless batches (batch, seq + 1) int64: the packed text cut into sequences, each epoch shuffled anew by `seed`.

    A sequence ends with the token that the next one begins with, so that every token is predicted once an epoch; each
    epoch starts its cuts at another offset.
    """
    if len(tokens) < seq + 1:
        raise UserError(
            f"the corpus has {len(tokens)} tokens, less than one sequence of {seq} + 1",
            hint="give a larger corpus or a smaller model.seq",
        )
    rng = np.random.default_rng(seed)
    rows: NDArray[np.int64] = np.empty(0, dtype=np.int64)
    while True:
        while len(rows) < batch:
            offset = int(rng.integers(0, min(seq, len(tokens) - seq)))
            starts = np.arange(offset, len(tokens) - seq, seq)
            rng.shuffle(starts)
            rows = np.concatenate((rows, starts))
        windows = rows[:batch, None] + np.arange(seq + 1)
        rows = rows[batch:]
        yield torch.from_numpy(tokens[windows].astype(np.int64))
