"""Models that another run has trained are taken, and nothing else is."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

import benchsuite
from benchsuite.errors import UserError
from benchsuite.records.load import Run

pytestmark = [pytest.mark.usefixtures("fake_kinds"), pytest.mark.slow]

SUITE = """
name: NAME
model: {layers: 1, width: 16, heads: 2, vocab: 300, seq: 32}
speed:
  rounds: 2
  sample_s: 0.01
  cases: [{component: activation, variants: [swiglu], shape: {batch: 2}}]
quality:
  seeds: 2
  curve: []
  train: {tokens: 2000, batch: 4, lr: 1.0e-3, implementation: sdpa}
  tasks: {names: [agreement], limit: 20}
  heldout_bytes: 1000
  variants:
    position: VARIANTS
"""


def measured(folder: Path, name: str, variants: Sequence[str], **options: object) -> Run:
    file = folder / f"{name}.yaml"
    file.write_text(SUITE.replace("NAME", name).replace("VARIANTS", json.dumps(list(variants))))
    return benchsuite.run(file, out=folder / name, device="cpu", **options)


def test_a_model_of_another_run_is_not_trained_again(tmp_path: Path) -> None:
    measured(tmp_path, "first", ["alibi"])
    said: list[str] = []
    second = measured(tmp_path, "second", ["alibi", "rotary"], reuse=[tmp_path / "first"], say=said.append)
    labels = {case.id: case.label for case in second.manifest.cases}
    taken = sorted(f"{labels[record.case_id]} {record.replicate}" for record in second if record.reused)
    assert taken == [
        "baseline/quality 0",
        "baseline/quality 1",
        "position/alibi/quality 0",
        "position/alibi/quality 1",
    ]
    assert {record.reused for record in second} == {"first", None}
    assert set(second.statuses()) == {"ok"}
    note = "4 of the trainings are those of another run, first: the models are the same"
    assert note in second.manifest.notes
    assert f"note: {note}" in said
    third = measured(tmp_path, "third", ["rotary"], reuse=[tmp_path / "second"])
    origins = {(labels[r.case_id], r.reused) for r in third if labels[r.case_id].endswith("quality")}
    assert origins == {("baseline/quality", "first"), ("position/rotary/quality", "second")}


def test_a_run_that_was_ended_goes_on_with_what_it_took(tmp_path: Path) -> None:
    measured(tmp_path, "first", ["alibi"])
    whole = measured(tmp_path, "second", ["alibi"], reuse=[tmp_path / "first"])
    lines = (whole.folder / "records.jsonl").read_text().splitlines(keepends=True)
    (whole.folder / "records.jsonl").write_text("".join(lines[:5]))  # killed after its first measurement
    again = benchsuite.resume(whole.folder)
    assert set(again.statuses()) == {"ok"}
    assert sum(bool(record.reused) for record in again) == 4


def test_models_of_another_machine_or_of_no_use_are_refused(tmp_path: Path) -> None:
    first = measured(tmp_path, "first", ["alibi"]).folder
    with pytest.raises(UserError, match="it has trained none of the models that second compares"):
        measured(tmp_path, "second", ["rotary"], reuse=[first], sets=["quality.train.tokens=1000"])
    assert not (tmp_path / "second").exists()
    manifest = json.loads((first / "manifest.json").read_text())
    manifest["hardware"]["identity"]["torch"] = "1.13"
    (first / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(UserError, match=r"with other software: torch was '1\.13' and is '"):
        measured(tmp_path, "second", ["alibi"], reuse=[first])
    with pytest.raises(UserError, match="is not a run directory"):
        measured(tmp_path, "second", ["alibi"], reuse=[tmp_path])
