"""The suite `dfa` as cases: every architecture by every rule, with the same search, and its steps in one ring."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchsuite.domains import ARCHITECTURES
from benchsuite.engine import sampling
from benchsuite.errors import UserError
from benchsuite.planning import cost
from benchsuite.planning.domain_cases import RULES
from benchsuite.planning.plan import Machine, Plan, resolve
from benchsuite.suite import source
from benchsuite.suite.source import validate
from benchsuite.suite.yaml_tree import parse

HEAD = b"name: small\nmodel: {layers: 1, width: 8, heads: 1, vocab: 300, seq: 8}\n"


def plan(domains: str, machine: Machine = Machine(cores=2), **options: object) -> Plan:  # noqa: B008 - frozen
    text = HEAD + b"domains: {" + domains.encode() + b"}\n"
    return resolve(validate(parse(text, "f")), machine, **options)  # type: ignore[arg-type]


def test_dfa_trains_every_architecture_by_every_rule_with_one_search() -> None:
    found = resolve(source.read("dfa"), Machine(cores=2))
    trained = [case for case in found.cases if case.kind == "rule"]
    assert {(case.params["architecture"], case.params["rule"]) for case in trained} == {
        (name, rule) for name in ARCHITECTURES for rule in RULES
    }
    alike = {}
    for case in trained:
        own = {key: value for key, value in case.params.items() if key != "rule"}
        alike.setdefault((case.params["architecture"], case.params["task"]), []).append(own)
    assert all(len(own) == len(RULES) and own[0] == own[1] == own[2] for own in alike.values())


def test_the_steps_of_an_architecture_are_compared_with_backpropagation() -> None:
    found = resolve(source.read("dfa"), Machine(cores=2))
    steps = [case for case in found.cases if case.kind == "rule_step"]
    edges = sampling.edges_of(steps, found.comparisons)
    assert len(edges) == len(steps) * 2 // 3
    for case, base in edges:
        assert base is not None
        assert base.params == {**case.params, "rule": "backprop"}


def test_only_keeps_the_rule_that_others_are_compared_with() -> None:
    found = plan("tasks: [{task: block-links, architectures: [gcn]}]", only=("gcn/*/dfa",))
    assert [case.params["rule"] for case in found.cases] == ["backprop", "dfa"]


def test_seeds_steps_and_a_recipe_without_regularisation() -> None:
    domains = "rates: [1], regularisation: [0, 1], tasks: [{task: clicks, architectures: [dcn], steps: 7}]"
    found = plan(domains, seeds=3)
    assert found.cases[0].replicates == (0, 1, 2)
    assert found.cases[0].params["recipe"]["steps"] == 7
    assert found.cases[0].params["regularisation"] == [0]


@pytest.mark.parametrize(
    ("domains", "words"),
    [
        ("tasks: [{task: blocks}]", "there is no task 'blocks'"),
        ("tasks: [{task: clicks, architectures: [gcn]}]", "there is no architecture for clicks 'gcn'"),
        ("tasks: [{task: clicks, data: x}]", "clicks is generated and reads no data; its real tasks are criteo"),
        ("tasks: [{task: cora}]", "cora needs data: a folder with ind.cora.x"),
        ("rates: [0], tasks: [{task: clicks}]", "a learning rate of 0 learns nothing"),
        ("tasks: []", "at least 1 item"),
    ],
)
def test_a_wrong_suite_is_told_with_its_line(domains: str, words: str) -> None:
    with pytest.raises(UserError, match=words) as caught:
        plan(domains)
    assert "line 3" in caught.value.message or "f:3" in caught.value.message


def test_data_that_is_not_there_is_told_before_anything_runs(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no folder"):
        plan(f"tasks: [{{task: cora, data: {tmp_path / 'absent'}}}]")
    with pytest.raises(UserError, match=r"has no cora\.npz or ind\.cora\.graph"):
        plan(f"tasks: [{{task: cora, data: {tmp_path}}}]")
    (file := tmp_path / "cora.npz").touch()
    with pytest.raises(UserError, match=r"cora\.npz is no folder"):
        plan(f"tasks: [{{task: cora, data: {file}}}]")
    with pytest.raises(UserError, match=r"has no train\.txt or \*\.csv") as caught:
        plan(f"tasks: [{{task: criteo, data: {tmp_path}}}]")
    assert "give the file itself" in caught.value.hint
    assert plan(f"tasks: [{{task: criteo, data: {file}}}]").cases[0].params["data"] == str(file)


def test_a_published_recipe_is_estimated_to_take_longer(tmp_path: Path) -> None:
    (tmp_path / "transforms_train.json").touch()
    nano, published = (
        cost.guess("rule", plan(f"tasks: [{{task: nerf-synthetic, data: {tmp_path}, size: {size}}}]").cases[0].typed)
        for size in ("nano", "published")
    )
    assert nano < 60
    assert published > 5 * 86_400


def test_a_type_in_which_no_domain_is_trained_is_refused() -> None:
    with pytest.raises(UserError, match="--dtype bfloat16: the domains part of the suite trains in float32"):
        source.read("dfa", dtype="bfloat16")
    assert source.read("dfa", dtype="float32").domains is not None


def test_a_device_that_trains_no_domain_says_so() -> None:
    found = plan("tasks: [{task: block-links}]", Machine(cores=2, device="cuda"))
    assert all("on the CPU" in (case.unsupported or "") for case in found.cases)
