"""The stages of a training from the parameters of a case. No torch here, so that plans are made without it.

    for stage in of(case.params): print(stage.spec.architecture, stage.objective, stage.train["tokens"])

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
from benchsuite.suite.schema import Recipe, Train

SEEDS_APART = 1_000_000  # a later stage does not read what the first one read, in the order in which it read it
QUESTION = 0.8  # of a row of multitask is given, roughly; the questions are not yet made when plans are


@dataclass(frozen=True)
class Stage:
    """A stage of training: on which objective, by which recipe (the fields of TrainConfig), on questions of which
    tasks.

    `identity` hashes all that decides the weights at its end, but for the seed.
    """

    spec: ModelSpec
    objective: str
    train: dict[str, Any]
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
        return flops.step_flops(self.spec, 1, seq, given) / seq * self.train["tokens"]


def params_of(recipe: Recipe, train: Train) -> list[dict[str, Any]]:
    """The stages of `recipe` as parameters of a case; of the suite's `train` they tell only what they change."""
    found = []
    for stage in recipe.stages:
        tokens = max(1, round(float(stage.tokens[:-1]) * train.tokens))
        changes = {"tokens": tokens, "batch": stage.batch, "lr": float(stage.lr[:-1]) * train.lr}
        if tokens != train.tokens:
            changes |= {"decay_tokens": 0, "ramp_tokens": 0}  # those of the whole are not those of a part
        told = {key: value for key, value in changes.items() if value is not None and value != getattr(train, key)}
        tasks = {"tasks": list(stage.tasks)} if stage.tasks else {}
        found.append({"architecture": stage.architecture, "objective": stage.objective, "train": told, **tasks})
    return found


def of(params: dict[str, Any]) -> tuple[Stage, ...]:
    """The stages of a case that trains a model."""
    return tuple(_of(params))


def _of(params: dict[str, Any]) -> Iterator[Stage]:
    model = ModelSpec.from_json(params["model"])
    shared = {key: params[key] for key in ("model", "corpus", "tokenizer", "heldout", "init_offset", "device")}
    before: list[Any] = []
    for number, told in enumerate(params.get("stages") or [{}]):
        train = {**params["train"], **told.get("train", {})}
        architecture, objective = told.get("architecture", "causal"), told.get("objective", "lm")
        spec = replace(model, architecture=architecture, fills=objective == "span-corruption")
        before.append([architecture, objective, train, told.get("tasks")])
        yield Stage(spec, objective, train, tuple(told.get("tasks") or ()), digest([shared, before], 16), number)


def last(params: dict[str, Any]) -> Stage:
    """The stage whose model is evaluated."""
    return of(params)[-1]
