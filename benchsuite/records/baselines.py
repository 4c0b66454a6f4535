"""Baselines: runs kept under a name as plain files, `manifest.json` and `records.jsonl`, for git or a bucket.

baselines/
  2026-11-h100/   manifest.json  records.jsonl
  CURRENT         the name of the promoted one
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchsuite import files
from benchsuite.cache import write_atomically
from benchsuite.errors import UserError
from benchsuite.records.case import KINDS
from benchsuite.records.load import load, read_manifest

FOLDER = "baselines"
VARIABLE = "BENCHSUITE_BASELINES"
CURRENT = "CURRENT"
FILES = ("manifest.json", "records.jsonl")
STALE_DAYS = 30
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def folder() -> Path:
    """Return where the baselines of this project are: $BENCHSUITE_BASELINES, else ./baselines."""
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


def default() -> str:
    """The promoted baseline, in the words of a side. Raises UserError with exit code 4 where none is promoted."""
    name = current()
    if name is None:
        raise UserError(
            f"there is no base: --base is not given, and no baseline is promoted in {folder()}",
            hint="give a commit (--base main), or: benchsuite baseline promote NAME",
            exit_code=4,
        )
    return f"baseline:{name}"


def narrow(base: dict[str, Any], head: dict[str, Any], name: str) -> list[str]:
    """Take from the plans of a stored base and of head, where these are of two suites, what only one of them has; what
    was left out is reported. Raises UserError with exit code 4 where nothing is left."""
    if base["suite"] == head["suite"]:
        return []
    theirs, ours = (
        {case["label"]: case["id"] for case in plan["cases"] if KINDS[case["kind"]].timed} for plan in (base, head)
    )
    tests = {case["label"] for case in head["cases"] if case["kind"] == "test"}  # named by file and function
    common = {label for label in theirs if label in ours and (label in tests or theirs[label] == ours[label])}
    if not common:
        raise UserError(
            f"{name} is a run of {base['suite']}, which has no case of {head['suite']}",
            hint=f"measure {head['suite']}: benchsuite run, then benchsuite baseline save NAME DIR; or give a commit",
            exit_code=4,
        )
    for plan in (base, head):
        plan["cases"] = [case for case in plan["cases"] if case["label"] in common]
    return [
        f"{name} is a run of {base['suite']}, not of {head['suite']}: {len(common)} cases are in both and compared, "
        f"{len(theirs) - len(common)} and {len(ours) - len(common)} others left out"
    ]


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
    """Keep the measurements of a run under a name. Raises UserError where the name is no name or taken, and where the
    run is damaged or has measured no speed."""
    if not NAME.fullmatch(name) or name == CURRENT:
        raise UserError(f"{name!r} is no name of a baseline", hint="letters, digits, points, dashes")
    measured = load(run)
    alone = {case.id for case in measured.manifest.cases if case.timed}
    if not any(record.status == "ok" and record.case_id in alone for record in measured):
        raise UserError(f"{run} has measured no speed; there is nothing to compare with")
    target = folder() / name
    if target.exists() and not replace:
        raise UserError(f"{target} is there already", hint="--replace overwrites it; git keeps the old one")
    for file in FILES:
        with write_atomically(files.real(folder()) / name / file) as temporary:
            temporary.write_bytes(files.read(run / file))
    return target


def promote(name: str) -> None:
    """Make a baseline the one that `baseline:` means. Raises UserError where there is none of that name."""
    find(name)
    with write_atomically(files.real(folder()) / CURRENT) as temporary:
        temporary.write_text(name + "\n", encoding="utf-8")


def check(run: Path, hardware: Mapping[str, Any]) -> list[str]:
    """Return what to know of a stored run before it is compared with what `hardware`, a fingerprint, measures now: its
    age, and what of the software is another. Raises UserError with exit code 4 where the machine is another one."""
    manifest = read_manifest(run)
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


def differences(
    then: Mapping[str, Any],
    now: Mapping[str, Any],
    keys: tuple[str, ...] | None = None,
    show: Callable[[Any], str] | None = None,
) -> list[str]:
    """`key was A and is B` for what is not equal, of `keys` or of all, each value as `show` gives it or cut short."""
    show = show or _short
    chosen = keys if keys is not None else tuple(dict.fromkeys([*then, *now]))
    return [
        f"{key} was {show(then.get(key))} and is {show(now.get(key))}"
        for key in chosen
        if then.get(key) != now.get(key)
    ]


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else text[:60] + "…"
