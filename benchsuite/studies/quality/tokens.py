"""Worlds of learning curves: how often does the interval of a token ratio hold the true one?

    curve      the law of the baseline's bits per byte: a power law, one with a shoulder, or one that flattens
    spread     of a model's seeds, as a factor on its tokens: 0.05 is 5%
    seeds, budgets (multiples of the suite's), and the true multiples of tokens that variants are worth

Each document has a difficulty of its own, and another for each model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from benchsuite.stats.curve import Curve, Ratio, equal_tokens, layout_in_tokens, score

LAWS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "power law": lambda x: 0.2 + 0.17 * np.exp(-0.9 * x),
    "shoulder": lambda x: 0.25 + 0.12 * np.exp(-0.7 * x) + 0.15 / (1 + np.exp(4 * (x + 0.3))),
    "flattening": lambda x: 0.3 + 0.05 * np.exp(-1.4 * x),
}
DOCUMENTS = 150
WORTH = (0.5, 0.7, 0.85, 1.0, 1.0, 1.3, 1.7, 2.5, 0.4)  # the controls of known truth, then variants


@dataclass(frozen=True, kw_only=True)
class World:
    """See the module. `felt`: how much of a model's spread is the seed's data, which each model feels 0 to 2 times."""

    law: str = "power law"
    spread: float = 0.05
    seeds: int = 3
    budgets: tuple[float, ...] = (0.25, 0.5, 1.0, 2.0, 4.0)
    unequal: bool = False
    felt: float = 0.0
    worth: tuple[float, ...] = WORTH


def intervals(world: World, rng: np.random.Generator) -> Iterator[tuple[float, Ratio]]:
    """Yield (the true multiple, what the report would say) for every model of one draw of `world`."""
    sizes = len(world.budgets), len(world.worth)
    spreads = world.spread * (rng.uniform(0.3, 1.7, sum(sizes)) if world.unequal else np.ones(sum(sizes)))
    data = rng.normal(0, world.spread * world.felt, world.seeds)
    feeling = rng.uniform(0, 2, sum(sizes))
    places = np.log([*world.budgets, *world.worth])
    difficulty = rng.normal(0, 0.05, DOCUMENTS)
    models = []
    for place, spread, feels in zip(places, spreads, feeling, strict=True):
        shifts = place + rng.normal(0, spread, world.seeds) + feels * data
        own = rng.normal(0, 0.01, DOCUMENTS)
        noise = rng.normal(0, 0.01, (world.seeds, DOCUMENTS))
        models.append([LAWS[world.law](shifts)[:, None] + difficulty + own + noise])
    curve = Curve(world.budgets, models[: sizes[0]])
    scores = {(str(m), s): float(y) for m, parts in enumerate(models) for s, y in enumerate(score(parts))}
    layout = layout_in_tokens(curve, scores)
    for worth, parts in zip(world.worth, models[sizes[0] :], strict=True):
        yield worth, equal_tokens(parts, curve, layout)


def holds(truth: float, ratio: Ratio) -> bool:
    """Return True if the interval holds the truth; an open end holds all beyond it."""
    return (ratio.low <= truth or ratio.low_open) and (truth <= ratio.high or ratio.high_open)
