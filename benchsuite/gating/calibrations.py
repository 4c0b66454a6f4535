"""Keep the results of `benchsuite calibrate` in the cache, so that a gate on the same machine can state its power."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchsuite.cache import cache_dir, digest, write_atomically


def keep(document: Mapping[str, Any], device: str, identity: Mapping[str, Any]) -> Path:
    """Store a calibration of this machine's `device`, replacing one of the same cases with the same rule."""
    path = _path([*sorted(document["cases"]), document["rule"]], device, identity)
    with write_atomically(path) as temporary:
        kept = {**document, "created": datetime.now(UTC).isoformat(timespec="seconds")}
        temporary.write_text(json.dumps(kept), encoding="utf-8")
    return path


def find(
    cases: Sequence[str], device: str, identity: Mapping[str, Any], rule: Mapping[str, Any]
) -> dict[str, Any] | None:
    """Return the latest calibration of this machine that has all of `cases` and the margin and error rates of `rule`,
    on which the power of a gate depends; None if there is none."""
    counts = ("margin", "false_alarm")
    found = []
    for path in cache_dir("calibrations").glob(f"{_machine(device, identity)}-*.json"):
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        alike = all(document["rule"][key] == rule[key] for key in counts)
        if cases and alike and set(cases) <= set(document["cases"]):
            found.append(document)
    return max(found, key=lambda document: str(document["created"]), default=None)


def _machine(device: str, identity: Mapping[str, Any]) -> str:
    return digest([device, dict(identity)], 16)


def _path(what: Sequence[Any], device: str, identity: Mapping[str, Any]) -> Path:
    return cache_dir("calibrations") / f"{_machine(device, identity)}-{digest(list(what), 8)}.json"
