"""Take the models that another run has trained on this machine: suites that compare with the same baseline train it
once.

Speeds are never taken: they belong to the hour in which they were measured. Each record that is taken names its run.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchsuite.errors import UserError
from benchsuite.planning.plan import Plan
from benchsuite.records.case import KINDS, Record
from benchsuite.records.load import Run, load

ALIKE = ("packages", "kernels")  # of a machine's context, what changes a trained model; of our kernels, their sources


def records(planned: Plan, folders: Sequence[str | Path], manifest: Mapping[str, Any]) -> list[Record]:
    """Return the records of the runs in `folders` that are those of cases and seeds which `planned` trains; `manifest`
    is that of the run that begins. Of several runs the first counts.

    Raises UserError where a run is of another machine, another version or other software, and where a run has trained
    none of these models.
    """
    wanted = {(case.id, n) for case in planned.cases if not KINDS[case.kind].alone for n in case.replicates}
    found: dict[tuple[str, int], Record] = {}
    for folder in folders:
        run = load(folder)
        if differs := _differences(run, json.loads(json.dumps(manifest))):
            raise UserError(
                f"--reuse {folder}: it was measured on another machine or with other software: {'; '.join(differs)}",
                hint="leave it out; its models are trained again here",
            )
        had = {record.key: record for record in run if record.key in wanted and record.status == "ok"}
        if not had:
            raise UserError(
                f"--reuse {folder}: it has trained none of the models that {planned.suite.name} compares",
                hint="models are the same where architecture, data, tokens, learning rate, precision and seed are",
            )
        found = {key: replace(record, reused=record.reused or run.name) for key, record in had.items()} | found
    return list(found.values())


def note(taken: Sequence[Record]) -> str:
    """Return what a report says of records that were taken."""
    runs = sorted({record.reused for record in taken if record.reused})
    return f"{len(taken)} of the trainings are those of another run, {' and '.join(runs)}: the models are the same"


def _differences(run: Run, manifest: Mapping[str, Any]) -> list[str]:
    """Return what is not as it was, each as `key was X and is Y`."""
    then, now = run.manifest.hardware, manifest["hardware"]
    pairs = [(key, then.identity.get(key), value) for key, value in now["identity"].items()]
    pairs += [(key, _told(then.context.get(key)), _told(now["context"].get(key))) for key in ALIKE]
    pairs.append(("benchsuite", run.manifest.benchsuite_version, manifest["benchsuite_version"]))
    return [f"{key} was {a!r} and is {b!r}" for key, a, b in pairs if a != b]


def _told(value: Any) -> Any:
    """The sources of our kernels alone: their compiler is not told before they are built."""
    return value["sources"] if isinstance(value, dict) and "sources" in value else value
