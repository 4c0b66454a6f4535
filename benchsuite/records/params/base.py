"""The base of the parameters of all kinds of case: they are read from JSON, and give the same JSON again."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Self

from pydantic import ConfigDict, TypeAdapter

from benchsuite.errors import UserError
from benchsuite.records.results import checked

LEFT_OUT = "left out"  # in the metadata of a field: the value that the JSON leaves out


def optional(default: Any) -> Any:
    """A field that the JSON has only where it is not the default, so that a parameter that is new does not change the
    ids of the cases that do not use it."""
    return field(default_factory=lambda: default, metadata={LEFT_OUT: default})


class Part:
    """Parameters, or a part of them. Unknown keys and values of another type are refused."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    @classmethod
    def read(cls, told: Mapping[str, Any]) -> Self:
        """The parameters that `json` gave. Raises UserError for a key that is missing, unknown, or of another type."""
        part: Self = checked(_adapter(cls), told, cls.__name__)  # type: ignore[arg-type] # classes are hashable
        for key, value in told.items():
            if not _same(value, getattr(part, key)):
                raise UserError(f"{cls.__name__}: {key}: {value!r} is of another type")
        return part

    def json(self) -> dict[str, Any]:
        """The canonical JSON: every field, but optional ones only where they are not the default."""
        told = [(one, getattr(self, one.name)) for one in fields(self)]  # type: ignore[arg-type]
        return {
            one.name: _plain(value)
            for one, value in told
            if LEFT_OUT not in one.metadata or value != one.metadata[LEFT_OUT]
        }


@dataclass(frozen=True, kw_only=True)
class Params(Part):
    """The parameters of a case: all that changes its answer. `device` is the name of a `benchsuite.devices.Device`."""

    device: str


@dataclass(frozen=True, kw_only=True)
class ProcessParams(Params):
    """Of a case that is measured in processes which take turns: `threads` of each, and the seconds for which it is
    sampled in a round."""

    threads: int
    sample_s: float


@dataclass(frozen=True, kw_only=True)
class TimedParams(ProcessParams):
    """Of what is called over and over: how it is computed (`implementation`), what of it (`scope`, `direction`), in
    which type, and how it is timed (`mode`, one of the device's)."""

    implementation: str
    scope: str
    direction: str
    dtype: str
    mode: str

    @property
    def compiled(self) -> bool:
        """True where torch.compile compiles it, in the first process for long."""
        return self.implementation.endswith("compile")


@dataclass(frozen=True, kw_only=True)
class UnknownParams(TimedParams):
    """Of a case that another version made, or that was imported: `told` is all that there is, and `why` says what is
    not known of it. A gate measures such cases with the workers of the version that planned them."""

    told: Mapping[str, Any]
    why: str

    @classmethod
    def of(cls, told: Mapping[str, Any], why: str) -> UnknownParams:
        """The parameters `told`, with what a run needs of them, as far as it is there."""
        words = {name: str(told.get(name, "")) for name in ("implementation", "scope", "direction", "dtype", "mode")}
        threads, sample_s = told.get("threads"), told.get("sample_s")
        return cls(
            **words,
            device=str(told.get("device", "cpu")),
            threads=threads if isinstance(threads, int) else 1,
            sample_s=float(sample_s) if isinstance(sample_s, (int, float)) else 1.0,
            told=told,
            why=why,
        )

    def json(self) -> dict[str, Any]:
        return dict(self.told)


@functools.cache
def _adapter(cls: type[Part]) -> TypeAdapter[Any]:
    return TypeAdapter(cls)


def _same(told: Any, read: Any) -> bool:
    """Return whether a value was read as it was written: pydantic takes "1" for a number, and in its strict mode no
    dictionary for a dataclass."""
    if isinstance(read, Part):
        return all(_same(value, getattr(read, key)) for key, value in told.items())
    if isinstance(read, tuple):
        return len(told) == len(read) and all(map(_same, told, read))
    return bool(told == read)


def _plain(value: Any) -> Any:
    if isinstance(value, Part):
        return value.json()
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (tuple, list)) else value
