"""Worlds of zero-shot accuracy: how often does the interval of a delta hold the true one, row by row?

A model's accuracy on a task is 0.5 + its seeds' shift; a document adds its difficulty, and answers are drawn. All
figures are points of accuracy.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from benchsuite.stats.layout import Layout, fit
from benchsuite.stats.quality import compare_quality

# Between five seeds of nine models of `nano`: from 1.15 to 6.4 points (reports/nano).
UNEQUAL = (3.9, 1.15, 1.29, 2.5, 3.5, 4.5, 5.61, 6.06, 6.39)
EQUAL = (3.9,) * 9
FEELING = (0.0, 2.0, 0.0, 0.5, 1.5, 0.0, 2.0, 1.0, 0.25)  # of the seed's data; the baseline is the first


@dataclass(frozen=True, kw_only=True)
class World:
    """spreads  standard deviation between seeds of each model, the baseline first. law  of a seed's shift: bimodal is a
    model that in three seeds of ten makes a leap. felt  the standard deviation of what a seed's data do, times
    `FEELING`. documents  of each task. questions  distinct ones among a task's documents: all where it is None."""

    spreads: tuple[float, ...] = EQUAL
    law: Literal["normal", "t3", "bimodal"] = "normal"
    felt: float = 0.0
    documents: tuple[int, ...] = (300,) * 5
    questions: int | None = None
    seeds: int = 3


def covered(world: World, rng: np.random.Generator) -> np.ndarray:
    """Return for each variant of one draw whether its interval holds the true delta, which is 0: (2, variants), first
    for our interval, then for that of one variance for all models, as a yardstick."""
    models, seeds = len(world.spreads), world.seeds
    shifts = np.array(world.spreads)[:, None] * _drawn(world.law, (models, seeds), rng)
    shifts += np.array(FEELING)[:, None] * rng.normal(0, world.felt, seeds)
    shifts += rng.normal(0, 1.0, seeds)  # felt by all alike
    tasks = [_answers(0.5 + shifts / 100, count, world.questions or count, rng) for count in world.documents]
    means = np.mean([task.mean(axis=2) for task in tasks], axis=0)
    layout = fit({(str(m), s): float(y) for (m, s), y in np.ndenumerate(means)})
    assert layout is not None
    pooled = _Pooled(residual_variance=layout.residual_variance, degrees_of_freedom=layout.degrees_of_freedom)
    hits = np.zeros((2, models - 1), dtype=bool)
    for model in range(1, models):
        differences = [task[model] - task[0] for task in tasks]
        for row, spread in enumerate((layout, pooled)):
            delta = compare_quality(differences, spread, step=1).delta
            hits[row, model - 1] = delta.low is not None and delta.high is not None and delta.low <= 0 <= delta.high
    return hits


class _Pooled(Layout):
    """The variance of all models for every comparison, as `Layout` was before it knew the pair's own."""

    def of_mean(self, differences: np.ndarray, weight: float = 2.0) -> tuple[float, float]:
        return weight * self.residual_variance / len(differences), self.degrees_of_freedom


def _drawn(law: str, shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Shifts of mean 0 and variance 1."""
    if law == "t3":
        return rng.standard_t(3, shape) / 3**0.5
    if law == "bimodal":
        return ((rng.random(shape) < 0.3) - 0.3) / 0.21**0.5
    return rng.normal(size=shape)


def _answers(chance: np.ndarray, documents: int, questions: int, rng: np.random.Generator) -> np.ndarray:
    """Shares of right answers, (models, seeds, questions), of the documents that ask a question. Each model finds a
    question hard in its own way, and documents that ask the same are answered alike but for a tenth."""
    difficulty = rng.uniform(-0.2, 0.2, questions) + rng.uniform(-0.2, 0.2, (len(chance), 1, questions))
    right = rng.random((*chance.shape, questions), dtype=np.float32) < chance[..., None] + difficulty
    if documents == questions:
        return right.astype(float)
    flipped = rng.binomial(documents // questions, 0.1, right.shape) / (documents // questions)
    return np.abs(right - flipped)
