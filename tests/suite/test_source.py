"""Suite files: what is read from them, and the one message for whatever is wrong."""

from __future__ import annotations

import contextlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from benchsuite.errors import UserError
from benchsuite.planning import plan
from benchsuite.suite import yaml_tree
from benchsuite.suite.source import find, from_json, packaged, read, validate

GOOD = """\
name: small
model: {layers: 1, width: 8, heads: 2, vocab: 300, seq: 8}
speed:
  cases:
    - {component: activation, variants: [swiglu], shape: {batch: 1}}
quality:
  train: {tokens: 60k, lr: 3e-3}
  variants:
    position: [none, alibi]
    embedding_norm: on
  controls:
    - {name: fewer, set: {train.tokens: 0.25x}, expect: worse}
"""


@pytest.fixture
def good(tmp_path: Path) -> Path:
    path = tmp_path / "good.yaml"
    path.write_text(GOOD)
    return path


def message(path: Path | str, *sets: str) -> str:
    with pytest.raises(UserError) as error:
        read(str(path), sets=sets)
    assert error.value.exit_code == 2
    return error.value.message


def changed(good: Path, old: str, new: str) -> Path:
    assert old in GOOD
    path = good.with_name("changed.yaml")
    path.write_text(GOOD.replace(old, new))
    return path


def test_a_suite_is_read(good: Path) -> None:
    suite = read(str(good))
    assert suite.quality is not None
    assert suite.quality.train.tokens == 60_000
    assert suite.quality.train.lr == 0.003
    assert suite.quality.variants == {"position": ("none", "alibi"), "embedding_norm": ("on",)}
    assert suite.baseline.embedding_norm == "off"


def test_a_resolved_suite_survives_json(good: Path) -> None:
    suite = read(str(good))
    assert from_json(json.loads(json.dumps(asdict(suite)))) == suite


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("lr: 3e-3", "learning_rate: 1", "changed.yaml:7: quality.train.learning_rate: unknown key"),
        ("tokens: 60k", "tokns: 60k", "quality.train.tokns: unknown key; did you mean 'tokens'?"),
        ("tokens: 60k", "tokens: many", "changed.yaml:7: quality.train.tokens: should be a valid integer, not 'many'"),
        ("tokens: 60k", "tokens: '60'", "quality.train.tokens: should be a valid integer, not '60'"),
        ("tokens: 60k", "tokens: true", "quality.train.tokens: should be a valid integer, not True"),
        ("tokens: 60k", "tokens: 0", "quality.train.tokens: should be greater than or equal to 1, not 0"),
        ("lr: 3e-3", "lr: .nan", "quality.train.lr: should be a valid number"),
        ("tokens: 60k, ", "", "changed.yaml:7: quality.train.tokens: is missing"),
        ("name: small\n", "", "changed.yaml:1: name: is missing"),
        ("vocab: 300", "vocab: 256", "changed.yaml:2: model.vocab: a byte-level tokenizer has at least 257 entries"),
        ("heads: 2", "heads: 3", "changed.yaml:2: model.heads: a width of 8 cannot be shared by 3 heads"),
        ("[swiglu]", "[swigloo]", "changed.yaml:5: speed.cases.0.variants: there is no activation variant 'swigloo'"),
        ("[swiglu]", "[1]", "changed.yaml:5: speed.cases.0.variants.0: should be a valid string, not 1"),
        ("component: activation", "component: activation2", "speed.cases.0.component: there is no component"),
        ("shape:", "implementations: [eagre], shape:", "there is no implementation 'eagre'; did you mean 'eager'?"),
        ("{batch: 1}", "{batch: 1, deep: 2}", "speed.cases.0.shape.deep: unknown key"),
        ("shape:", "direction: step, shape:", "'step' is not a direction of the scope 'layer'"),
        ("[none, alibi]", "[none, alibo]", "changed.yaml:9: quality.variants.position: there is no position variant"),
        ("    embedding_norm: on", "    norm: on", "quality.variants.norm: there is no component 'norm'"),
        ("    embedding_norm: on", "    corpus: nowhere", "quality.variants.corpus: there is no corpus 'nowhere'"),
        (
            "expect: worse",
            "expect: bad",
            "changed.yaml:12: quality.controls.0.expect: should be 'unresolved', 'worse', or a multiple of the tokens",
        ),
        ("expect: worse", "expect: 0.25x", "quality.controls.0.expect: a multiple of the tokens is read from the"),
        ("  controls:", "  curve: [0.5x]\n  controls:", "quality.curve: a learning curve needs two budgets or more"),
        ("  controls:", "  curve: [0x, 2x]\n  controls:", "quality.curve.0: should match NUMBERx above zero"),
        (
            "train.tokens: 0.25x",
            "train.token: 1",
            "there is nothing called 'train.token'; did you mean 'train.tokens'?",
        ),
        ("train.tokens: 0.25x", "train.tokens: 1x", "the control changes nothing"),
        ("train.tokens: 0.25x", "train.tokens: fewer", "set: train.tokens: Input should be a valid integer"),
        ("train.tokens: 0.25x", "model.heads: 3", "a width of 8 cannot be shared by 3 heads"),
        ("name: small", "name: a/../b", "changed.yaml:1: name: string should match pattern"),
        ("name: small", "- name: small", "changed.yaml:2: did not find expected"),
        ("speed:", "speeed:", "changed.yaml:3: speeed: unknown key; did you mean 'speed'?"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(good: Path, old: str, new: str, said: str) -> None:
    text = message(changed(good, old, new))
    assert said in text
    assert "changed.yaml:" in text


def test_several_problems_are_told_at_once(good: Path) -> None:
    text = message(changed(good, "tokens: 60k, lr: 3e-3", "tokens: x, lr: y"))
    assert [line.split(": ")[1] for line in text.splitlines()] == ["quality.train.tokens", "quality.train.lr"]


def test_a_list_is_no_suite(tmp_path: Path) -> None:
    path = tmp_path / "list.yaml"
    path.write_text("- 1\n")
    assert "list.yaml:1: a suite is a mapping of keys to values, not [1]" in message(path)


def test_nothing_to_measure_is_said(tmp_path: Path) -> None:
    path = tmp_path / "idle.yaml"
    path.write_text("name: idle\nmodel: {layers: 1, width: 8, heads: 2, vocab: 300, seq: 8}\n")
    assert "nothing to measure" in message(path)


def test_includes_are_laid_under_the_file(good: Path) -> None:
    path = good.with_name("more.yaml")
    path.write_text("include: good.yaml\nname: more\nquality:\n  seeds: 7\n  variants: {position: [rotary]}\n")
    suite = read(str(path))
    assert suite.quality is not None
    assert (suite.name, suite.quality.seeds, suite.quality.train.tokens) == ("more", 7, 60_000)
    assert suite.quality.variants == {"position": ("rotary",), "embedding_norm": ("on",)}


def test_of_several_includes_the_later_wins(good: Path) -> None:
    for name, seeds in (("a", 3), ("b", 4)):
        good.with_name(f"{name}.yaml").write_text(f"quality: {{seeds: {seeds}}}\n")
    path = good.with_name("c.yaml")
    path.write_text("include: [good.yaml, a.yaml, b.yaml]\n")
    suite = read(str(path))
    assert suite.quality is not None
    assert suite.quality.seeds == 4


def test_what_is_wrong_in_an_included_file_is_said_of_that_file(good: Path) -> None:
    good.with_name("a.yaml").write_text("# a comment\nquality: {sedes: 3}\n")
    path = good.with_name("c.yaml")
    path.write_text("include: [good.yaml, a.yaml]\n")
    assert "a.yaml:2: quality.sedes: unknown key; did you mean 'seeds'?" in message(path)


def test_a_circle_of_includes_is_said(tmp_path: Path) -> None:
    for name, other in (("a", "b"), ("b", "c"), ("c", "a")):
        (tmp_path / f"{name}.yaml").write_text(f"include: {other}.yaml\n")
    text = message(tmp_path / "a.yaml")
    assert "circle" in text
    assert [text.count(f"{name}.yaml") for name in "abc"] == [2, 1, 2]


@pytest.mark.parametrize(
    ("include", "said"), [("nowhere.yaml", "does not exist"), ("[1]", "file name"), ("{a: b}", "")]
)
def test_a_wrong_include_is_said_with_its_line(tmp_path: Path, include: str, said: str) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(f"name: a\ninclude: {include}\n")
    text = message(path)
    assert "a.yaml:2: include: " in text
    assert said in text


def test_overrides_are_checked_as_the_file_is(good: Path) -> None:
    suite = read(
        str(good), sets=["quality.train.tokens=1.5M", "speed.cases.0.shape.batch=4", "baseline.position=rotary"]
    )
    assert suite.quality is not None
    assert suite.speed is not None
    assert suite.quality.train.tokens == 1_500_000
    assert suite.speed.cases[0].shape.batch == 4
    assert suite.baseline.position == "rotary"


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("quality.train.tokens", "should be KEY=VALUE"),
        ("=1", "should be KEY=VALUE"),
        ("quality.train.tokns=1", "quality.train.tokns: unknown key; did you mean 'tokens'?"),
        ("quality.tran.tokens=1", "there is no quality.tran; did you mean 'train'?"),
        ("quality.train.tokens=x", "quality.train.tokens: should be a valid integer, not 'x'"),
        ("quality.train.tokens=1.5", "quality.train.tokens: "),
        ("speed.cases.9.dtype=float32", "speed.cases has 1 entries, counted from 0"),
        ("speed.cases.9=float32", "speed.cases has 1 entries, counted from 0"),
        ("name.x=1", "there is no name"),
        ("name=[", "--set name=["),
    ],
)
def test_wrong_overrides_are_said(good: Path, override: str, said: str) -> None:
    text = message(good, override)
    assert f"--set {override}" in text
    assert said in text


def test_a_part_that_is_not_there_cannot_be_overridden(good: Path) -> None:
    path = good.with_name("fast.yaml")
    path.write_text(GOOD[: GOOD.index("quality:")])
    assert "the suite has no quality part" in message(path, "quality.train.tokens=1")


def test_unknown_names_get_the_nearest_suite() -> None:
    names = list(packaged())
    if names:
        assert find(names[0]).is_file()
    with pytest.raises(UserError, match="there is no suite 'qwick'"):
        find("qwick")


@pytest.mark.parametrize("name", list(packaged()))
def test_every_packaged_suite_is_valid(name: str) -> None:
    suite = read(name)
    assert suite.name == name
    assert suite.description


SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(["2k", "-1M", "1e3", "k"])
)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner))
PLACES = [path for path in yaml_tree.parse(GOOD.encode(), "good.yaml").places if path]


@pytest.mark.slow
@given(place=st.sampled_from(PLACES), value=VALUES)
@settings(deadline=None)
def test_whatever_stands_in_a_suite_is_planned_or_told_with_its_place(place: tuple[Any, ...], value: object) -> None:
    tree = yaml_tree.parse(GOOD.encode(), "good.yaml")
    inner = tree.value
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    text = yaml.safe_dump(tree.value, allow_unicode=True)
    with contextlib.suppress(UserError):
        plan.resolve(validate(yaml_tree.parse(text.encode(), "changed.yaml")), plan.Machine(2))


def test_a_type_is_that_of_layers_operators_and_trainings() -> None:
    found = read("quick", dtype="bfloat16")
    assert found.speed is not None
    assert found.quality is not None
    assert {case.dtype for case in found.speed.cases if case.scope == "layer"} == {"bfloat16"}
    assert found.quality.train.precision == "bfloat16"
    operators = read("operators", dtype="float16").speed
    assert operators is not None
    assert {entry.dtype for entry in operators.operators} == {"float16"}
    with pytest.raises(UserError, match="--dtype float8: is unknown"):
        read("quick", dtype="float8")
