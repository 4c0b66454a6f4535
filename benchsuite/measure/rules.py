"""Architectures of the four domains trained by a rule of learning, and one training step of each as something to
time."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchsuite.domains import tasks, training
from benchsuite.domains.recipes import Recipe
from benchsuite.measure import speed
from benchsuite.measure.subjects import Subject
from benchsuite.records.params import RuleParams, RuleStepParams


def train(params: dict[str, Any], *, seed: int, workdir: Path, progress: Callable[[float], None]) -> dict[str, Any]:
    """Search and train at `seed`; return a `benchsuite.records.results.RuleResult` as JSON."""
    case = RuleParams.read(params)
    task = tasks.load(case.task, case.data, most=case.most)
    recipe = Recipe(**case.recipe)
    found = training.search(task, case.architecture, recipe, case.rule, seed, case.rates, case.regularisation, progress)
    best = found.best
    told = {key: value for key, value in asdict(best).items() if key in ("validation", "best_step", "steps", "curve")}
    return {
        **told,
        "scores": best.test,
        "lr": best.recipe.lr,
        "parameters": sum(p.numel() for p in task.model(case.architecture, recipe).parameters()),
        "tried": [{"lr": lr, "regularisation": times, "validation": score} for lr, times, score in found.tried],
        "train_time_s": best.time_s,
        "search_time_s": found.time_s,
        "diverged_at": best.diverged_at,
        "angles": best.angles,
        "about": task.about(),
        "pictures": best.pictures or None,
        "context": {"threads": torch.get_num_threads(), "torch": torch.__version__},
    }


def step(params: dict[str, Any], *, first: bool = True, turns: dict[str, Any] | None = None) -> dict[str, Any]:
    """Measure a training step as `benchsuite.measure.speed.timed` does."""
    case = RuleStepParams.read(params)
    return speed.timed(case, functools.partial(_subject, case), first=first, turns=turns)


def _subject(params: RuleStepParams) -> Subject:
    """A step on the first batch. The loss at the first weights is checked against the same in float64; gradients are
    not, since a ReLU near its kink, and a bias before a batch norm, differ by more than rounding."""
    torch.manual_seed(0)
    task = tasks.load(params.task, params.data, most=params.most)
    recipe = Recipe(**params.recipe)
    model = task.model(params.architecture, recipe)
    batch = next(iter(task.batches(recipe)))
    plain = task.model(params.architecture, recipe.scaled(1.0, 0.0))  # dropout would draw other numbers in float64
    plain.load_state_dict(model.state_dict())
    step, _ = training.step_function(task, model, recipe, params.rule, 0)

    def loss(dtype: torch.dtype) -> list[Tensor]:
        with torch.no_grad():
            return [task.loss(copy.deepcopy(plain).to(dtype), batch)]

    return Subject(
        call=lambda: step(batch),
        results=lambda: loss(torch.float32),
        reference=lambda: loss(torch.float64),
        held=[*model.parameters(), *model.buffers()],
        clear=lambda: model.zero_grad(set_to_none=True),
        tokens=None,
        flops=None,
        bytes_moved=None,
    )
