"""The parameters of learning rules on other domains: trainings, and their steps as something to time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from benchsuite.records.params.base import Params, TimedParams


@dataclass(frozen=True, kw_only=True)
class _TaughtParams(Params):
    """Of an `architecture` taught a `task` by a `rule`. `data` is the folder of the published data, None for generated
    ones, of which `most` examples are read; `recipe` has the fields of `benchsuite.domains.recipes.Recipe`."""

    task: str
    architecture: str
    rule: str
    data: str | None
    most: int | None
    recipe: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class RuleParams(_TaughtParams):
    """Of a training for each pair of `rates` and `regularisation`, which are multiples of the recipe's."""

    rates: tuple[float, ...]
    regularisation: tuple[float, ...]
    threads: int


@dataclass(frozen=True, kw_only=True)
class RuleStepParams(_TaughtParams, TimedParams):
    """Of one training step, at the recipe's own learning rate."""
