"""The words of a run: case, comparison, job, record, and the ways in which a measurement says no.

These classes are the only definition of each: a plan makes them, the engine records them, and a run directory is read
into them (`benchsuite.records.load`). A case is one thing to measure. Its id hashes what changes the answer and nothing
else, so that the same id in two runs, on two machines or in two versions means the same measurement:

>>> case_id("speed", {"variant": "swiglu"}) == case_id("speed", {"variant": "swiglu"})
True
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields
from functools import cached_property
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field, GetJsonSchemaHandler, WithJsonSchema
from pydantic_core import CoreSchema

from benchsuite import text
from benchsuite.cache import digest
from benchsuite.errors import UserError
from benchsuite.records.params import (
    CheckParams,
    EvaluationParams,
    OperatorParams,
    Params,
    PytestParams,
    RuleParams,
    RuleStepParams,
    SpeedParams,
    TrainingParams,
    UnknownParams,
)
from benchsuite.records.results import (
    RESULT,
    QualityResult,
    RuleResult,
    Search,
    SearchResult,
    SpeedResult,
    Stability,
    StabilityResult,
    checked,
)

# 1: before the monitor, the roofline and the parts of the saved memory; 2: before rounds
SCHEMA_VERSION = 3
MEASUREMENT_VERSION = 1  # raised when the same parameters begin to mean another measurement

STATUSES = ("ok", "oom", "timeout", "error", "unsupported", "throttled", "unstable", "incorrect", "skipped")
MEASURED = ("ok", "throttled", "unstable")  # the result is a measurement, if a flagged one
FAILED = ("oom", "timeout", "error", "incorrect")  # a run with one of these exits with 5
SNAPSHOTS = "snapshots"  # of a job's folder: what a later attempt at the job finds again


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
    """The functions that measure the cases of one kind. `measure` and `prepare` are written `module:function`.

    A kind that runs `alone` has the machine to itself, and what failed once is not repeated; jobs of the other kinds
    run side by side. `seeded` functions are called with the parameters, seed, workdir and progress, the others with the
    parameters and whether they are the `first` process of their case. `read` gives the parameters, which they get as
    JSON, their type. The figure of a `timed` kind is a time. `preload` is what its workers call before they fork, as
    `module:function`.
    """

    read: Callable[[Mapping[str, Any]], Params]
    measure: str
    prepare: str | None = None
    alone: bool = False
    seeded: bool = False
    timed: bool = False
    preload: str | None = None

    @property
    def preloads(self) -> tuple[str, ...]:
        """The modules of its functions, and `preload`."""
        modules = tuple(target.partition(":")[0] for target in (self.measure, self.prepare) if target)
        return (*modules, self.preload) if self.preload else modules


_NORMALS = "benchsuite.measure.subjects:normals"
_QUALITY = "benchsuite.measure.quality"


def _peer(told: Mapping[str, Any]) -> SpeedParams | EvaluationParams:
    return (EvaluationParams if told.get("scope") == "evaluate" else SpeedParams).read(told)


KINDS: dict[str, Kind] = {
    "speed": Kind(SpeedParams.read, "benchsuite.measure.speed:measure", alone=True, timed=True, preload=_NORMALS),
    "operator": Kind(
        OperatorParams.read, "benchsuite.measure.operators:measure", alone=True, timed=True, preload=_NORMALS
    ),
    "check": Kind(CheckParams.read, "benchsuite.measure.operators:check", alone=True, preload=_NORMALS),
    "peer": Kind(_peer, "benchsuite.measure.peers:measure", alone=True, timed=True, preload=_NORMALS),
    "test": Kind(PytestParams.read, "benchsuite.measure.pytest_cases:measure", alone=True, timed=True),
    "rule": Kind(RuleParams.read, "benchsuite.measure.rules:train", seeded=True),
    "rule_step": Kind(RuleStepParams.read, "benchsuite.measure.rules:step", alone=True, timed=True),
    "quality": Kind(TrainingParams.read, f"{_QUALITY}:train_and_evaluate", f"{_QUALITY}:ready", seeded=True),
    "stability": Kind(TrainingParams.read, f"{_QUALITY}:train_only", f"{_QUALITY}:prepare", seeded=True),
    "search": Kind(TrainingParams.read, "benchsuite.measure.rates:try_rate", f"{_QUALITY}:ready", seeded=True),
}


def case_id(kind: str, params: dict[str, Any]) -> str:
    """The first 12 hex digits of the SHA-256 over measurement version, kind and parameters as canonical JSON."""
    return digest({"measurement_version": MEASUREMENT_VERSION, "kind": kind, "params": params}, 12)


def typed(kind: str, params: Mapping[str, Any]) -> Params:
    """The parameters of a case of this kind as their class; as UnknownParams where it does not take them."""
    try:
        return KINDS[kind].read(params)
    except UserError as error:
        return UnknownParams.of(params, error.message)


def _one_of(names: Collection[str]) -> Callable[[str], str]:
    def check(value: str) -> str:
        if value not in names:
            raise ValueError(f"should be one of {', '.join(names)}")
        return value

    return check


KindName = Annotated[str, AfterValidator(_one_of(KINDS)), WithJsonSchema({"enum": list(KINDS)})]
ComparisonKind = Literal[
    "speed", "implementation", "quality", "stability", "control", "curve", "shared", "rung", "twin", "rule"
]
Status = Annotated[str, AfterValidator(_one_of(STATUSES)), WithJsonSchema({"enum": list(STATUSES)})]


@dataclass(frozen=True)
class Case:
    """One thing to measure, `replicates` times: in as many processes (speed) or at as many seeds (quality).

    `params` are the parameters as canonical JSON, whose hash is the id, `typed` the same to read from. `group` names
    the cases whose replicates run interleaved; `timeout_s` and `estimate_s` are seconds for one replicate.
    """

    id: str
    kind: KindName
    label: str
    params: dict[str, Any] = field(default_factory=dict)
    replicates: tuple[int, ...] = ()
    timeout_s: float = 0.0
    group: str = ""
    estimate_s: float | None = None
    unsupported: str | None = None

    @cached_property
    def typed(self) -> Params:
        """The parameters as the class of the kind."""
        return typed(self.kind, self.params)

    @property
    def training(self) -> TrainingParams | None:
        """The parameters of a trained model, or None."""
        return self.typed if isinstance(self.typed, TrainingParams) else None

    @property
    def timed(self) -> bool:
        """True if its figure is a time; the others are trained models, and operators that are checked untimed."""
        return KINDS[self.kind].timed

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "replicates": list(self.replicates)}


@dataclass(frozen=True)
class Comparison:
    """`case` against `base_case`, both ids, and how a report names it."""

    kind: ComparisonKind
    case: str
    base_case: str
    component: str = ""
    variant: str = ""
    baseline: str = ""
    matching: str | None = None
    implementation: str | None = None
    scope: str | None = None
    direction: str | None = None
    dtype: str | None = None
    shape: str | None = None
    source: str | None = None
    tasks: Annotated[tuple[str, ...], Field(description="patterns of the tasks that it is about; none: all")] = ()
    name: str = ""
    expected: str = ""
    description: str = ""

    def to_json(self) -> dict[str, Any]:
        """JSON-ready, without the fields that hold their default."""
        row = {one.name: getattr(self, one.name) for one in fields(self)}
        default = {one.name: one.default for one in fields(self)}
        return {name: value for name, value in row.items() if default[name] is MISSING or value != default[name]}


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

    @cached_property
    def typed(self) -> Params:
        """The parameters as the class of the kind."""
        return typed(self.kind, self.params)

    @property
    def key(self) -> tuple[str, int] | None:
        return (self.case.id, self.replicate) if self.case else None


class _ResultSchema:
    """Give the result of a record, a dictionary, the JSON Schema of its typed views."""

    def __get_pydantic_json_schema__(self, _: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        # A result may hold fields that are not of its schema, so several of these may fit: `anyOf`, not `oneOf`.
        return {"anyOf": [*handler(RESULT.core_schema)["oneOf"], {"type": "null"}]}


@dataclass(frozen=True)
class Record:
    """One line of records.jsonl: what became of one case at one replicate.

    `result` is what the worker returned, unknown fields included; `speed`, `quality`, `stability` and `rule` are its
    typed views. Records of the same `round` were measured together, in turns. Quotations in a `reason` are made
    harmless.
    """

    case_id: Annotated[str, Field(description="12 hex digits over all that changes the answer")]
    replicate: Annotated[int, Field(ge=0, description="the process (speed) or the seed (quality)")]
    status: Status
    reason: str | None = None
    started: Annotated[str, Field(description="UTC, ISO 8601")] = ""
    time_s: Annotated[float, Field(description="of the whole process")] = 0.0
    result: Annotated[dict[str, Any] | None, _ResultSchema()] = None
    round: Annotated[int | None, Field(description="null where each process was alone")] = None
    reused: Annotated[str | None, Field(description="the run that trained this model, where it was another")] = None
    schema_version: int = SCHEMA_VERSION

    def __post_init__(self) -> None:
        if self.reason is not None:
            object.__setattr__(self, "reason", text.plain(self.reason))

    def to_json(self) -> dict[str, Any]:
        row = asdict(self)
        return {"schema_version": row.pop("schema_version"), **row}

    @property
    def key(self) -> tuple[str, int]:
        return self.case_id, self.replicate

    @property
    def speed(self) -> SpeedResult | None:
        """The result of a speed case; None for other cases, and if nothing was measured."""
        return self.measured if isinstance(self.measured, SpeedResult) else None

    @property
    def quality(self) -> QualityResult | None:
        """The result of a trained model, or None."""
        return self.measured if isinstance(self.measured, QualityResult) else None

    @property
    def stability(self) -> Stability | None:
        """The result of a training that was only watched, or None."""
        return self.measured.stability if isinstance(self.measured, StabilityResult) else None

    @property
    def search(self) -> Search | None:
        """The result of a training at a learning rate that was tried, or None."""
        return self.measured.search if isinstance(self.measured, SearchResult) else None

    @property
    def rule(self) -> RuleResult | None:
        """The result of a training by a rule of learning, or None."""
        return self.measured if isinstance(self.measured, RuleResult) else None

    @cached_property
    def measured(self) -> SpeedResult | QualityResult | StabilityResult | SearchResult | RuleResult | None:
        """The typed result where the status is one of `MEASURED`. Raises UserError where it is no result."""
        if self.status not in MEASURED or self.result is None:
            return None
        return checked(RESULT, self.result, f"the result of case {self.case_id}, replicate {self.replicate}")
