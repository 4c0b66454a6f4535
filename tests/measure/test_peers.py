"""Peers' steps and evaluations: that they compute the same as ours. How fast they are is not tested."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import pytest
import torch
from support import params

from benchsuite.measure import peers, speed
from benchsuite.measure.peer_models import PEERS
from benchsuite.measure.subjects import Subject
from benchsuite.records.case import Incorrect
from benchsuite.records.params import EvaluationParams, SpeedParams, TimedParams

Case = TypeVar("Case", bound=TimedParams)
SHAPE = {"batch": 2, "seq": 64, "width": 16, "heads": 2, "layers": 2, "vocab": 300}


def step(name: str) -> SpeedParams:
    about = {"component": "position", "variant": "learned", "implementation": name, "shape": SHAPE}
    return SpeedParams.read(params.speed(**about, scope="step", direction="step"))


def evaluation(name: str) -> EvaluationParams:
    about = {"component": "peer", "variant": "evaluation", "implementation": name, "scope": "evaluate"}
    about |= {"direction": "fwd", "documents": 1}
    return EvaluationParams.read(params.PROCESS | {"shape": SHAPE} | about)


def once(case: Case, make: Callable[[Case], Subject]) -> dict[str, Any]:
    return speed.once(case, lambda: make(case))


@pytest.mark.parametrize("name", [name for name in PEERS if not name.endswith("compile")])
def test_a_peer_s_step_has_our_loss(name: str) -> None:
    found = once(step(name), peers._step)
    assert found["error"]["forward"] < 1e-6
    assert found["tokens"] == 128


@pytest.fixture(autouse=True)
def _little_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "CORPUS_BYTES", 50_000)


@pytest.mark.parametrize("name", ["benchsuite", "hflm-4"])
def test_evaluations_give_the_same_log_likelihoods(name: str) -> None:
    found = once(evaluation(name), peers._evaluation)
    assert found["error"]["forward"] < 1e-5
    assert found["tokens"] > 300


def test_no_speed_is_given_for_other_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    right = peers._nats
    exact = iter((True, False))
    monkeypatch.setattr(peers, "_nats", lambda lm, requests: right(lm, requests) + (0.01 if next(exact) else 0.0))
    with pytest.raises(Incorrect, match="the error against float64"):
        once(evaluation("benchsuite"), peers._evaluation)
    assert torch.is_grad_enabled()
