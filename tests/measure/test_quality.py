"""The data of quality cases: whatever a cache holds from other cases, a case gets what an empty cache would give it."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from support.params import training

from benchsuite.errors import UserError
from benchsuite.measure import quality
from benchsuite.planning.plan import Machine, resolve
from benchsuite.pretrain.corpora import world
from benchsuite.suite.source import read

BASE = training(
    model={"seq": 32},
    corpus={"train_bytes": 40_000},
    heldout={"bytes": 40_000},
    tokenizer={"vocab": 400, "train_bytes": 20_000},
    tasks={"source": "auto", "limit": 20},
)
CHANGES: list[dict[str, Any]] = [
    {"tokenizer": {"vocab": 500}},
    {"tokenizer": {"corpora": ["web_raw"]}},
    {"tokenizer": {"train_bytes": 10_000}},
    {"corpus": {"name": "web_raw"}},
    {"corpus": {"train_bytes": 50_000}},
    {"corpus": {"seed": 1}},
    {"heldout": {"bytes": 45_000}},
    {"heldout": {"corpus": "web_filtered"}},
    {"tasks": {"limit": 30}},
    {"tasks": {"source": "facts"}},
    {"tasks": {"source": "facts", "languages": ["en", "eu"]}},
    {"tasks": {"source": "derived"}},
    {"tasks": {"source": "derived"}, "model": {"seq": 24}},
]


def merged(params: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    found = copy.deepcopy(params)
    for section, values in change.items():
        found[section] |= values
    return found


def content(params: dict[str, Any]) -> dict[str, Any]:
    """All that a model reads and is asked."""
    prepared = quality.prepare(params)
    asked = {path.name: path.read_text(encoding="utf-8") for path in sorted(prepared.tasks.glob("*.jsonl"))}
    return {
        "tokens": prepared.tokens.tolist(),
        "tokenizer": prepared.tokenizer.to_str(),
        "heldout": prepared.heldout,
        "tasks": asked,
    }


def empty(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    folder.mkdir()
    monkeypatch.setenv("BENCHSUITE_CACHE", str(folder))


@pytest.fixture(scope="module")
def warm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache in which every case has been."""
    folder = tmp_path_factory.mktemp("warm")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BENCHSUITE_CACHE", str(folder))
        for change in [{}, *CHANGES]:
            quality.prepare(merged(BASE, change))
    return folder


@pytest.mark.parametrize("change", [{}, *CHANGES], ids=json.dumps)
def test_a_cache_remembers_all_that_its_content_follows_from(
    change: dict[str, Any], warm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    params = merged(BASE, change)
    empty(monkeypatch, tmp_path / "cold")
    expected = content(params)
    monkeypatch.setenv("BENCHSUITE_CACHE", str(warm))
    assert content(params) == expected


@pytest.mark.parametrize("change", CHANGES, ids=json.dumps)
def test_each_change_changes_what_is_read_or_asked(change: dict[str, Any], warm: Path) -> None:
    """Without this the test above could pass by comparing equal things."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BENCHSUITE_CACHE", str(warm))
        assert content(merged(BASE, change)) != content(BASE)


def test_the_tokens_of_a_mixture_remember_what_was_left_out_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is asked about in one comparison of languages must not be trained on there, whatever another one asked."""
    for number, code in enumerate(("en", "eu", "hi")):  # any text will do
        documents = world.documents("curated", seed=number, n_bytes=150_000)
        (tmp_path / f"{code}.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in documents))
    template = str(tmp_path / "{language}.jsonl")
    mixed = f"mix:en+eu+hi@0.3:{template}"
    params = merged(
        BASE,
        {
            "corpus": {"name": mixed, "train_bytes": 60_000},
            "heldout": {"corpus": template.replace("{language}", "en")},
            "tokenizer": {"corpora": [mixed]},
            "tasks": {"source": "derived", "corpus": template, "languages": ["en"]},
        },
    )
    more = merged(params, {"tasks": {"languages": ["en", "eu", "hi"]}})
    empty(monkeypatch, tmp_path / "cold")
    expected = content(more)
    empty(monkeypatch, tmp_path / "warm")
    first = content(params)
    assert first["tokens"] != expected["tokens"]
    assert content(more) == expected


def test_a_choice_that_does_not_fit_is_found_before_the_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plan knows the least that a choice takes; with the tokenizer it is known what it takes."""
    empty(monkeypatch, tmp_path / "cache")
    suite = tmp_path / "short.yaml"
    suite.write_text(
        "name: short\nmodel: {layers: 1, width: 8, heads: 2, vocab: 300, seq: 8}\n"
        "quality: {seeds: 1, train: {tokens: 20k, batch: 4}, variants: {position: [none]}, train_bytes: 100k, "
        "tasks: {limit: 10}}\n"
    )
    cases = resolve(read(str(suite)), Machine(cores=2)).cases
    params = next(case.params for case in cases if case.label.startswith("baseline/"))
    monkeypatch.setattr(quality, "trained", lambda *args, **kwargs: pytest.fail("the model was trained"))
    with pytest.raises(UserError, match=r"task \w+: its choice .* has \d+ tokens, .* takes no more than 8"):
        quality.train_and_evaluate(params, seed=0, workdir=tmp_path, progress=lambda done: None)
