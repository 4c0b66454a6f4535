"""The parameters of what is timed: layers and steps, operators and their checks, other people's code, tests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from benchsuite.records.params.base import Part, ProcessParams, TimedParams, optional


@dataclass(frozen=True, kw_only=True)
class ModelShape(Part):
    """The sizes of a layer or a model, and how many sequences it takes at once. A whole step says the `variants` of all
    components, and only where it differs from the default how a batch is computed: `micro_batch` sequences at a time,
    and with `recompute` from the inputs of blocks alone."""

    batch: int
    seq: int
    width: int
    heads: int
    vocab: int
    layers: int
    micro_batch: int | None = optional(None)
    recompute: bool = optional(False)
    variants: Mapping[str, str] | None = optional(None)

    @property
    def sizes(self) -> dict[str, Any]:
        """Those of a `benchsuite.model.spec.ModelSpec`."""
        return {name: getattr(self, name) for name in ("layers", "width", "heads", "vocab", "seq")}


@dataclass(frozen=True, kw_only=True)
class SpeedParams(TimedParams):
    """Of a layer (`scope` is layer) or a training step (step) of a model with the `variant` of `component`.

    `embedding_norm_place` is that of `benchsuite.model.spec.norm_place`; a `twin` is another process of the same step,
    with whose time that of the first is compared.
    """

    component: str
    variant: str
    shape: ModelShape
    matching: str
    embedding_norm_place: str | None = optional(None)
    twin: int = optional(0)


@dataclass(frozen=True, kw_only=True)
class EvaluationParams(TimedParams):
    """Of an evaluation, ours or another's, of so many `documents` of each task."""

    component: str
    variant: str
    shape: ModelShape
    documents: int


@dataclass(frozen=True, kw_only=True)
class Sizes(Part):
    """The sizes of an operator's tensors: those that mean something to it."""

    batch: int
    seq: int
    width: int
    heads: int | None = optional(None)
    vocab: int | None = optional(None)


@dataclass(frozen=True, kw_only=True)
class OperatorParams(TimedParams):
    """Of an operator (`variant`) at one shape."""

    component: str
    variant: str
    shape: Sizes


@dataclass(frozen=True, kw_only=True)
class CheckParams(OperatorParams):
    """Of an operator that is checked against float64 at several `shapes`, of which `shape` is the first, and not
    timed."""

    shapes: tuple[Sizes, ...]


@dataclass(frozen=True, kw_only=True)
class PytestParams(ProcessParams):
    """Of a pytest function: its node id, and the plain values that it is parametrized with. `folder` is where pytest
    runs and `source` a digest of the function's text: where the tests lie is no part of what is measured, and the text
    of a test is only looked at, so that the id has neither."""

    test: str
    folder: str
    source: str | None = None
    parameters: Mapping[str, str] = optional({})

    def identity(self) -> dict[str, Any]:
        """The JSON that the case's id hashes."""
        return {key: value for key, value in self.json().items() if key not in ("folder", "source")}
