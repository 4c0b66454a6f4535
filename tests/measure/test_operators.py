"""Operator cases for real, at sizes of microseconds: every implementation is right, and a wrong one is `incorrect`."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from support.params import check, operator

from benchsuite.components.operators import RIVALS, WITH_HEADS
from benchsuite.measure import accuracy, operators, speed
from benchsuite.records.case import Incorrect
from benchsuite.records.params import OperatorParams

pytestmark = pytest.mark.slow

HERE = ("fused", "eager", "sdpa", "folded")  # what runs on a CPU without a compiler
CASES = [(name, one) for name, rivals in RIVALS.items() for one in ("fused", *rivals) if one in HERE]


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def params(name: str, implementation: str = "fused", **changes: Any) -> dict[str, Any]:
    shape = {"batch": 3, "seq": 10, "width": 24, "heads": 2, "vocab": 50}
    if name in WITH_HEADS:
        shape["width"] = 128
    return operator(**{"variant": name, "implementation": implementation, "shape": shape, **changes})


def checked(name: str, **changes: Any) -> dict[str, Any]:
    return check(**{**params(name), **changes})


def errors(case: dict[str, Any]) -> dict[str, Any]:
    read = OperatorParams.read(case)
    found: dict[str, Any] = speed.once(read, lambda: operators.subject(read))["error"]
    return found


def test_every_name_has_its_code() -> None:
    assert set(operators.FACTORIES) == set(RIVALS)


@pytest.mark.parametrize(("name", "implementation"), CASES)
def test_every_implementation_is_right(name: str, implementation: str) -> None:
    found = errors(params(name, implementation))
    assert found["forward"] < found["limit"]
    assert found["backward"] < found["limit"]
    forward = errors(params(name, implementation, direction="fwd"))
    assert forward["forward"] < forward["limit"]
    assert (forward["backward"] is None) == (name != "rotary")  # which has two results


@pytest.mark.parametrize("name", RIVALS)
def test_the_reference_is_the_same_in_parts(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    case = params(name, "eager", dtype="float64")
    monkeypatch.setattr(operators, "PART", 1)  # one row at a time
    found = errors(case)
    assert found["forward"] < 1e-13
    assert found["backward"] < 1e-13


def test_a_measured_operator_has_time_memory_and_a_distance_from_the_roofline() -> None:
    found = operators.measure(params("swiglu", shape={"batch": 2, "seq": 64, "width": 256}))
    assert found["time_s"] > 0
    assert found["bytes_moved"] == 4 * 8 * 128 * 256
    assert found["peak_bytes"] >= 4 * 128 * 256 * 5  # input with its gradient, and the result
    assert found["roofline"]["level"]


def planted(monkeypatch: pytest.MonkeyPatch, change: Callable[[torch.Tensor], torch.Tensor]) -> None:
    right = operators.layer_norm
    monkeypatch.setattr(operators, "layer_norm", lambda x, w, b: change(right(x, w, b)))


@pytest.mark.parametrize(("run", "case"), [(operators.measure, params), (operators.check, checked)])
def test_a_wrong_operator_is_incorrect(
    run: Callable[..., Any], case: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    planted(monkeypatch, lambda y: y * 1.0001)
    with pytest.raises(Incorrect, match=r"the error against float64 is 0\.0001; the limit of float32 is 2e-05"):
        run(case("layer_norm"))


@pytest.mark.parametrize(("run", "case"), [(operators.measure, params), (operators.check, checked)])
def test_one_nan_is_incorrect_wherever_it_is(
    run: Callable[..., Any], case: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    planted(monkeypatch, lambda y: y + torch.zeros_like(y).index_fill(1, torch.tensor([3]), math.nan))
    with pytest.raises(Incorrect, match="NaN"):
        run(case("layer_norm"))


def test_a_gradient_alone_may_be_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    planted(monkeypatch, lambda y: 2 * y - y.detach())
    with pytest.raises(Incorrect, match="the error against float64 is 1"):
        operators.check(checked("layer_norm"))


def test_a_check_names_the_shape_and_keeps_the_largest_errors() -> None:
    shapes = [{"batch": 1, "seq": n, "width": 16} for n in (1, 5)]
    found = operators.check(checked("gelu", shapes=shapes))
    each = [errors(params("gelu", shape=shape)) for shape in shapes]
    assert found["time_s"] is None
    assert found["error"]["backward"] == max(error["backward"] for error in each)
    assert found["error"]["limit"] == accuracy.LIMITS["float32"]


def test_the_shape_that_is_wrong_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    planted(monkeypatch, lambda y: y * 2 if y.shape[0] == 5 else y)
    with pytest.raises(Incorrect, match=r"^5x16: the error"):
        operators.check(checked("layer_norm", shapes=[{"batch": 1, "seq": n, "width": 16} for n in (2, 5)]))


def test_the_largest_of_errors_is_nan_where_one_is() -> None:
    assert math.isnan(accuracy.worst([1.0, math.nan, 2.0]))
    assert accuracy.relative_error(torch.zeros(2), torch.zeros(3)) == math.inf
