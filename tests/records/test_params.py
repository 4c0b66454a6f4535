"""The parameters of cases as types: read as they were written, written as they were read, and never half."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support import params

from benchsuite.errors import UserError
from benchsuite.records.case import KINDS, Case, case_id
from benchsuite.records.load import read_manifest
from benchsuite.records.params import SpeedParams, TrainConfig, TrainingParams, UnknownParams

REPORTS = Path(__file__).parents[2] / "reports"
RUNS = sorted(path.parent for path in REPORTS.glob("**/manifest.json"))


@pytest.mark.parametrize("folder", RUNS, ids=lambda folder: folder.name)
def test_the_cases_of_published_runs_keep_their_ids(folder: Path) -> None:
    cases = read_manifest(folder).cases
    assert {case.id: case_id(case.kind, case.typed.json()) for case in cases} == {case.id: case.id for case in cases}
    assert not any(isinstance(case.typed, UnknownParams) for case in cases)


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("speed", params.speed()),
        ("operator", params.operator()),
        ("check", params.check()),
        ("rule", params.rule()),
        ("test", {"test": "a.py::b", "folder": "/a", "source": None, "device": "cpu", "threads": 1, "sample_s": 0.1}),
    ],
)
def test_what_is_read_is_written_again(kind: str, told: dict[str, Any]) -> None:
    assert KINDS[kind].read(told).json() == told


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"threads": "2"}, "SpeedParams: threads: '2' is of another type"),
        ({"threads": None}, "SpeedParams: threads: "),
        ({"colour": "red"}, "SpeedParams: colour: "),
        ({"shape": {**params.SPEED["shape"], "depth": 3}}, "SpeedParams: shape.depth: "),  # type: ignore[dict-item]
        ({"shape": {"batch": 1}}, "SpeedParams: shape.seq: "),
    ],
)
def test_what_is_unknown_missing_or_of_another_type_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as error:
        SpeedParams.read(params.speed(**change))
    assert error.value.message.startswith(message)


def test_a_parameter_that_is_not_used_is_not_in_the_id() -> None:
    plain = SpeedParams.read(params.speed())
    assert not {"twin", "embedding_norm_place"} & plain.json().keys()
    shape = {**params.SPEED["shape"], "micro_batch": 1, "recompute": True}  # type: ignore[dict-item]
    assert SpeedParams.read(params.speed(shape=shape, twin=1)).json() == params.speed(shape=shape, twin=1)


def test_a_training_that_an_earlier_version_told_has_today_s_defaults() -> None:
    read = TrainingParams.read(params.training(train={"tokens": 5, "lr": 0.1}))
    assert read.train == TrainConfig(tokens=5, lr=0.1)
    assert read.trains == (read.train,)
    staged = params.training(stages=[{"architecture": "causal", "objective": "lm", "train": {"tokens": 3}}])
    assert [train.tokens for train in TrainingParams.read(staged).trains] == [3]


def test_what_another_version_made_is_kept_whole() -> None:
    told = {"from": "another tool", "threads": "many", "sample_s": 0.5, "implementation": "fused"}
    read = Case("x", "speed", "x", told).typed
    assert isinstance(read, UnknownParams)
    assert read.json() == told
    assert (read.device, read.threads, read.sample_s, read.implementation) == ("cpu", 1, 0.5, "fused")
    assert read.why.startswith("SpeedParams: ")
