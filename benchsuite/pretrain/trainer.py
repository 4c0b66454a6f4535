"""The training loop: AdamW, linear warm-up and cosine, one order of the data for each seed.

    tokens = encode(tokenizer, corpus.train)
    model, log = train(spec, tokens, TrainConfig(tokens=500_000), seed=0)

Two models trained at the same seed see the same sequences in the same order, whatever their variants, so that seeds
pair. The same loop runs on one device and, started by torchrun, on many (`benchsuite.pretrain.ranks`).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchsuite.cache import digest
from benchsuite.errors import UserError
from benchsuite.model.encoder_decoder import build
from benchsuite.model.gpt import GPT
from benchsuite.model.spec import ModelSpec, untaught
from benchsuite.pretrain import objectives, shares, stability
from benchsuite.pretrain.objectives import Answers
from benchsuite.pretrain.order import data_order
from benchsuite.pretrain.ranks import Parallel, Ranks
from benchsuite.pretrain.snapshots import Snapshots
from benchsuite.pretrain.step import Objective, adamw, set_lr, teach, train_step
from benchsuite.records.params import TrainConfig

FIRST_SCALE = 2.0**12  # of float16's loss, as in the original study (`initial-loss-scale-power 12`)


@dataclass(frozen=True)
class TrainLog:
    """The log of a training. `curve` holds (tokens seen, loss in nats averaged since the last point); `stability` is
    that of `benchsuite.pretrain.stability.summary`. Of the tokens seen `text_tokens` were text and `scored_tokens`
    were predicted for the loss, both averaged over the objective's rows."""

    tokens: int
    time_s: float
    curve: tuple[tuple[int, float], ...]
    final_loss: float
    stability: dict[str, Any]
    text_tokens: int
    scored_tokens: int

    @property
    def tokens_per_s(self) -> float:
        return self.tokens / self.time_s


class Diverged(FloatingPointError):  # noqa: N818 - what a training came to
    """The loss is no longer finite; `stability` says what came before."""

    def __init__(self, message: str, stability: dict[str, Any]) -> None:
        super().__init__(message)
        self.stability = stability


CURVE_POINTS = 50


def train(
    spec: ModelSpec,
    tokens: NDArray[np.unsignedinteger],
    config: TrainConfig,
    *,
    seed: int,
    init_seed: int | None = None,
    device: str = "cpu",
    ranks: Ranks | None = None,
    parallel: Parallel = "ddp",
    snapshots: Snapshots | None = None,
    progress: Callable[[float], None] | None = None,
    objective: str = "lm",
    answers: Answers | None = None,
    start: GPT | None = None,
) -> tuple[GPT, TrainLog]:
    """Train a model of `spec` on packed `tokens` and return it in evaluation mode with its log.

    `seed` fixes the order of the data and, unless `init_seed` is given, the first weights. `progress` is called with
    the fraction done. With `snapshots` an interrupted training continues from the last one, and ends with the same
    weights to the bit on a CPU. With `ranks` this process is one of several.

    `objective` is one of `benchsuite.pretrain.objectives`, of which `multitask` reads `answers` instead of the text.
    The first weights are those of `start`, if one is given: a model of this shape, whose mask may be another.
    Raises UserError where `tokens` hold less than one sequence, Diverged when the loss is no longer finite.
    """
    ranks = ranks or Ranks(device=device)
    if (reason := untaught(spec.learning_rule, spec.architecture, objective)) is not None:
        raise UserError(reason, hint="choose the learning rule backprop, or the objective lm")
    shares.check_rule(spec.learning_rule, ranks.size)
    sizes = config.sizes(spec.seq)
    share = ranks.share(sizes, config.micro_batch)
    torch.manual_seed(seed if init_seed is None else init_seed)
    model = build(spec, config.implementation).to(ranks.device)
    if start is not None:
        model.load_state_dict(start.state_dict())
    model.recompute = config.recompute
    counts = objectives.counts(objective, spec.seq, answers)
    module = Objective(model, None if objective == "lm" else counts.scored)
    learner = teach(module, seed if init_seed is None else init_seed)
    loss = ranks.spread(module, parallel)
    optimizer = adamw(loss.parameters(), config)
    scaler = torch.amp.GradScaler(
        ranks.device.partition(":")[0], init_scale=FIRST_SCALE, enabled=config.precision == "float16"
    )
    steps = _Steps()
    done = 0
    if snapshots is not None:
        about = {"spec": spec.to_json(), "config": asdict(config), "seed": seed, "init_seed": init_seed}
        about |= {"objective": objective} if objective != "lm" else {}
        snapshots.open(ranks, about | {"text": digest([len(tokens), tokens[: 1 << 16].tolist()])})
        done, before = snapshots.restore(ranks, loss, optimizer, scaler)
        steps = _Steps(**before)
    if config.compile and objective != "lm":
        raise UserError(f"{objective} has rows of many shapes, which torch.compile would compile one by one",
                        hint="set train.compile: false")  # fmt: skip
    call = torch.compile(loss, dynamic=False) if config.compile else loss
    if answers is not None:
        batches = answers.rows(sizes, seed, share)
    elif objective == "lm":
        batches = data_order(tokens, spec.seq, sizes, seed, share)
    else:
        batches = objectives.rows(objective, tokens, spec.seq, spec.vocab, sizes, seed, share)
    for _ in range(done):
        next(batches)
    every = max(1, len(sizes) // CURVE_POINTS)
    seen, total = sum(sizes[:done]), config.decay_tokens // spec.seq or sum(sizes)
    started = time.perf_counter() - steps.time_s
    for step, size in enumerate(sizes[done:], done + 1):
        seen += size
        set_lr(optimizer, config, seen, total)
        batch = next(batches).to(ranks.device)
        steps.add(*train_step(call, optimizer, batch.split(config.micro_batch or len(batch)), config, scaler))
        snap = snapshots is not None and step % snapshots.every == 0 and step < len(sizes)
        if snap or step % every == 0 or step == len(sizes):  # the only place where the loop waits for the device
            steps.collect(ranks)
            if not math.isfinite(steps.losses[-1]):
                told = stability.summary(steps.losses, steps.norms, config.batch * spec.seq)
                raise Diverged(f"the loss is {steps.losses[-1]} after {step} of {len(sizes)} steps", told)
            if progress is not None:
                progress(step / len(sizes))
        if snapshots is not None and snap:
            steps.time_s = time.perf_counter() - started
            snapshots.save(ranks, step, loss, optimizer, scaler, steps.to_json())
    time_s = time.perf_counter() - started
    learner.close()
    told = stability.summary(steps.losses, steps.norms, config.batch * spec.seq)
    curve = _curve(steps.losses, sizes, every, spec.seq)
    log = TrainLog(
        seen * spec.seq, time_s, curve, curve[-1][1], told, round(seen * counts.text), round(seen * counts.scored)
    )
    return ranks.whole(model).eval(), log


class _Steps:
    """Loss and gradient norm of every step; the newest stay on the device until they are collected."""

    def __init__(self, losses: Sequence[float] = (), norms: Sequence[float] = (), time_s: float = 0.0) -> None:
        self.losses, self.norms, self.time_s = list(losses), list(norms), time_s
        self._pending: list[Tensor] = []

    def add(self, loss: Tensor, norm: Tensor) -> None:
        self._pending.append(torch.stack((loss, norm)))

    def collect(self, ranks: Ranks) -> None:
        """Wait for the device; losses become those of all processes."""
        if self._pending:
            for loss, norm in ranks.mean(torch.stack(self._pending)).tolist():
                self.losses.append(loss)
                self.norms.append(norm)
            self._pending.clear()

    def to_json(self) -> dict[str, Any]:
        return {"losses": self.losses, "norms": self.norms, "time_s": self.time_s}


def _curve(losses: Sequence[float], sizes: Sequence[int], every: int, seq: int) -> tuple[tuple[int, float], ...]:
    """(tokens seen, mean loss since the point before) after every so many steps and at the end."""
    seen = np.cumsum(sizes) * seq
    ends = [*range(every, len(losses), every), len(losses)]
    starts = [0, *ends[:-1]]
    return tuple((int(seen[b - 1]), round(float(np.mean(losses[a:b])), 5)) for a, b in zip(starts, ends, strict=True))
