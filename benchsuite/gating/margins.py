"""Read the slowdowns that a gate accepts, for all cases and for single ones."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, field_validator

from benchsuite.errors import UserError
from benchsuite.stats.decisions import Rule


class Own(BaseModel):
    """An entry of a margins file: the rule of the cases that match its pattern."""

    model_config = ConfigDict(extra="forbid")

    case: str
    margin: float | None = Field(None, ge=0, lt=1)
    catch: float | None = Field(None, gt=0, lt=1)
    floor_s: float | None = Field(None, ge=0, allow_inf_nan=False)

    @field_validator("margin", "catch", mode="before")
    @classmethod
    def _share(cls, value: Any) -> Any:
        return float(value.removesuffix("%")) / 100 if isinstance(value, str) and value.endswith("%") else value


@dataclass(frozen=True)
class Rules:
    """The rule of all cases and those of single ones. If several patterns match, the last one with a value counts."""

    default: Rule
    own: tuple[Own, ...] = ()

    @classmethod
    def read(cls, default: Rule, path: Path | None) -> Rules:
        """Read the margins of a YAML file: a list of {case: PATTERN, margin: 5%, catch: 10%, floor_s: 1e-5}. Raises
        UserError if it is not one."""
        if path is None:
            return cls(default)
        try:
            rows = yaml.safe_load(path.read_text(encoding="utf-8")) or []
            rules = cls(default, tuple(TypeAdapter(list[Own]).validate_python(rows)))
            for own in rules.own:
                rules.of(own.case)
        except (OSError, UnicodeDecodeError, yaml.YAMLError, ValueError) as error:
            told = " ".join(str(error).split())
            hint = "a list of {case: PATTERN, margin: 5%, catch: 10%, floor_s: 1e-5}"
            raise UserError(f"{path} gives no margins: {told}", hint=hint) from error
        return rules

    def of(self, label: str) -> Rule:
        """Return the rule of a case. Raises ValueError if its margin is not below the slowdown to catch."""
        said: dict[str, float] = {}
        for own in self.own:
            if _fits(label, own.case):
                said |= own.model_dump(exclude={"case"}, exclude_none=True)
        if "margin" in said and "catch" not in said:
            said["catch"] = max(self.default.catch, 2 * said["margin"])
        return replace(self.default, **said)

    def idle(self, labels: Iterable[str]) -> list[str]:
        """Return the patterns that match none of `labels`, which are probably misspelt."""
        known = list(labels)
        return [own.case for own in self.own if not any(_fits(label, own.case) for label in known)]


def _fits(label: str, pattern: str) -> bool:
    return label == pattern or fnmatch.fnmatchcase(label, pattern)
