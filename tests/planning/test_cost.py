"""Estimates: guesses first, then what was seen."""

from __future__ import annotations

import pytest
from support.params import speed, training

from benchsuite.planning.cost import CostModel, guess, makespan
from benchsuite.records.case import Case
from benchsuite.records.params import TrainingParams


def case(name: str, **params: object) -> Case:
    return Case(name, "speed", name, speed(**{"sample_s": 1.0, **params}), (0, 1), 60.0)


def test_a_case_is_estimated_by_itself_then_by_its_class() -> None:
    model = CostModel()
    a, b, c = case("a", scope="layer"), case("b", scope="layer", sample_s=2.0), case("c", scope="step")
    assert not model.known(b)
    model.learn(a, 2 * guess(a.kind, a.typed))
    assert model.known(b)
    assert not model.known(c)
    assert model.estimate(b) == pytest.approx(2 * guess(b.kind, b.typed))
    assert model.estimate(c) == guess(c.kind, c.typed)
    model.learn(b, 1.0)
    model.learn(b, 3.0)
    assert model.estimate(b) == 3.0


def test_guesses_grow_with_the_work() -> None:
    model = {"layers": 3, "width": 96, "vocab": 512, "seq": 96}
    less, more = (TrainingParams.read(training(model=model, train={"tokens": n})) for n in (800_000, 8_000_000))
    assert guess("quality", more) > 5 * guess("quality", less)
    compiled, eager = case("a", implementation="compile"), case("b", implementation="eager")
    assert guess("speed", compiled.typed) > guess("speed", eager.typed)


@pytest.mark.parametrize(
    ("times_s", "slots", "expected"), [([], 2, 0), ([1, 1, 1, 1], 2, 2), ([3, 1, 1, 1], 2, 3), ([1, 2], 1, 3)]
)
def test_makespan(times_s: list[float], slots: int, expected: float) -> None:
    assert makespan(times_s, slots) == expected
