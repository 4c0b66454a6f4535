"""Trainings in stages: as parameters of cases, as problems of a suite, and trained for real in small."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchsuite.errors import UserError
from benchsuite.measure import quality, training
from benchsuite.model.spec import ModelSpec
from benchsuite.planning import stages, training_budget
from benchsuite.planning.plan import Machine, Plan, resolve
from benchsuite.records.case import Case
from benchsuite.suite.schema import PLAIN
from benchsuite.suite.source import read, validate
from benchsuite.suite.yaml_tree import parse
from benchsuite.zeroshot import tasks

TEXT = """
name: mine
model: {layers: 1, width: 16, heads: 2, vocab: 300, seq: 32}
baseline: {position: t5}
quality:
  train: {tokens: 4k, batch: 4}
  tokenizer: {vocab: 290}
  tasks: {names: [agreement, pronoun], limit: 20}
  train_bytes: 60000
  heldout_bytes: 5000
  seeds: 1
  recipes:
"""


def plan(recipes: str) -> Plan:
    return resolve(validate(parse((TEXT + recipes).encode(), "mine.yaml")), Machine(cores=2))


def case(found: Plan, label: str) -> Case:
    return next(case for case in found.cases if case.label == label)


def stages_of(found: Plan, label: str) -> tuple[stages.Stage, ...]:
    params = case(found, label).training
    assert params is not None
    return stages.of(params)


def test_a_recipe_changes_no_other_case() -> None:
    without = resolve(read("ablation-activation"), Machine(cores=2))
    sets = [
        "quality.tokenizer.vocab=1000",
        "quality.recipes={nd: {stages: [{architecture: prefix, objective: prefix-lm}]}}",
    ]
    vocab = resolve(read("ablation-activation", sets=sets[:1]), Machine(cores=2))
    both = resolve(read("ablation-activation", sets=sets), Machine(cores=2))
    assert {c.id for c in both.cases} - {c.id for c in vocab.cases} == {case(both, "objective/nd/quality").id}
    assert not {"stages", "architecture"} & {*without.cases[-1].params, *without.cases[-1].params["model"]}


def test_stages_are_told_by_what_they_change() -> None:
    found = plan(
        "    a: {stages: [{}, {architecture: prefix, objective: span-corruption, tokens: 0.5x, lr: 0.5x}]}\n"
        "    b: {stages: [{}, {objective: multitask, tokens: 0.25x, tasks: [reading]}], against: a}\n"
    )
    about = {c.variant: c for c in found.comparisons}
    assert [(c.component, c.baseline) for c in about.values()] == [
        ("adaptation", PLAIN),
        ("multitask", "a"),
    ]
    assert about["b"].base_case == about["a"].case
    first, second = stages_of(found, "adaptation/a/quality")
    assert (first.spec.architecture, first.spec.fills, first.train.tokens) == ("causal", False, 4000)
    assert (second.spec.architecture, second.spec.fills, second.train.tokens) == ("prefix", True, 2000)
    assert (second.train.lr, second.train.batch) == (first.train.lr / 2, 4)
    plain = stages_of(found, "baseline/quality")[0]
    assert first.identity == plain.identity == stages_of(found, "multitask/b/quality")[0].identity
    assert second.identity != first.identity
    told = {b.label: b for b in training_budget.of(found, gpus=1)}
    assert told["adaptation/a/quality"].tokens == 6000
    assert told["adaptation/a/quality"].flops == pytest.approx(first.flops + second.flops)


def test_an_architecture_without_order_is_unsupported_and_says_why() -> None:
    found = plan("    nd: {stages: [{architecture: prefix, objective: prefix-lm}]}\n")
    assert case(found, "objective/nd/quality").unsupported is None
    text = (
        TEXT.replace("position: t5", "position: none")
        + "    nd: {stages: [{architecture: prefix, objective: prefix-lm}]}\n"
    )
    found = resolve(validate(parse(text.encode(), "mine.yaml")), Machine(cores=2))
    assert "have no order" in str(case(found, "objective/nd/quality").unsupported)


@pytest.mark.parametrize(
    ("recipe", "said"),
    [
        ("{stages: []}", "at least 1"),
        ("{stages: [{architecture: prefix}]}", "only a causal decoder"),
        ("{stages: [{}, {architecture: encdec, objective: prefix-lm}]}", "no weights to take"),
        ("{stages: [{objective: multitask}]}", "tasks are what"),
        ("{stages: [{tasks: [reading]}]}", "tasks are what"),
        ("{stages: [{objective: multitask, tasks: [agreement]}]}", "trained on and evaluated: agreement"),
        ("{stages: [{objective: multitask, tasks: [spelling]}]}", "no task 'spelling'"),
        ("{stages: [{}, {tokens: 30k}]}", "should match"),
        ("{stages: [{}, {lr: 0.0x}]}", "stages.1.lr: should match NUMBERx above zero"),
        ("{stages: [{}, {lr: 0.001}]}", "stages.1.lr: should match NUMBERx above zero, such as 0.1x, not 0.001"),
        ("{stages: [{}], against: nobody}", "no other recipe 'nobody'"),
    ],
)
def test_recipes_that_cannot_be_are_said(recipe: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        plan(f"    odd: {recipe}\n")


def test_gaps_need_marks_that_no_text_has() -> None:
    with pytest.raises(UserError, match="vocab: 298 or less"):
        validate(
            parse((TEXT.replace("290", "299") + "    m: {stages: [{objective: span-corruption}]}\n").encode(), "f")
        )


def test_training_questions_ask_for_nothing_that_is_evaluated() -> None:
    for name in ("reading", "physical", "arithmetic"):
        ours = tasks.training_items(name, limit=200)
        theirs = tasks.items(name, limit=200)
        assert len(ours) > 100
        assert not {item.key for item in ours} & {item.key for item in theirs}


@pytest.mark.slow
def test_a_stage_that_two_cases_begin_with_is_trained_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained: list[tuple[str, str]] = []
    plainly = training.train

    def train(spec: ModelSpec, *args: Any, **options: Any) -> Any:
        trained.append((spec.architecture, options["objective"]))
        return plainly(spec, *args, **options)

    monkeypatch.setattr(training, "train", train)
    found = plan(
        "    m: {stages: [&m {architecture: prefix, objective: span-corruption}]}\n"
        "    m+t: {stages: [*m, {architecture: prefix, objective: multitask, tokens: 1x, tasks: [reading]}]}\n"
    )
    results = {}
    for label in ("multitask/m+t/quality", "objective/m/quality"):
        params = case(found, label).params
        folder = tmp_path / label.partition("/")[0]
        results[label] = quality.train_and_evaluate(params, seed=0, workdir=folder, progress=lambda _: None)
    assert trained == [("prefix", "span-corruption"), ("prefix", "multitask")]
    both, one = results.values()
    assert set(both["tasks"]) == set(one["tasks"]) == {"agreement", "pronoun"}
    assert one["bits_per_byte"] is None, "it fills gaps"
    assert both["bits_per_byte"]["value"] > 0
    assert one["stages"][0]["curve"] == both["stages"][0]["curve"]
    assert [stage["objective"] for stage in both["stages"]] == ["span-corruption", "multitask"]
    assert both["stages"][0]["scored_tokens"] < both["stages"][0]["text_tokens"] < both["stages"][0]["tokens"]
    alone = quality.train_and_evaluate(
        case(found, "objective/m/quality").params, seed=0, workdir=tmp_path / "else" / "where", progress=lambda _: None
    )
    assert alone["tasks"] == one["tasks"], "trained anew it is the same model"
    assert len(trained) == 3


def test_other_text_leaves_out_what_only_the_world_asks(tmp_path: Path) -> None:
    book = tmp_path / "book.txt"
    book.write_text("A sentence.\n")
    found = resolve(read("ablation-architecture"), Machine(cores=2), corpora=(str(book),))
    assert not any(c.label.startswith("multitask/") for c in found.cases)
    assert case(found, "adaptation/nd-mlm-to-cd-flm/quality").params["tasks"]["names"] is None
    assert any("left out" in note for note in found.notes)
    large = resolve(read("ablation-architecture", scale="1b3"), Machine(cores=2), corpora=(str(book),))
    assert case(large, "multitask/nd-mlm+mtf/quality").params["tasks"]["names"] == [
        "derived_continuation",
        "derived_swap",
    ]
