"""Training at nano scale: our loop in its forms, stacked seeds, and other people's loops, in turn in one process.

python -m benchsuite.studies.engine.nano_training          # two minutes on one core; writes the data beside this file
python -m benchsuite.studies.engine.nano_training table    # writes the table of the data beside it
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import stack_module_state
from torch.nn import functional

from benchsuite.measure import peer_models
from benchsuite.model import flops
from benchsuite.model.bridge import to_transformers
from benchsuite.model.gpt import GPT
from benchsuite.model.spec import ModelSpec
from benchsuite.pretrain.order import data_order
from benchsuite.pretrain.step import Objective, adamw, set_lr, train_step
from benchsuite.records.params import TrainConfig

DATA = Path("reports/engine/nano_training.json")  # from the root of a checkout
SPEC = ModelSpec(layers=3, width=96, heads=6, vocab=1024, seq=128)
CONFIG = TrainConfig(tokens=600_000, batch=4)
SEEDS = 5
PLAIN, ROUNDED = "a loop in nanoGPT's style", ", bfloat16"
ROUNDS, STEPS, WARM = 7, 10, 5  # steps of one model; the stacked ones are SEEDS models
TOKENS = np.random.default_rng(0).integers(0, SPEC.vocab, 200_000).astype(np.uint16)

SHAPES = [(512, 96, 384), (512, 384, 96), (512, 96, 1024), (96, 512, 384)]  # of products of a step, (M, K, N)

Turn = Callable[[int], float]  # takes so many steps and returns the seconds of one


def timed(step: Callable[[], object]) -> Turn:
    def turn(steps: int) -> float:
        started = time.perf_counter()
        for _ in range(steps):
            step()
        return (time.perf_counter() - started) / steps

    return turn


def batches(seed: int, size: int = CONFIG.batch) -> Iterator[Tensor]:
    return data_order(TOKENS, SPEC.seq, iter(lambda: size, 0), seed)


def ours(implementation: str, *, precision: str = "float32", compile: bool = False, batch: int = CONFIG.batch) -> Turn:
    """Return what `train` does in a step: data, learning rate, gradient, clipping, AdamW."""
    config = TrainConfig(tokens=CONFIG.tokens, batch=batch, precision=precision, implementation=implementation)
    model = GPT(SPEC, implementation)
    optimizer, data = adamw(model.parameters(), config), batches(0, batch)
    objective = torch.compile(Objective(model), dynamic=False) if compile else Objective(model)
    seen = iter(range(batch, 10**9, batch))

    def step() -> object:
        set_lr(optimizer, config, next(seen), config.tokens // SPEC.seq)
        return train_step(objective, optimizer, (next(data),), config)

    return timed(step)


class Stacked:
    """SEEDS models as one: weights with a leading dimension, a batch for each, the gradient of each clipped alone.

    Written out, because vmap runs the attention of one model after the other.
    """

    def __init__(self) -> None:
        models = []
        for seed in range(SEEDS):
            torch.manual_seed(seed)
            models.append(GPT(SPEC, "sdpa"))
        stacked, _ = stack_module_state(list[nn.Module](models))
        self.p = {name: stacked[name].detach().requires_grad_() for name, _ in models[0].named_parameters()}
        decay = [p for p in self.p.values() if p.dim() >= 3]
        rest = [p for p in self.p.values() if p.dim() < 3]
        groups = [{"params": decay, "weight_decay": CONFIG.weight_decay}, {"params": rest, "weight_decay": 0.0}]
        betas = (CONFIG.beta1, CONFIG.beta2)
        self.optimizer = torch.optim.AdamW(groups, lr=CONFIG.lr, betas=betas, eps=CONFIG.eps, fused=True)
        self.data = [batches(seed) for seed in range(SEEDS)]
        first = [next(batches(seed)) for seed in range(SEEDS)]
        alone = torch.stack([m.loss(x[:, :-1], x[:, 1:]) for m, x in zip(models, first, strict=True)])
        torch.testing.assert_close(self.losses(torch.stack(first)), alone)

    def losses(self, batch: Tensor) -> Tensor:
        """One for each seed, of tokens (SEEDS, B, T + 1)."""
        S, B, T, C, H = SEEDS, batch.shape[1], batch.shape[2] - 1, SPEC.width, SPEC.heads
        table = self.p["embedding.weight"]
        places = batch[..., :-1] + SPEC.vocab * torch.arange(S).view(S, 1, 1)
        x = functional.embedding(places, table.flatten(0, 1)) + self.p["position.table.weight"].unsqueeze(1)
        x = x.view(S, B * T, C)
        for block in (f"blocks.{number}." for number in range(SPEC.layers)):
            qkv = self._linear(block + "attention.qkv", self._norm(block + "attention_norm", x))
            q, k, v = qkv.view(S * B, T, 3, H, C // H).permute(2, 0, 3, 1, 4).unbind(0)
            y = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + self._linear(block + "attention.out", y.transpose(1, 2).reshape(S, B * T, C))
            up = self._linear(block + "ffn.up", self._norm(block + "ffn_norm", x))
            x = x + self._linear(block + "ffn.down", functional.gelu(up, approximate="tanh"))
        logits = torch.bmm(self._norm("final_norm", x), table.transpose(1, 2)).flatten(0, 1)
        return functional.cross_entropy(logits, batch[..., 1:].flatten(), reduction="none").view(S, -1).mean(1)

    def _norm(self, name: str, x: Tensor) -> Tensor:
        weight, bias = self.p[name + ".weight"].unsqueeze(1), self.p[name + ".bias"].unsqueeze(1)
        return torch.addcmul(bias, functional.layer_norm(x, x.shape[-1:], eps=SPEC.norm_eps), weight)

    def _linear(self, name: str, x: Tensor) -> Tensor:
        return torch.baddbmm(self.p[name + ".bias"].unsqueeze(1), x, self.p[name + ".weight"].transpose(1, 2))

    def step(self) -> Tensor:
        losses = self.losses(torch.stack([next(data) for data in self.data]))
        losses.sum().backward()
        with torch.no_grad():
            grads = [p.grad for p in self.p.values() if p.grad is not None]
            norms = torch.stack([g.flatten(1).norm(dim=1) for g in grads]).norm(dim=0)
            factor = (CONFIG.clip / (norms + 1e-6)).clamp(max=1.0)
            for g in grads:
                g *= factor.view(-1, *[1] * (g.dim() - 1))
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return losses.detach()


def plain_loop(peer: str, precision: str = "float32") -> Turn:
    model, loss = peer_models.loss_function(peer, GPT(SPEC, "eager"))

    def rounded(batch: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=precision != "float32"):
            return loss(batch)

    step, data = peer_models.step_function(model, rounded, CONFIG), batches(0)
    return timed(lambda: step(next(data)))


def transformers_trainer() -> Turn:
    """transformers' Trainer with its own data loader, as its users would call it; start and first steps not counted."""
    import transformers
    from transformers import Trainer, TrainerCallback, TrainingArguments

    transformers.logging.set_verbosity_error()
    model: nn.Module = to_transformers(GPT(SPEC, "sdpa")).train()
    rows = torch.cat([batch for batch, _ in zip(batches(0), range(400), strict=False)])
    items = [{"input_ids": row[:-1], "labels": row[:-1]} for row in rows]

    class Clock(TrainerCallback):
        ends: ClassVar[list[float]] = []

        def on_step_end(self, *_: Any, **__: Any) -> None:
            self.ends.append(time.perf_counter())

    def turn(steps: int) -> float:
        with tempfile.TemporaryDirectory() as folder:
            options = TrainingArguments(
                output_dir=folder, per_device_train_batch_size=CONFIG.batch, max_steps=WARM + steps,
                learning_rate=CONFIG.lr, weight_decay=CONFIG.weight_decay, max_grad_norm=CONFIG.clip,
                adam_beta1=CONFIG.beta1, adam_beta2=CONFIG.beta2, lr_scheduler_type="cosine", use_cpu=True,
                save_strategy="no", logging_strategy="no", report_to=[], disable_tqdm=True,
            )  # fmt: skip
            Clock.ends = []
            Trainer(model=model, args=options, train_dataset=items, callbacks=[Clock()]).train()
        return (Clock.ends[-1] - Clock.ends[WARM - 1]) / steps

    return turn


def product(*shape: int, stacked: bool) -> Turn:
    """SEEDS products (M, K) x (K, N): in turn, or as one bmm; seconds of one."""
    M, K, N = shape
    a, b, out = torch.randn(SEEDS, M, K), torch.randn(SEEDS, K, N), torch.empty(SEEDS, M, N)
    if stacked:
        one = timed(lambda: torch.bmm(a, b, out=out))
    else:
        one = timed(lambda: [torch.mm(x, y, out=z) for x, y, z in zip(a, b, out, strict=True)])
    return lambda steps: one(10 * steps) / SEEDS


def in_turn(ways: dict[str, Turn]) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {name: [] for name in ways}
    for turn in ways.values():
        turn(WARM)
    for number in range(ROUNDS):
        for name in ways if number % 2 == 0 else reversed(ways):
            found[name].append(ways[name](STEPS))
    return found


def median_ratio(theirs: Sequence[float], mine: Sequence[float]) -> str:
    ratios = sorted(t / m for t, m in zip(theirs, mine, strict=True))
    return f"{np.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"


def measure() -> None:
    torch.set_num_threads(1)
    stacked, wide = timed(Stacked().step), ours("sdpa", batch=SEEDS * CONFIG.batch)
    seeds = f"{SEEDS} seeds stacked"
    ways: dict[str, Turn] = {
        PLAIN: plain_loop("nanogpt"),
        f"{PLAIN}{ROUNDED}": plain_loop("nanogpt", "bfloat16"),
        "the same, model compiled": plain_loop("nanogpt-compile"),
        "transformers' GPT-2 in a plain loop": plain_loop("transformers"),
        "transformers' Trainer": transformers_trainer(),
        "ours, sdpa": ours("sdpa"),
        "ours, fused": ours("fused"),
        "ours, sdpa, compiled": ours("sdpa", compile=True),
        "ours, fused, compiled": ours("fused", compile=True),
        f"ours, sdpa{ROUNDED}": ours("sdpa", precision="bfloat16"),
        f"ours, fused{ROUNDED}": ours("fused", precision="bfloat16"),
        f"ours, sdpa, {seeds}": lambda steps: stacked(max(1, steps // SEEDS)) / SEEDS,
        f"ours, sdpa, one model at batch {SEEDS * CONFIG.batch}": lambda steps: wide(max(1, steps // SEEDS)) / SEEDS,
    }
    times = in_turn(ways)
    products = {
        f"{'bmm' if s else 'mm'} {shape}": product(*shape, stacked=s) for shape in SHAPES for s in (False, True)
    }
    document = {"steps": times, "products": in_turn(products)}
    DATA.write_text(json.dumps(document) + "\n")


def table() -> None:
    document = json.loads(DATA.read_text())
    times, product_times = document["steps"], document["products"]
    work, batch = flops.step_flops(SPEC, CONFIG.batch, SPEC.seq), CONFIG.batch * SPEC.seq
    base, rounded = times[PLAIN], times[f"{PLAIN}{ROUNDED}"]
    lines = [
        "# Training at nano scale",
        "",
        f"One step of {batch} tokens, {work / 1e9:.2f} GFLOP, the model of `nano`; one thread, all in one process",
        f"in turn, {ROUNDS} rounds of {STEPS} steps in alternating order; made by",
        "`python -m benchsuite.studies.engine.nano_training`. Medians; ratios are within a round, with their range.",
        f"What is stacked or wide is given for one of the {SEEDS} batches.",
        "",
        "| | ms a step | tokens/s | GFLOP/s | times as fast as nanoGPT's loop | in the same precision |",
        "|---|---|---|---|---|---|",
    ]
    for name, values in times.items():
        t = float(np.median(values))
        figures = f"{1e3 * t:.1f} | {batch / t:,.0f} | {work / t / 1e9:.0f}"
        alike = median_ratio(rounded if name.endswith(ROUNDED) else base, values)
        lines.append(f"| {name} | {figures} | {median_ratio(base, values)} | {alike} |")
    lines += [
        "",
        f"What stacking rests on: {SEEDS} products as one `bmm` instead of {SEEDS} `mm`, GFLOP/s of float32.",
        "",
        "| M, K, N | mm | bmm |",
        "|---|---|---|",
    ]
    rates: list[list[float]] = []
    for shape in SHAPES:
        rates.append([2 * np.prod(shape) / np.median(product_times[f"{kind} {shape}"]) / 1e9 for kind in ("mm", "bmm")])
        lines.append(f"| {', '.join(map(str, shape))} | {rates[-1][0]:.0f} | {rates[-1][1]:.0f} |")
    best = max(rate for pair in rates for rate in pair)
    ceiling = best * 1e9 * float(np.median(base)) / work
    lines += [
        "",
        f"At {best:.0f} GFLOP/s throughout, and with nothing else to do, a float32 step would take {1 / ceiling:.0%}",
        "of the time of nanoGPT's loop (attention counts its masked half too). One model at the batch of all seeds has",
        "the same arithmetic in a fifth of the calls: about the most that stacking could save.",
    ]
    DATA.with_suffix(".md").write_text("\n".join([*lines, ""]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", nargs="?", choices=("measure", "table"), default="measure")
    if parser.parse_args().command == "measure":
        measure()
    table()


if __name__ == "__main__":
    main()
