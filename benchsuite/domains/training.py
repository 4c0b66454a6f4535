"""Train an architecture on a task by a rule: the same loop and the same search for every rule.

The search trains once with each of the given multiples of the recipe's learning rate and of its regularisation, and
keeps the training that scored best on validation data at its best moment; what it scores on the test data at that
moment is the result. So the choice costs each rule the same number of trainings, and no test data.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from benchsuite.domains.recipes import Recipe
from benchsuite.domains.tasks import Learnable, ViewSynthesis
from benchsuite.learning import Learner, attach


@dataclass(frozen=True)
class Trained:
    """One training: `validation` and `test` are scores at the step `best_step`; the curve has (step, validation score)
    pairs. `diverged_at` is the step whose loss was not finite, which ends a training."""

    recipe: Recipe
    validation: float
    test: dict[str, float]
    best_step: int
    steps: int
    curve: list[tuple[int, float]]
    time_s: float
    diverged_at: int | None = None
    angles: dict[str, float] = field(default_factory=dict)  # of dfa, by feedback point: cosine with the true gradient
    pictures: dict[str, str] = field(default_factory=dict)


def step_function(
    task: Learnable, model: nn.Module, recipe: Recipe, rule: str, seed: int
) -> tuple[Callable[[Any], Tensor], Learner]:
    """A function that takes one training step on a batch and returns the loss, and the rule's learner."""
    learner = attached(model, rule, seed)
    optimizer = torch.optim.Adam(model.parameters(), recipe.lr, weight_decay=recipe.weight_decay)

    def step(batch: Any) -> Tensor:
        optimizer.zero_grad(set_to_none=True)
        loss = task.loss(model, batch)
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step, learner


def attached(model: nn.Module, rule: str, seed: int) -> Learner:
    """The learner of a model of `benchsuite.domains`, which names its feedback points."""
    return attach(model, tuple(model.points), rule, seed=seed)  # type: ignore[arg-type]


def train(
    task: Learnable,
    architecture: str,
    recipe: Recipe,
    rule: str,
    seed: int,
    progress: Callable[[float], None] = lambda done: None,
) -> Trained:
    """One training at `seed`, scored on validation data every `recipe.every` steps and before the first."""
    torch.manual_seed(seed)
    model = task.model(architecture, recipe)
    step, learner = step_function(task, model, recipe, rule, seed)
    started = time.perf_counter()
    curve: list[tuple[int, float]] = []
    best: tuple[float, int, dict[str, float]] | None = None
    pictures: dict[str, str] = {}
    diverged_at, number = None, 0
    for number, batch in enumerate(task.batches(recipe)):
        if number % recipe.every == 0 or number == recipe.steps:
            with evaluation(model):
                found = next(iter(task.scores(model, "validation").values()))
                curve.append((number, found))
                if best is None or found > best[0]:
                    best = found, number, task.scores(model, "test")
                    pictures = task.pictures(model) if isinstance(task, ViewSynthesis) else {}
            if number - best[1] >= recipe.patience * recipe.every:
                break
        if number == recipe.steps:
            break
        if not torch.isfinite(step(batch)):
            diverged_at = number
            break
        progress((number + 1) / recipe.steps)
    time_s = time.perf_counter() - started
    batch = next(task.batches(recipe))
    angles = dict(learner.angles(lambda: task.loss(model, batch))) if rule == "dfa" and diverged_at is None else {}
    learner.close()
    assert best is not None
    return Trained(recipe, best[0], best[2], best[1], number, curve, time_s, diverged_at, angles, pictures)


class evaluation:  # noqa: N801 - a context, as torch.no_grad
    """Without gradients, dropout and running statistics; the random numbers of training go on as if nothing had
    been."""

    def __init__(self, model: nn.Module) -> None:
        self.model, self.no_grad = model, torch.no_grad()

    def __enter__(self) -> None:
        self.state = torch.get_rng_state()
        self.model.eval()
        self.no_grad.__enter__()

    def __exit__(self, *error: Any) -> None:
        self.no_grad.__exit__(*error)
        self.model.train()
        torch.set_rng_state(self.state)


@dataclass(frozen=True)
class Searched:
    """The chosen training, and (learning rate, multiple of the regularisation, validation score) of all."""

    best: Trained
    tried: list[tuple[float, float, float]]
    time_s: float


def search(
    task: Learnable,
    architecture: str,
    recipe: Recipe,
    rule: str,
    seed: int,
    rates: Sequence[float] = (1.0,),
    regularisation: Sequence[float] = (1.0,),
    progress: Callable[[float], None] = lambda done: None,
) -> Searched:
    """Train with every pair of multiples at `seed` and keep the best on validation data."""
    started = time.perf_counter()
    pairs = list(itertools.product(rates, regularisation))
    found: list[Trained] = []
    for number, pair in enumerate(pairs):
        told = lambda done, number=number: progress((number + done) / len(pairs))  # noqa: E731
        found.append(train(task, architecture, recipe.scaled(*pair), rule, seed, told))
    tried = [(one.recipe.lr, pair[1], one.validation) for one, pair in zip(found, pairs, strict=True)]
    return Searched(max(found, key=lambda one: one.validation), tried, time.perf_counter() - started)
