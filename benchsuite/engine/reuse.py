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

from benchsuite import __version__
from benchsuite.errors import UserError
from benchsuite.planning.plan import Plan
from benchsuite.records.baselines import differences
from benchsuite.records.case import KINDS, Record
from benchsuite.records.load import Run, load


def records(planned: Plan, folders: Sequence[str | Path], hardware: Mapping[str, Any]) -> list[Record]:
    """Return the records of the runs in `folders` that are those of cases and seeds which `planned` trains; `hardware`
    is that of this machine, as a manifest has it. Of several runs the first counts.

    Raises UserError where a run is of another machine, another version or other software, and where a run has trained
    none of these models.
    """
    wanted = {(case.id, n) for case in planned.cases if not KINDS[case.kind].alone for n in case.replicates}
    found: dict[tuple[str, int], Record] = {}
    for folder in folders:
        run = load(folder)
        if differs := _differences(run, json.loads(json.dumps(hardware))):
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


def _differences(run: Run, hardware: Mapping[str, Any]) -> list[str]:
    """Return what is not as it was, each as `key was X and is Y`."""
    then, now = run.manifest.hardware, hardware["identity"]
    before, after = (
        _software(then.context, run.manifest.benchsuite_version),
        _software(hardware["context"], __version__),
    )
    return differences(then.identity, now, tuple(now), show=repr) + differences(before, after, show=repr)


def _software(context: Mapping[str, Any], version: str) -> dict[str, Any]:
    """The software that changes a trained model, beside torch. Of our kernels the sources count: which compiler built
    them is not known before they are built."""
    kernels = context.get("kernels") or {}
    return {"packages": context.get("packages"), "kernels": kernels.get("sources"), "benchsuite": version}
