"""Other people's training steps, to measure ours against: transformers' GPT-2 in a plain loop, and a loop in nanoGPT's
style.

Each trains the baseline of the original study (learned positions, GELU) at the shape of the case, from the same
weights as ours, with the optimizer that its users would take; a suffix `-compile` puts the model under torch.compile.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchsuite.model.gpt import GPT
from benchsuite.records.params import TrainConfig

PEERS = ("transformers", "transformers-compile", "nanogpt", "nanogpt-compile")


def loss_function(implementation: str, ours: GPT) -> tuple[nn.Module, Callable[[Tensor], Tensor]]:
    """The peer's model with the weights of `ours`, and its loss for a batch (B, T + 1)."""
    if implementation.startswith("transformers"):
        from benchsuite.model.bridge import to_transformers  # two seconds, which nobody else shall wait

        theirs = to_transformers(ours).train()
        run = torch.compile(theirs, dynamic=False) if implementation.endswith("-compile") else theirs
        return theirs, lambda batch: _logits_loss(run(batch[:, :-1]).logits, batch[:, 1:])
    nano = NanoGPT(ours)
    run = torch.compile(nano, dynamic=False) if implementation.endswith("-compile") else nano
    return nano, lambda batch: run(batch[:, :-1], batch[:, 1:])


def step_function(
    model: nn.Module, loss: Callable[[Tensor], Tensor], config: TrainConfig
) -> Callable[[Tensor], Tensor]:
    """A plain loop's step: AdamW as torch gives it by default, clipping, gradients set to None."""
    decay = [p for p in model.parameters() if p.dim() >= 2]
    rest = [p for p in model.parameters() if p.dim() < 2]
    groups = [{"params": decay, "weight_decay": config.weight_decay}, {"params": rest, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=config.lr, betas=(config.beta1, config.beta2), eps=config.eps)

    def step(batch: Tensor) -> Tensor:
        value = loss(batch)
        value.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), config.clip)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return value.detach()

    return step


def _logits_loss(logits: Tensor, targets: Tensor) -> Tensor:
    return functional.cross_entropy(logits.flatten(0, 1), targets.flatten())


class NanoGPT(nn.Module):
    """A GPT-2 as small code bases write it: torch modules, scaled_dot_product_attention, one loss in forward."""

    def __init__(self, ours: GPT) -> None:
        super().__init__()
        spec = ours.spec
        self.wte = nn.Embedding(spec.vocab, spec.width)
        self.wpe = nn.Embedding(spec.seq, spec.width)
        self.blocks = nn.ModuleList(NanoBlock(spec.width, spec.heads) for _ in range(spec.layers))
        self.ln_f = nn.LayerNorm(spec.width)
        self.lm_head = nn.Linear(spec.width, spec.vocab, bias=False)
        self.lm_head.weight = self.wte.weight
        # Module by module in the same order, so the parameters pair up.
        with torch.no_grad():
            for mine, yours in zip(self.parameters(), ours.parameters(), strict=True):
                mine.copy_(yours)

    def forward(self, tokens: Tensor, targets: Tensor) -> Tensor:
        positions = torch.arange(tokens.shape[1], device=tokens.device)
        x = self.wte(tokens) + self.wpe(positions)
        for block in self.blocks:
            x = block(x)
        logits = self.lm_head(self.ln_f(x))
        return functional.cross_entropy(logits.view(-1, logits.size(-1)), targets.reshape(-1))


class NanoBlock(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.ln_1 = nn.LayerNorm(width)
        self.c_attn = nn.Linear(width, 3 * width)
        self.c_proj = nn.Linear(width, width)
        self.ln_2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU("tanh"), nn.Linear(4 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        B, T, C = x.shape
        q, k, v = self.c_attn(self.ln_1(x)).split(C, dim=2)
        q, k, v = (part.view(B, T, self.heads, C // self.heads).transpose(1, 2) for part in (q, k, v))
        y = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.c_proj(y.transpose(1, 2).contiguous().view(B, T, C))
        return x + self.mlp(self.ln_2(x))
