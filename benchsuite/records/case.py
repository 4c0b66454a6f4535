"""The words of a run: case, comparison, job, record, and the two ways in which a measurement says no.

A case is one thing to measure. Its id hashes what changes the answer and nothing else, so that the same id in two
runs, on two machines or in two versions means the same measurement:

>>> case_id("speed", {"variant": "swiglu"}) == case_id("speed", {"variant": "swiglu"})
True
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, get_args

from benchsuite import text
from benchsuite.cache import digest
from benchsuite.records.schema import SCHEMA_VERSION, Status

MEASUREMENT_VERSION = 1  # raised when the same parameters begin to mean another measurement

STATUSES: tuple[str, ...] = get_args(Status)
SNAPSHOTS = "snapshots"  # of a job's folder: what a later attempt at the job finds again
FAILED = ("oom", "timeout", "error", "incorrect")  # a run with one of these exits with 5


class NotMeasured(Exception):  # noqa: N818 - a status of a record, not a mistake of the program
    """A measurement that says no: `reason` in one line, and in `result` what is worth keeping all the same."""

    status: ClassVar[str]

    def __init__(self, reason: str, result: dict[str, Any] | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.result = result


class Unsupported(NotMeasured):
    """This machine or this version cannot run the case."""

    status = "unsupported"


class Incorrect(NotMeasured):
    """The output is wrong, or the figure cannot be, so no speed is reported."""

    status = "incorrect"


class Throttled(NotMeasured):
    """The device slowed itself down while it was measured; `result` holds the figures that it gave."""

    status = "throttled"


@dataclass(frozen=True)
class Kind:
    """How the cases of one kind are measured. `measure` and `prepare` are written `module:function`.

    A kind that runs `alone` has the machine to itself, and what failed once is not repeated; jobs of the other kinds
    run side by side. `seeded` functions are called with the parameters, seed, workdir and progress, the others with the
    parameters and whether they are the `first` process of their case.
    """

    measure: str
    prepare: str | None
    alone: bool
    seeded: bool

    @property
    def modules(self) -> tuple[str, ...]:
        return tuple(target.partition(":")[0] for target in (self.measure, self.prepare) if target)


KINDS: dict[str, Kind] = {
    "speed": Kind("benchsuite.measure.speed:measure", None, alone=True, seeded=False),
    "test": Kind("benchsuite.measure.pytest_cases:measure", None, alone=True, seeded=False),
    "quality": Kind(
        "benchsuite.measure.quality:train_and_evaluate", "benchsuite.measure.quality:prepare", alone=False, seeded=True
    ),
    "stability": Kind(
        "benchsuite.measure.quality:train_only", "benchsuite.measure.quality:prepare", alone=False, seeded=True
    ),
}


def case_id(kind: str, params: dict[str, Any]) -> str:
    """The first 12 hex digits of the SHA-256 over measurement version, kind and parameters as canonical JSON."""
    return digest({"measurement_version": MEASUREMENT_VERSION, "kind": kind, "params": params}, 12)


@dataclass(frozen=True)
class Case:
    """One thing to measure, `replicates` times: in as many processes (speed) or at as many seeds (quality).

    `group` names the cases whose replicates run interleaved; `timeout_s` and `estimate_s` are seconds for one
    replicate.
    """

    id: str
    kind: str
    label: str
    params: dict[str, Any]
    replicates: tuple[int, ...]
    timeout_s: float
    group: str = ""
    estimate_s: float | None = None
    unsupported: str | None = None

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "replicates": list(self.replicates)}

    @classmethod
    def from_json(cls, row: dict[str, Any]) -> Case:
        return cls(**{**row, "replicates": tuple(row["replicates"])})


@dataclass(frozen=True)
class Comparison:
    """`case` against `base_case`. `about` holds the other fields of the manifest's row, in its words."""

    kind: str  # speed, implementation, quality, stability, control, or curve: the baseline at another budget
    case: str
    base_case: str
    about: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        return {"kind": self.kind, **self.about, "case": self.case, "base_case": self.base_case}

    @classmethod
    def from_json(cls, row: dict[str, Any]) -> Comparison:
        about = {key: value for key, value in row.items() if key not in ("kind", "case", "base_case")}
        return cls(row["kind"], row["case"], row["base_case"], about)


@dataclass(frozen=True)
class Job:
    """One process to run: a case at one replicate, or the preparation of data that several cases share (`case` is
    None).

    `name` is unique within a run and names the job's files.
    """

    name: str
    label: str
    kind: str
    params: dict[str, Any]
    replicate: int
    timeout_s: float
    case: Case | None = None
    needs: tuple[str, ...] = ()  # names of preparation jobs

    @property
    def key(self) -> tuple[str, int] | None:
        return (self.case.id, self.replicate) if self.case else None


@dataclass(frozen=True)
class Record:
    """One row of records.jsonl: what became of one case at one replicate. `started` is UTC in ISO 8601. Records of the
    same `round` were measured together, in turns; None where each was alone. What a `reason` quotes of others is made
    harmless."""

    case_id: str
    replicate: int
    status: str
    reason: str | None
    started: str
    time_s: float
    result: dict[str, Any] | None = None
    round: int | None = None
    schema_version: int = field(default=SCHEMA_VERSION)

    def __post_init__(self) -> None:
        if self.reason is not None:
            object.__setattr__(self, "reason", text.plain(self.reason))

    def to_json(self) -> dict[str, Any]:
        row = asdict(self)
        return {"schema_version": row.pop("schema_version"), **row}

    @property
    def key(self) -> tuple[str, int]:
        return self.case_id, self.replicate
