"""The files of a run: their version, what each field means, and how those of older versions are read.

A run is a folder with `manifest.json` (what is measured, and on which machine) and `records.jsonl` (one line for each
case and replicate, whatever became of it). `benchsuite export --schema` prints the JSON Schema of a line. Units are in
the names: _s seconds, _bytes, _j joules, _w watts, _c degrees Celsius. What is not known is null, never 0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from benchsuite import text
from benchsuite.errors import UserError

# 1: before the monitor, the roofline and the parts of the saved memory; 2: before rounds
SCHEMA_VERSION = 3

Status = Literal["ok", "oom", "timeout", "error", "unsupported", "throttled", "unstable", "incorrect", "skipped"]


M = TypeVar("M", bound=BaseModel)


class _Part(BaseModel):
    # Fields of a later minor version, or of a plug-in, are no reason to refuse a run.
    model_config = ConfigDict(extra="ignore", frozen=True)


class Hardware(_Part):
    """The machine: what must be equal for a comparison, and what is only told."""

    identity: dict[str, Any] = {}
    context: dict[str, Any] = {}


class Case(_Part):
    """A case of a manifest, as `benchsuite.records.case.Case` writes it."""

    id: str
    kind: Literal["speed", "test", "quality", "stability"]
    label: str
    params: dict[str, Any] = {}
    replicates: list[int] = []
    timeout_s: float = 0.0
    group: str = ""
    estimate_s: float | None = None
    unsupported: str | None = None

    @property
    def timed(self) -> bool:
        """Whether its figure is a time; the others are trained models."""
        return self.kind in ("speed", "test")


class Comparison(_Part):
    """A comparison of a manifest: `case` against `base_case`, and in whose words."""

    kind: Literal["speed", "implementation", "quality", "stability", "control", "curve"]
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
    tasks: list[str] = Field(default=[], description="patterns of the tasks that it is about; none: all")
    name: str = ""
    expected: str = ""
    description: str = ""


class Manifest(_Part):
    """What a run measures and where. A run that was imported has no `resolved_suite`: nothing can continue it."""

    schema_version: int
    suite: str
    description: str = ""
    created: str = ""
    command: list[str] = []
    notes: list[str] = []
    benchsuite_version: str = ""
    device: str = "cpu"
    only: list[str] = []
    resolved_suite: dict[str, Any] | None = None
    hardware: Hardware = Hardware()
    cases: list[Case]
    comparisons: list[Comparison] = []


class Monitored(_Part):
    """What the machine did while the samples were taken."""

    window_s: float | None = None
    steal_fraction: float | None = Field(default=None, description="of our cores' time that the host gave to others")
    foreign_cores: float | None = Field(default=None, description="cores' worth of other processes on our cores")
    load_1min: float | None = None
    cpu_mhz: float | None = None
    cpu_energy_j: float | None = None
    gpu_unknown: str | None = Field(default=None, description="why the clocks and heat of a GPU are not told")
    gpu_readings: int | None = None
    sm_mhz: float | None = None
    sm_mhz_least: float | None = None
    memory_mhz: float | None = None
    power_w: float | None = None
    temperature_c: float | None = Field(default=None, description="the highest")
    clock_reasons: list[str] = Field(default=[], description="why clocks were below their highest, as NVML says")
    gpu_energy_j: float | None = Field(default=None, description="null for windows under a second")
    disturbed: list[str] = Field(default=[], description="why the figure may not be the code's own")
    throttled: list[str] = Field(default=[], description="how the device slowed itself down")


class Distance(_Part):
    """Fractions of peaks: time needed at peak over time taken."""

    fraction: float | None = Field(default=None, description="null where the figure lies above a peak")
    bound: Literal["compute", "memory"] | None = None
    compute_fraction: float | None = Field(default=None, description="MFU where the peaks are published")
    memory_fraction: float | None = Field(default=None, description="of the bandwidth of `level`")
    peaks: str = ""
    level: str | None = Field(default=None, description="the smallest cache that holds the data, or memory")
    reason: str | None = Field(default=None, description="why there is no fraction: above the measured peak")


class Saved(_Part):
    """Alike tensors that autograd keeps between forward and backward."""

    shape: list[int]
    dtype: str
    made_by: str
    count: int
    bytes: int


class SpeedResult(_Part):
    """One process of one speed case. Rates follow from `time_s`, the median of `samples_s`."""

    time_s: float | None = Field(default=None, description="of one call")
    samples_s: list[float] = Field(default=[], description="seconds a call, one value a block of calls, or a turn")
    calls_per_sample: int | None = None
    tokens: int | None = Field(default=None, description="of one call")
    tokens_per_s: float | None = None
    flops: float | None = Field(default=None, description="of one call, by the model's mathematics")
    tflop_per_s: float | None = None
    bytes_moved: float | None = Field(default=None, description="at least, by one call")
    gb_per_s: float | None = None
    roofline: Distance | None = None
    energy_per_token_j: float | None = Field(
        default=None, description="over the samples where these took a second with warm caches, else over a pass apart"
    )
    peak_bytes: float | None = Field(default=None, description="allocated at the worst moment")
    reserved_bytes: float | None = Field(default=None, description="by the device's allocator")
    device_process_bytes: float | None = Field(default=None, description="as the driver counts")
    saved_bytes: float | None = Field(default=None, description="kept by autograd for the backward pass")
    saved_by: list[Saved] = []
    rss_peak_bytes: float | None = None
    error: dict[str, Any] | None = Field(default=None, description="against float64: forward, backward, limit")
    compile_s: float | None = None
    phases_s: dict[str, float] = Field(
        default={}, description="build, first_call, timing, waiting, check, energy, peaks, memory"
    )
    warmup_s: float | None = None
    warmup_stable: bool | None = None
    stop: str | None = Field(default=None, description="why sampling ended: interval, budget or turns")
    drift: float | None = Field(default=None, description="of the second half of the samples against the first")
    fusion: str | None = None
    monitor: Monitored = Monitored()
    given: dict[str, Any] | None = Field(
        default=None, description="of a test: what its fixture was given, which is part of what was measured"
    )


class Record(_Part):
    """A line of records.jsonl. `result` is that of a speed case, or of a quality case (`train`, `tasks`, …)."""

    schema_version: int = SCHEMA_VERSION
    case_id: str = Field(description="12 hex digits over all that changes the answer; the manifest has the case")
    replicate: int = Field(ge=0, description="the process (speed) or the seed (quality)")
    status: Status
    reason: str | None = None
    started: str = Field("", description="UTC, ISO 8601")
    time_s: float = Field(0.0, description="of the whole process")
    round: int | None = Field(
        default=None, description="records of the same round were measured together, in turns; null: each alone"
    )
    result: SpeedResult | dict[str, Any] | None = None


def json_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of a line of records.jsonl."""
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    return head | Record.model_json_schema() | {"title": "A line of records.jsonl"}


def record(row: Any, where: str) -> dict[str, Any]:
    """A line of records.jsonl in this version's words. Raises UserError where it is of a newer version."""
    return _migrated(row, where, _RECORDS)


def manifest(content: Any, where: str) -> dict[str, Any]:
    """A manifest in this version's words. Raises UserError where it is of a newer version, or none."""
    return _migrated(content, where, _MANIFESTS)


def validated(model: type[M], content: Any, where: str) -> M:
    """`content` as `model`, its texts made harmless: one that is no UTF-8 is no reason to refuse a run. Raises
    UserError with the key that is wrong."""
    try:
        return model.model_validate(text.tree(content))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "the top level"
        raise UserError(
            f"{where}: {key}: {first['msg']}", hint="the file was changed, or another tool wrote it"
        ) from error


def _migrated(
    content: Any, where: str, steps: Mapping[int, Callable[[dict[str, Any]], dict[str, Any]]]
) -> dict[str, Any]:
    version = content.get("schema_version") if isinstance(content, dict) else None
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise UserError(f"{where}: there is no schema_version", hint="is it a run directory of benchsuite?")
    if version > SCHEMA_VERSION:
        raise UserError(
            f"{where}: schema_version {version} is newer than this benchsuite reads ({SCHEMA_VERSION})",
            hint="upgrade benchsuite, or use the version that made the run (it is in the manifest)",
        )
    content = dict(content)
    for number in range(version, SCHEMA_VERSION):
        content = steps[number](content) | {"schema_version": number + 1}
    return content


def _record_from_1(row: dict[str, Any]) -> dict[str, Any]:
    """Load and clock stood in the context of speed results."""
    result = row.get("result")
    if not isinstance(result, dict) or "samples_s" not in result:
        return row
    context = result.get("context")
    context = dict(context) if isinstance(context, dict) else {}
    seen = {key: context.pop(key) for key in ("load_1min", "cpu_mhz") if key in context}
    return {**row, "result": {**result, "context": context, "monitor": seen}}


def _manifest_from_1(content: dict[str, Any]) -> dict[str, Any]:
    """`container` said only whether there was one."""
    hardware = content.get("hardware")
    if not isinstance(hardware, dict) or not isinstance(hardware.get("context"), dict):
        return content
    context = dict(hardware["context"])
    if isinstance(context.get("container"), bool):
        context["container"] = "unknown kind" if context["container"] else None
    return {**content, "hardware": {**hardware, "context": context}}


def _unchanged(content: dict[str, Any]) -> dict[str, Any]:
    """What is new has a default."""
    return content


_RECORDS = {1: _record_from_1, 2: _unchanged}
_MANIFESTS = {1: _manifest_from_1, 2: _unchanged}
