"""The files of a run: their version, what each field means, and how those of older versions are read.

A run is a folder with `manifest.json` (what is measured, and on which machine) and `records.jsonl` (one line for each
case and replicate, whatever became of it). `benchsuite export --schema` prints the JSON Schema of both. Units are in
the names: _s seconds, _bytes, _j joules, _w watts, _c degrees Celsius. What is not known is null, never 0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from pydantic import TypeAdapter

from benchsuite import __version__
from benchsuite.errors import UserError
from benchsuite.records.case import MEASUREMENT_VERSION, SCHEMA_VERSION, Case, Comparison, Record


@dataclass(frozen=True)
class Hardware:
    """The machine: what must be equal for a comparison, and what is only told."""

    identity: dict[str, Any] = field(default_factory=dict)
    context: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """The plan of a run, and its machine. A run that was imported has no `resolved_suite`: nothing can continue it."""

    schema_version: int
    suite: str
    description: str = ""
    created: str = ""
    command: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    benchsuite_version: str = ""
    device: str = "cpu"
    only: tuple[str, ...] = ()
    resolved_suite: dict[str, Any] | None = None
    hardware: Hardware = Hardware()
    cases: tuple[Case, ...]
    comparisons: tuple[Comparison, ...] = ()


CASE, MANIFEST, RECORD = TypeAdapter(Case), TypeAdapter(Manifest), TypeAdapter(Record)


def new_manifest(planned: Mapping[str, Any], hardware: Mapping[str, Any], command: Sequence[str]) -> dict[str, Any]:
    """Return the manifest of a run of `planned` that begins now with this version on `hardware`, a fingerprint; all but
    its schema version, which the store adds."""
    return {
        "suite": planned["suite"],
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": list(command),
        "benchsuite_version": __version__,
        "measurement_version": MEASUREMENT_VERSION,
        "hardware": dict(hardware),
        **planned,
    }


def json_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of both files: it holds for a line of records.jsonl and for manifest.json."""
    refs, whole = TypeAdapter.json_schemas([("line", "validation", RECORD), ("manifest", "validation", MANIFEST)])
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "The files of a run: a line of records.jsonl is a Record, manifest.json is a Manifest",
        "anyOf": list(refs.values()),
        **whole,
    }


def record(row: Any, where: str) -> dict[str, Any]:
    """A line of records.jsonl in this version's words. Raises UserError where it is of a newer version."""
    return _migrated(row, where, _RECORDS)


def manifest(content: Any, where: str) -> dict[str, Any]:
    """A manifest in this version's words. Raises UserError where it is of a newer version, or none."""
    return _migrated(content, where, _MANIFESTS)


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
    """Leave the content as it is: every new field has a default."""
    return content


_RECORDS = {1: _record_from_1, 2: _unchanged}
_MANIFESTS = {1: _manifest_from_1, 2: _unchanged}
