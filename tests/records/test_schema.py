"""Records of every version: real ones of the first, through its migration, and none of a later one."""

from __future__ import annotations

import contextlib
import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchsuite import text
from benchsuite.errors import UserError
from benchsuite.records import schema
from benchsuite.records.case import KINDS, STATUSES
from benchsuite.records.results import checked
from benchsuite.report.sections.hardware import hardware_lines

FIRST: dict[str, Any] = {
    "schema_version": 1,
    "case_id": "0123456789ab",
    "replicate": 0,
    "status": "ok",
    "reason": None,
    "started": "2026-11-01T00:00:00.000+00:00",
    "time_s": 2.0,
    "result": {"time_s": 1e-3, "samples_s": [1e-3], "context": {"threads": 2, "load_1min": 0.7, "cpu_mhz": 2445.4}},
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)
# As a fingerprint's: names that are shown in a way of their own, with values of any type.
NAMES = st.sampled_from(["cpu", "gpus", "identity", "context", "memory_bytes", "_bytes"]) | st.text(max_size=3)
FIELDS = st.dictionaries(NAMES, JSON | st.dictionaries(NAMES, JSON, max_size=3), max_size=4)


def test_a_record_of_the_first_version_says_the_same_in_todays_words() -> None:
    row = schema.record(FIRST, "here")
    assert row["schema_version"] == schema.SCHEMA_VERSION
    assert row["result"]["monitor"] == {"load_1min": 0.7, "cpu_mhz": 2445.4}
    assert row["result"]["context"] == {"threads": 2}
    assert FIRST["result"]["context"]["load_1min"] == 0.7, "what was given is left alone"


@pytest.mark.parametrize("read", [schema.record, schema.manifest])
def test_a_later_version_is_refused(read: Any) -> None:
    with pytest.raises(UserError, match="newer than this benchsuite reads") as caught:
        read({**FIRST, "schema_version": schema.SCHEMA_VERSION + 1}, "here")
    assert "upgrade" in caught.value.hint


@pytest.mark.parametrize("read", [schema.record, schema.manifest])
@given(content=JSON)
def test_no_content_is_a_traceback(read: Any, content: Any) -> None:
    with pytest.raises(UserError):
        read(content, "here")


@given(result=JSON, context=JSON)
def test_no_content_of_the_first_version_is_a_traceback(result: Any, context: Any) -> None:
    for value in (result, {"samples_s": [], "context": context}):
        migrated = schema.record({**FIRST, "result": value}, "here")
        assert migrated["schema_version"] == schema.SCHEMA_VERSION
    schema.manifest({"schema_version": 1, "hardware": {"context": context}}, "here")


def test_the_json_schema_names_every_field_with_its_meaning() -> None:
    found = schema.json_schema()
    assert found["$schema"].endswith("2020-12/schema")
    assert found["$defs"]["Record"]["properties"]["status"]["enum"] == list(STATUSES)
    assert found["$defs"]["Case"]["properties"]["kind"]["enum"] == list(KINDS)
    assert {"SpeedResult", "QualityResult", "StabilityResult", "Manifest", "Comparison"} <= set(found["$defs"])
    assert "monitor" in found["$defs"]["SpeedResult"]["properties"]
    assert "outcomes" in found["$defs"]["TaskScore"]["properties"]
    # Results may hold unknown fields, so one may fit several of these.
    results = found["$defs"]["Record"]["properties"]["result"]["anyOf"]
    assert [one.get("$ref", one.get("type")) for one in results] == [
        "#/$defs/SpeedResult",
        "#/$defs/QualityResult",
        "#/$defs/StabilityResult",
        "#/$defs/SearchResult",
        "#/$defs/RuleResult",
        "null",
    ]


MANIFEST: dict[str, Any] = {
    "schema_version": schema.SCHEMA_VERSION,
    "suite": "x",
    "hardware": {"identity": {"cpu": "a CPU"}, "context": {"container": None}},
    "cases": [{"id": "0123456789ab", "kind": "speed", "label": "a", "params": {}, "replicates": [0]}],
    "comparisons": [{"kind": "speed", "case": "0123456789ab", "base_case": "0123456789ab"}],
}


@given(changed=st.dictionaries(st.sampled_from(sorted(MANIFEST)), JSON, min_size=1))
def test_a_manifest_is_read_or_told_what_is_wrong_with_it(changed: dict[str, Any]) -> None:
    with contextlib.suppress(UserError):
        read = schema.manifest({**MANIFEST, **changed}, "here")
        checked(schema.MANIFEST, read, "here")


@given(identity=FIELDS, context=FIELDS)
def test_any_fingerprint_can_be_shown(identity: dict[str, Any], context: dict[str, Any]) -> None:
    content = MANIFEST | {"hardware": {"identity": identity, "context": context}}
    hardware = checked(schema.MANIFEST, text.tree(content), "here").hardware
    lines = hardware_lines(dataclasses.asdict(hardware))
    assert all(isinstance(text, str) for line in lines for text in line)
