"""Baselines: runs kept under a name as plain files, `manifest.json` and `records.jsonl`, for git or a bucket.

baselines/
  2026-11-h100/   manifest.json  records.jsonl
  CURRENT         the name of the promoted one
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchsuite.cache import write_atomically
from benchsuite.errors import UserError
from benchsuite.runs.store import read_plan, read_records

FOLDER = "baselines"
VARIABLE = "BENCHSUITE_BASELINES"
CURRENT = "CURRENT"
FILES = ("manifest.json", "records.jsonl")
STALE_DAYS = 30
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def folder() -> Path:
    """Where the baselines of this project are: $BENCHSUITE_BASELINES, else ./baselines."""
    return Path(os.environ.get(VARIABLE) or FOLDER)


def find(name: str) -> Path:
    """The run directory of a baseline; without a name that of the promoted one. Raises UserError with exit code 4."""
    name = name or current() or ""
    if not name:
        raise UserError(f"no baseline is promoted in {folder()}", hint="benchsuite baseline promote NAME", exit_code=4)
    if name not in names():
        known = ", ".join(names()) or "none"
        raise UserError(f"there is no baseline {name!r} in {folder()}", hint=f"there are: {known}", exit_code=4)
    return folder() / name


def names() -> list[str]:
    """Of all baselines, sorted."""
    return sorted(path.parent.name for path in folder().glob(f"*/{FILES[0]}"))


def current() -> str | None:
    """The name of the promoted one."""
    try:
        return (folder() / CURRENT).read_text(encoding="utf-8").strip() or None
    except (OSError, ValueError):
        return None


def save(name: str, run: Path, *, replace: bool = False) -> Path:
    """Keeps the measurements of a run under a name. Raises UserError where the name is no name or taken, and where the
    run is damaged or has measured no speed."""
    if not NAME.fullmatch(name) or name == CURRENT:
        raise UserError(f"{name!r} is no name of a baseline", hint="letters, digits, points, dashes")
    plan = read_plan(run)
    alone = {case.id for case in plan.cases if case.timed}
    if not any(record.status == "ok" and record.case_id in alone for record in read_records(run)):
        raise UserError(f"{run} has measured no speed; there is nothing to compare with")
    target = folder() / name
    if target.exists() and not replace:
        raise UserError(f"{target} is there already", hint="--replace overwrites it; git keeps the old one")
    target.mkdir(parents=True, exist_ok=True)
    for file in FILES:
        with write_atomically(target / file) as temporary:
            shutil.copyfile(run / file, temporary)
    return target


def promote(name: str) -> None:
    """Makes a baseline the one that `baseline:` means. Raises UserError where there is none of that name."""
    find(name)
    with write_atomically(folder() / CURRENT) as temporary:
        temporary.write_text(name + "\n", encoding="utf-8")


def check(run: Path, hardware: Mapping[str, Any]) -> list[str]:
    """What to know of a stored run before it is compared with what `hardware`, a fingerprint, measures now: its age,
    and what of the software is another. Raises UserError with exit code 4 where the machine is another one."""
    manifest = read_plan(run)
    then, now = manifest.hardware, hardware
    different = differences(then.identity, now["identity"])
    if different:
        raise UserError(
            f"{run} was measured on another machine: {'; '.join(different)}",
            hint="measure a base here, or give a commit as base: both sides are then measured side by side",
            exit_code=4,
        )
    notes = [f"{run} was measured earlier, not side by side: what changed in the machine since counts as head's"]
    age = age_days({"created": manifest.created})
    if age is not None and age > STALE_DAYS:
        notes.append(f"it is {age} days old; measure a new one: benchsuite baseline save NAME RUN --replace")
    notes += differences(then.context, now["context"], ("python", "kernel", "governor", "microcode"))
    return notes


def age_days(manifest: Mapping[str, Any]) -> int | None:
    """Since the run began; None where the manifest does not say."""
    try:
        return (datetime.now(UTC) - datetime.fromisoformat(manifest["created"])).days
    except (KeyError, ValueError, TypeError, OverflowError):
        return None


def differences(then: Mapping[str, Any], now: Mapping[str, Any], keys: tuple[str, ...] | None = None) -> list[str]:
    """`key was A and is B` for what is not equal."""
    chosen = keys if keys is not None else tuple(dict.fromkeys([*then, *now]))
    return [
        f"{key} was {_short(then.get(key))} and is {_short(now.get(key))}"
        for key in chosen
        if then.get(key) != now.get(key)
    ]


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else text[:60] + "…"
