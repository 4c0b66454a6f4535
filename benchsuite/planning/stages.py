"""The stages of a training from the parameters of a case. No torch here, so that plans are made without it.

    for stage in of(case.typed): print(stage.spec.architecture, stage.objective, stage.train.tokens)

A case without `stages` has one: full language modelling with a causal decoder, at its `train`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from benchsuite.cache import digest
from benchsuite.model import flops
from benchsuite.model.spec import ModelSpec
from benchsuite.pretrain.gaps import corruption
from benchsuite.records.params import StageParams, TrainConfig, TrainingParams
from benchsuite.suite.schema import Recipe, Train

SEEDS_APART = 1_000_000  # a later stage does not read what the first one read, in the order in which it read it
QUESTION = 0.8  # of a row of multitask is given, roughly; the questions are not yet made when plans are


@dataclass(frozen=True)
class Stage:
    """A stage of training: on which objective, by which settings, on questions of which tasks.

    `identity` hashes all that decides the weights at its end, but for the seed.
    """

    spec: ModelSpec
    objective: str
    train: TrainConfig
    tasks: tuple[str, ...]
    identity: str
    number: int

    @property
    def flops(self) -> float:
        """Of one seed's training, averaged over its rows."""
        seq = self.spec.seq
        match self.objective:
            case "lm":
                given = 0
            case "prefix-lm":
                given = round(seq / 2)
            case "span-corruption":
                given = corruption(seq + 1).given
            case _:
                given = round(QUESTION * seq)
        return flops.step_flops(self.spec, 1, seq, given) / seq * self.train.tokens


def params_of(recipe: Recipe, train: Train) -> tuple[StageParams, ...]:
    """The stages of `recipe` as parameters of a case; of the suite's `train` they tell only what they change."""
    found = []
    for stage in recipe.stages:
        tokens = max(1, round(float(stage.tokens[:-1]) * train.tokens))
        changes = {"tokens": tokens, "batch": stage.batch, "lr": float(stage.lr[:-1]) * train.lr}
        if tokens != train.tokens:
            changes |= {"decay_tokens": 0, "ramp_tokens": 0}  # those of the whole are not those of a part
        told = {key: value for key, value in changes.items() if value is not None and value != getattr(train, key)}
        found.append(
            StageParams(architecture=stage.architecture, objective=stage.objective, train=told, tasks=stage.tasks or ())
        )
    return tuple(found)


def of(params: TrainingParams) -> tuple[Stage, ...]:
    """The stages of a case that trains a model."""
    return tuple(_of(params))


def _of(params: TrainingParams) -> Iterator[Stage]:
    model, told = ModelSpec.of_training(params), params.json()
    shared = {key: told[key] for key in ("model", "corpus", "tokenizer", "heldout", "init_offset", "device")}
    before: list[Any] = []
    for number, (stage, train) in enumerate(zip(params.stages or (StageParams(),), params.trains, strict=True)):
        spec = replace(model, architecture=stage.architecture, fills=stage.objective == "span-corruption")
        before.append([stage.architecture, stage.objective, train.json(), list(stage.tasks) or None])
        yield Stage(spec, stage.objective, train, stage.tasks, digest([shared, before], 16), number)


def last(params: TrainingParams) -> Stage:
    """The stage whose model is evaluated."""
    return of(params)[-1]
