"""The schema against what it mirrors, and the text that a suite runs on."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from benchsuite import components
from benchsuite.suite.corpora import on
from benchsuite.suite.schema import Baseline, Suite, Train
from benchsuite.suite.source import validate
from benchsuite.suite.values import as_count
from benchsuite.suite.yaml_tree import parse

TEXT = b"""
name: small
model: {layers: 1, width: 8, heads: 2, vocab: 300, seq: 8}
quality:
  train: {tokens: 60k}
  variants: {position: [none], corpus: [web_raw]}
  tasks: {names: [cloze]}
"""


@pytest.fixture
def suite() -> Suite:
    return validate(parse(TEXT, "f"))


def test_training_is_configured_as_the_trainer_is() -> None:
    from benchsuite.records.params import TrainConfig

    ours = {field.name: field.default for field in dataclasses.fields(Train)}
    assert ours == {field.name: field.default for field in dataclasses.fields(TrainConfig)}


def test_the_baseline_names_every_component() -> None:
    assert {field.name for field in dataclasses.fields(Baseline)} == {*components.COMPONENTS, "corpus", "languages"}


@pytest.mark.parametrize(("text", "value"), [("200k", 200_000), ("1.5M", 1_500_000), ("x", "x"), ("k", "k"), (7, 7)])
def test_counts_have_suffixes(text: object, value: object) -> None:
    assert as_count(text) == value


def test_a_corpus_given_takes_the_place_of_the_baseline_s(suite: Suite) -> None:
    changed, notes = on(suite, ("web_raw", "curated"))
    assert changed.quality is not None
    assert changed.baseline.corpus == "web_raw"
    assert changed.quality.tokenizer.corpora == ("web_raw",)
    assert changed.quality.variants == {"position": ("none",), "corpus": ("curated",)}
    assert changed.quality.tasks.names == ("cloze",)
    assert notes == ()


def test_installed_brings_its_own_variants(suite: Suite) -> None:
    changed, notes = on(suite, ("installed",))
    assert changed.quality is not None
    assert changed.quality.variants["corpus"] == ("installed-raw", "installed-filtered")
    assert changed.quality.tasks.names is None, "the world's tasks do not fit other text"
    assert changed.quality.heldout_bytes == 150_000, "tasks are made from held-out documents"
    assert len(notes) == 3


def test_one_file_drops_the_comparison_of_corpora_and_says_so(suite: Suite, tmp_path: Path) -> None:
    changed, notes = on(suite, (str(tmp_path / "book.txt"),))
    assert changed.quality is not None
    assert changed.quality.variants == {"position": ("none",)}
    assert "corpora are not compared" in notes[0]


def test_a_setting_takes_multiples_and_values(suite: Suite) -> None:
    setting = suite.setting().changed({"train.tokens": "0.25x", "init_offset": 1000, "baseline.position": "none"})
    assert (setting.train.tokens, setting.init_offset, setting.baseline.position) == (15_000, 1000, "none")
    assert setting.model == suite.model
