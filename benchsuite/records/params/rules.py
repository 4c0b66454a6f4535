"""The parameters of learning rules on other domains: trainings, and their steps as something to time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from benchsuite.records.params.base import Params, TimedParams


@dataclass(frozen=True, kw_only=True)
class RuleParams(Params):
    """Of an `architecture` trained on a `task` by a `rule`, once for each pair of `rates` and `regularisation`, which
    are multiples of the recipe's. `data` is the folder of the published data, None for generated ones, of which `most`
    examples are read; `recipe` has the fields of `benchsuite.domains.recipes.Recipe`."""

    task: str
    architecture: str
    rule: str
    data: str | None
    most: int | None
    recipe: Mapping[str, Any]
    rates: tuple[float, ...]
    regularisation: tuple[float, ...]
    threads: int


@dataclass(frozen=True, kw_only=True)
class RuleStepParams(TimedParams):
    """Of one training step by a rule, at the recipe's own learning rate."""

    task: str
    architecture: str
    rule: str
    data: str | None
    most: int | None
    recipe: Mapping[str, Any]
