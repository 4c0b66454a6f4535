"""The parameters of a trained model: of the kinds `quality`, `stability` and `search`. The seed is the replicate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from benchsuite.records.params.base import Params, Part, optional
from benchsuite.records.params.train import TrainConfig


@dataclass(frozen=True, kw_only=True)
class ModelParams(Part):
    """The shape and the variants of a model, by which `benchsuite.model.spec.ModelSpec` explains them. A rule of
    learning is written where it is not backpropagation, the place of the embedding norm where it matters."""

    layers: int
    width: int
    heads: int
    vocab: int
    seq: int
    activation: str
    position: str
    embedding_norm: str
    learning_rule: str = optional("backprop")
    matching: str
    embedding_norm_place: str | None = optional(None)


@dataclass(frozen=True, kw_only=True)
class CorpusParams(Part):
    """The text that a model reads; `content` hashes what the corpora are made from whose names do not say it."""

    name: str
    train_bytes: int
    seed: int
    content: Mapping[str, str | None] = optional({})


@dataclass(frozen=True, kw_only=True)
class HeldoutParams(Part):
    """The text that a model is evaluated on."""

    corpus: str
    bytes: int


@dataclass(frozen=True, kw_only=True)
class TokenizerParams(Part):
    """A byte-level BPE of `vocab` entries, trained on equal shares of `corpora`, `train_bytes` in all."""

    vocab: int
    corpora: tuple[str, ...]
    train_bytes: int


@dataclass(frozen=True, kw_only=True)
class TasksParams(Part):
    """The zero-shot tasks: `limit` documents of each, those in `names` or all. `version` is that of the tasks that the
    project brings with it; where languages are compared, each has its tasks, of the `corpus` in it."""

    source: str
    limit: int
    names: tuple[str, ...] | None
    version: float | None = optional(None)
    corpus: str | None = optional(None)
    languages: tuple[str, ...] = optional(())


@dataclass(frozen=True, kw_only=True)
class StageParams(Part):
    """A stage of a recipe: what it changes of `train`, and of which tasks it asks questions."""

    architecture: str = "causal"
    objective: str = "lm"
    train: Mapping[str, Any] = field(default_factory=dict)
    tasks: tuple[str, ...] = optional(())


@dataclass(frozen=True, kw_only=True)
class TrainingParams(Params):
    """Of a training, and of the evaluation after it.

    `init_offset` is added to the seed of the first weights. `longest` tokens are read beyond the training length.
    `learning_rate` are the ids of the cases that try multiples of the learning rate (`benchsuite.records.rates`).
    Without `stages` the model is a causal decoder trained by full language modelling.
    """

    model: ModelParams
    train: TrainConfig
    corpus: CorpusParams
    heldout: HeldoutParams
    tokenizer: TokenizerParams
    tasks: TasksParams
    init_offset: int
    longest: int | None = optional(None)
    learning_rate: Mapping[str, str] = optional({})
    stages: tuple[StageParams, ...] = optional(())

    @property
    def trains(self) -> tuple[TrainConfig, ...]:
        """The settings of each stage."""
        return tuple(replace(self.train, **stage.train) for stage in self.stages) or (self.train,)
