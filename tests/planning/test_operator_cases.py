"""The suites `operators` and `peers` as cases: ours beside each rival in one ring, and why a rival cannot run."""

from __future__ import annotations

import importlib.util
from collections import Counter
from typing import Any

import pytest

from benchsuite.components.operators import OURS, RIVALS, shape_name
from benchsuite.engine import rings
from benchsuite.errors import UserError
from benchsuite.planning.plan import Machine, Plan, resolve
from benchsuite.suite import source
from benchsuite.suite.source import validate
from benchsuite.suite.yaml_tree import parse

HEAD = b"name: small\nmodel: {layers: 1, width: 128, heads: 2, vocab: 300, seq: 8}\n"


def plan(text: bytes, machine: Machine = Machine(cores=2)) -> Plan:  # noqa: B008 - frozen
    return resolve(validate(parse(HEAD + text, "f")), machine)


def packaged(name: str, device: str = "cpu") -> Plan:
    return resolve(source.read(name), Machine(cores=2, device=device))


def test_every_operator_is_checked_in_every_type_and_timed_beside_every_rival() -> None:
    found = packaged("operators")
    checks = [case for case in found.cases if case.kind == "check"]
    assert {case.params["variant"] for case in checks} == set(RIVALS)
    types = Counter(case.params["dtype"] for case in checks)
    assert types == dict.fromkeys(("float64", "float32", "bfloat16", "float16"), len(RIVALS))
    assert all(len(case.params["shapes"]) == 3 and case.replicates == (0,) for case in checks)
    pairs = {(one.variant, one.baseline) for one in found.comparisons}
    assert {name for name, _ in pairs} >= {"gelu", "swiglu", "layer_norm", "rotary", "attention, alibi"}
    assert pairs == {(name, rival) for name, _ in pairs for rival in RIVALS[name]}


def test_an_operator_and_its_rivals_are_one_ring_and_ours_is_what_is_compared() -> None:
    found = packaged("operators")
    cases = {case.id: case for case in found.cases}
    edges = [(cases[one.case], cases[one.base_case]) for one in found.comparisons]
    assert {case.params["implementation"] for case, _ in edges} == {OURS}
    for ours, theirs in edges:
        assert ours.group == theirs.group
        assert {**ours.params, "implementation": ""} == {**theirs.params, "implementation": ""}
    packed = rings.pack(edges)
    assert len(packed) == len({ours.id for ours, _ in edges})
    assert all(len({ours.id for ours, _ in ring}) == 1 for ring in packed)


def test_what_cannot_run_here_is_unsupported_and_says_why_once() -> None:
    reasons = {
        case.params["implementation"]: (case.unsupported, case.replicates)
        for case in packaged("operators").cases
        if case.unsupported
    }
    assert reasons["liger"] == ("liger-kernel has no kernels for the CPU", (0,))
    assert reasons["flex"] == ("FlexAttention has no backward pass for the CPU", (0,))
    without = plan(
        b"speed:\n  operators: [{operators: [gelu], shapes: [{batch: 1}]}]\n",
        Machine(cores=2, compiler=None, no_kernels="no compiler, no kernels"),
    )
    assert {case.params["implementation"]: case.unsupported for case in without.cases} == {
        "fused": "no compiler, no kernels",
        "eager": None,
        "compile": "torch.compile needs a C++ compiler and there is none here (c++, g++ or clang++)",
    }


def test_accelerators_are_timed_in_bfloat16_and_their_float64_is_unsupported() -> None:
    found = packaged("operators", device="cuda")
    assert {case.params["dtype"] for case in found.cases if case.kind == "operator"} == {"bfloat16"}
    assert {case.params["mode"] for case in found.cases if case.kind == "operator"} == {"event-cold"}
    reasons = {c.unsupported for c in found.cases if c.kind == "check" and c.params["dtype"] == "float64"}
    assert reasons == {"the kernels of this device compute in float32 and in 16 bits"}


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("operators: [swiglew], shapes: [{batch: 1}]", "no operator 'swiglew'; did you mean 'swiglu'"),
        ("operators: [gelu], rivals: [sdpa], shapes: [{batch: 1}]", "no rival of gelu 'sdpa'"),
        ("operators: [rotary], shapes: [{batch: 1, width: 96}]", "2 heads of 64 are 128, not 96"),
        ("operators: [gelu], shapes: []", "at least 1"),
    ],
)
def test_a_suite_of_what_there_is_not_is_refused(entry: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        plan(f"speed:\n  operators: [{{{entry}}}]\n".encode())


def test_peers_train_beside_our_ordinary_step() -> None:
    found = packaged("peers")
    pairs = [(one.implementation, one.baseline) for one in found.comparisons]
    steps = [("sdpa", "nanogpt"), ("sdpa", "transformers"), ("fused", "nanogpt"), ("fused", "nanogpt-compile")]
    steps += [("compile", "nanogpt-compile"), ("compile", "transformers-compile")]
    assert pairs == [*steps, *(("benchsuite", f"hflm-{size}") for size in (16, 64, 256))]
    by_label = {case.label: case for case in found.cases}
    assert by_label["baseline/sdpa/step"].kind == "speed"
    assert by_label["baseline/nanogpt/step"].kind == "peer"
    assert len({case.group for case in found.cases}) == 2
    shape = "{batch: 32, layers: 3, width: 96, heads: 4, vocab: 512, seq: 96}"
    entry = f"{{component: position, variants: [none], scope: step, implementations: [sdpa], shape: {shape}}}"
    ordinary = plan(f"speed:\n  threads: 1\n  sample_s: 0.5\n  cases: [{entry}]\n".encode())
    assert by_label["baseline/sdpa/step"].id in {case.id for case in ordinary.cases}


def test_a_peer_that_is_not_installed_is_unsupported(monkeypatch: pytest.MonkeyPatch) -> None:
    present: Any = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "transformers" else present(name))
    reasons = {case.label: case.unsupported for case in packaged("peers").cases}
    assert reasons["baseline/transformers/step"] == "transformers is not installed: pip install transformers"
    assert reasons["baseline/nanogpt/step"] is None


def test_shapes_are_named_as_people_write_them() -> None:
    assert shape_name("swiglu", {"batch": 8, "seq": 256, "width": 344}) == "2048x344"
    assert shape_name("embedding", {"batch": 1, "seq": 2, "width": 3, "vocab": 9}) == "2x3, vocabulary 9"
    assert shape_name("attention, alibi", {"batch": 8, "seq": 512, "width": 512, "heads": 8}) == "8x512"
