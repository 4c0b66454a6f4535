"""The training recipe of each architecture: sizes, batches, steps, and the values that the search multiplies.

Two sizes of each: `nano` takes seconds on a CPU core with the generated tasks; `published` has the settings of the
original study's code where that states them (github.com/lightonai/dfa-scales-to-modern-deep-learning). torch-free.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from benchsuite.domains import ARCHITECTURES, TASKS
from benchsuite.errors import UserError


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A training of at most `steps` steps of `batch` examples (whole graphs have no batch) with Adam, scored on
    validation data every `every` steps; it ends early after `patience` scores without a better one. `sizes` are the
    architecture's own."""

    lr: float
    steps: int
    every: int
    batch: int = 0
    patience: int = 10**6
    weight_decay: float = 0.0
    dropout: float = 0.0
    sizes: Mapping[str, int] = field(default_factory=dict)

    def scaled(self, lr: float, regularisation: float) -> Recipe:
        """The recipe with its learning rate, and with its dropout and weight decay, times these factors."""
        return replace(
            self,
            lr=self.lr * lr,
            weight_decay=self.weight_decay * regularisation,
            dropout=self.dropout * regularisation,
        )

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "sizes": dict(self.sizes)}


_GRAPH = Recipe(lr=0.01, steps=200, every=4, weight_decay=5e-4, dropout=0.5, sizes={"width": 16, "layers": 2})
_LINKS = Recipe(lr=0.01, steps=200, every=4, sizes={"width": 32, "layers": 2, "latent": 16})
_CLICKS = Recipe(lr=1e-3, steps=400, every=50, batch=256, patience=6, sizes={"embedding": 8, "width": 64, "layers": 2})

NANO: dict[str, Recipe] = {
    "nerf": Recipe(
        lr=2e-3, steps=500, every=100, batch=192, sizes={"width": 64, "layers": 4, "samples": 24, "frequencies": 6}
    ),
    "deepfm": _CLICKS,
    "dcn": replace(_CLICKS, sizes={**_CLICKS.sizes, "crosses": 3}),
    "autoint": replace(_CLICKS, sizes={**_CLICKS.sizes, "attention": 16, "heads": 2, "attention_layers": 2}),
    "afn": replace(_CLICKS, sizes={**_CLICKS.sizes, "logarithms": 24}),
    "gcn": _GRAPH,
    "cheb": replace(_GRAPH, sizes={**_GRAPH.sizes, "hops": 2}),
    "spline": replace(_GRAPH, weight_decay=5e-3),
    "gat": replace(_GRAPH, lr=0.005, dropout=0.6, sizes={"width": 16, "layers": 2, "heads": 4}),
    "dna": replace(_GRAPH, lr=0.005, sizes={"width": 16, "layers": 3, "heads": 4, "groups": 4}),
}

_NODES = replace(_GRAPH, steps=250, every=2)
_IMPRESSIONS = replace(
    _CLICKS,
    lr=3e-4,
    steps=300_000,
    every=2000,
    batch=2048,
    patience=5,
    sizes={"embedding": 10, "width": 400, "layers": 3},
)
PUBLISHED: dict[str, Recipe] = {
    "nerf": Recipe(
        lr=5e-4,
        steps=200_000,
        every=5000,
        batch=1024,
        sizes={"width": 256, "layers": 8, "samples": 128, "frequencies": 10},
    ),
    "deepfm": replace(_IMPRESSIONS, dropout=0.5),
    "dcn": replace(_IMPRESSIONS, batch=512, sizes={"embedding": 16, "width": 1024, "layers": 2, "crosses": 6}),
    "autoint": replace(
        _IMPRESSIONS,
        sizes={"embedding": 16, "width": 400, "layers": 3, "attention": 32, "heads": 2, "attention_layers": 3},
    ),
    "afn": replace(_IMPRESSIONS, sizes={**_IMPRESSIONS.sizes, "logarithms": 1500}),
    "gcn": _NODES,
    "cheb": replace(_NODES, sizes={**_NODES.sizes, "hops": 2}),
    "spline": replace(_NODES, weight_decay=5e-3),
    "gat": replace(_NODES, lr=0.005, dropout=0.6, sizes={"width": 64, "layers": 2, "heads": 8}),
    "dna": replace(_NODES, lr=0.005, sizes={"width": 128, "layers": 5, "heads": 8, "groups": 16}),
}
SIZES = {"nano": NANO, "published": PUBLISHED}


def of(architecture: str, task: str, size: str) -> Recipe:
    """The recipe of an architecture on a task. Raises UserError where the architecture does not do such tasks."""
    domain = TASKS[task].domain
    if domain not in ARCHITECTURES[architecture].domains:
        raise UserError(f"{architecture} is no architecture for the task {task}", hint=f"it does {_does(architecture)}")
    found = SIZES[size][architecture]
    if domain == "links":  # the auto-encoder of the original study: no weight decay, a latent code of 16
        shape = {**found.sizes, **({} if architecture == "gat" else {"width": 32}), "latent": 16}
        found = replace(found, lr=_LINKS.lr, weight_decay=0.0, dropout=0.0, every=_LINKS.every, sizes=shape)
        found = replace(found, steps=400 if size == "published" else _LINKS.steps)
    return found


def _does(architecture: str) -> str:
    return ", ".join(name for name, task in TASKS.items() if task.domain in ARCHITECTURES[architecture].domains)
