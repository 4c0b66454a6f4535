"""The type of steps and trainings: what `auto` comes to on a machine, and what a float32 case does not notice of it."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from benchsuite.devices.cpu import CPU
from benchsuite.devices.cuda import CUDA
from benchsuite.errors import UserError
from benchsuite.planning.machine import Machine
from benchsuite.planning.plan import Plan, resolve
from benchsuite.records.case import Case
from benchsuite.suite.source import read, validate
from benchsuite.suite.yaml_tree import parse

PLAIN = Machine(cores=2)
PRODUCTS = Machine(cores=2, products=True)
GPU = Machine(cores=2, device="cuda", products=True)

TEXT = """
name: mine
model: {layers: 2, width: 32, heads: 2, vocab: 300, seq: 32}
speed:
  cases:
    - {component: activation, variants: macro, implementations: [sdpa, fused], scope: step, dtype: DTYPE}
quality:
  train: {tokens: 10k, batch: 2, precision: PRECISION, implementation: IMPLEMENTATION}
  variants: {activation: [swiglu]}
"""


def plan(machine: Machine, precision: str = "auto", dtype: str | None = None, implementation: str = "best") -> Plan:
    text = TEXT.replace("PRECISION", precision).replace("IMPLEMENTATION", implementation)
    text = text.replace("DTYPE", dtype) if dtype else text.replace(", dtype: DTYPE", "")
    return resolve(validate(parse(text.encode(), "mine.yaml")), machine)


def types(cases: Sequence[Case]) -> set[str]:
    return {case.params["dtype"] if case.kind == "speed" else case.params["train"]["precision"] for case in cases}


@pytest.mark.parametrize(
    ("machine", "found"),
    [
        (PLAIN, "float32"),
        (PRODUCTS, "bfloat16"),
        (Machine(cores=2, products=True, no_kernels="no compiler"), "float32"),
        (GPU, "bfloat16"),
    ],
)
def test_auto_is_one_type_for_all_steps_and_models(machine: Machine, found: str) -> None:
    resolved = plan(machine)
    assert types(resolved.cases) == {found}
    assert any(found in note for note in resolved.notes)
    said = [case.label for case in resolved.cases if "bfloat16" in case.label.split("/")]
    assert len(said) == (len(resolved.cases) if found == "bfloat16" else 0)


def test_torch_s_own_trainings_stay_in_float32_on_a_cpu() -> None:
    assert types(plan(PRODUCTS, implementation="sdpa").cases) == {"float32"}


def test_a_step_may_be_asked_for_in_another_type_than_that_of_training() -> None:
    resolved = plan(PRODUCTS, precision="float32", dtype="bfloat16")
    by_kind = {kind: types([c for c in resolved.cases if c.kind == kind]) for kind in ("speed", "quality")}
    assert by_kind == {"speed": {"bfloat16"}, "quality": {"float32"}}
    told = [c.dtype for c in resolved.comparisons if c.kind == "speed"]
    assert told
    assert set(told) == {"bfloat16"}


def test_float32_cases_are_what_they_were() -> None:
    """The ids of a suite that asks for no type, and of one that asks for float32, whatever the CPU."""
    plain = {case.label: case.id for case in plan(PLAIN, precision="float32").cases}
    assert {case.label: case.id for case in plan(PRODUCTS, precision="float32").cases} == plain
    assert {case.label: case.id for case in plan(PLAIN).cases} == plain
    step = next(case for case in plan(PLAIN).cases if case.label == "baseline/sdpa/step")
    assert not step.params["shape"].keys() & {"micro_batch", "recompute"}


def test_the_shipped_steps_say_what_does_not_fit_a_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CPU, "capacity_bytes", lambda _: 4 * 2**30)
    small = resolve(read("steps"), PLAIN)
    reasons = {case.label: case.unsupported for case in small.cases}
    assert "memory" in (reasons["baseline/sdpa/step/1b3"] or "")
    assert reasons["baseline/fused/step/3m/bfloat16"] is None
    assert reasons["baseline/fused/step/3m"] is None
    assert "no timing mode 'graph-hot'" in (reasons["baseline/sdpa/step/30m/graph-hot"] or "")
    monkeypatch.setattr(CPU, "capacity_bytes", lambda _: None)
    unlimited = {case.label: case.unsupported for case in resolve(read("steps"), PLAIN).cases}
    assert "call_limit_s" in (unlimited["baseline/sdpa/step/1b3"] or "")


def test_the_shipped_steps_on_a_gpu_fit_its_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    missing: set[str]
    for gib, missing in ((80, set()), (16, {"760m", "1b3"})):
        monkeypatch.setattr(CUDA, "capacity_bytes", lambda _, gib=gib: gib * 2**30)
        found = resolve(read("steps"), GPU)
        steps = [case for case in found.cases if "/sdpa/step/" in case.label and case.label.startswith("baseline")]
        lacking = {case.label.split("/")[3] for case in steps if "memory" in (case.unsupported or "")}
        assert lacking >= missing if missing else not lacking
        assert types(found.cases) <= {"bfloat16", "float32"}
    large = next(case for case in found.cases if case.label == "baseline/sdpa/step/1b3/bfloat16")
    assert large.params["shape"]["recompute"] is True
    assert large.params["shape"]["micro_batch"] == 4


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("scope: step, dtype: float16", "float32, bfloat16 or auto"),
        ("scope: layer, shape: {batch: 2, micro_batch: 1}", "micro_batch and recompute are those of a step"),
        ("scope: layer, dtype: bf16", "dtype"),
    ],
)
def test_what_no_step_or_layer_has_is_refused(line: str, message: str) -> None:
    more = "" if "batch" in line else ", shape: {batch: 1}"
    case = f"{{component: activation, variants: [swiglu], {line}{more}}}"
    text = f"name: mine\nmodel: {{layers: 1, width: 8, heads: 1, vocab: 9, seq: 8}}\nspeed: {{cases: [{case}]}}\n"
    with pytest.raises(UserError, match=message):
        validate(parse(text.encode(), "mine.yaml"))
