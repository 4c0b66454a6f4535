"""The comparison of languages: its plan at equal tokens in all and of English, and the data of its cases."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchsuite.errors import UserError
from benchsuite.measure import quality
from benchsuite.planning.plan import Machine, Plan, resolve
from benchsuite.pretrain.corpora import mixture
from benchsuite.records.params import TrainingParams
from benchsuite.suite.corpora import content, located, spoken
from benchsuite.suite.source import read, validate
from benchsuite.suite.yaml_tree import parse

MACHINE = Machine(cores=2)
SMALL = """
name: small
model: {layers: 1, width: 8, heads: 2, vocab: 400, seq: 32}
baseline: {corpus: "CORPUS", languages: en}
quality:
  seeds: 1
  language_tokens: baseline
  train: {tokens: 20k, batch: 4}
  train_bytes: 60k
  heldout_bytes: 20k
  tasks: {limit: 20}
  variants: {languages: ["en+eu+hi"]}
"""


@pytest.fixture
def plan() -> Plan:
    return resolve(read("ablation-languages"), MACHINE)


def small(corpus: str) -> Plan:
    return resolve(validate(parse(SMALL.replace("CORPUS", corpus).encode(), "f")), MACHINE)


def case(plan: Plan, label: str) -> dict[str, Any]:
    return next(case.params for case in plan.cases if case.label == label)


def test_english_is_compared_at_equal_tokens_and_at_equal_tokens_of_english(plan: Plan) -> None:
    base, eleven = case(plan, "baseline/quality"), case(plan, "languages/eleven/quality")
    alone = case(plan, "languages/en/tokens-of-eleven/quality")
    assert base["corpus"]["name"] == alone["corpus"]["name"] == "facts-en"
    assert eleven["corpus"]["name"] == mixture.parse("eleven").corpus("facts-{language}")
    share = mixture.parse("eleven").shares()["en"]
    assert base["train"]["tokens"] == eleven["train"]["tokens"]
    assert alone["train"]["tokens"] == round(share * eleven["train"]["tokens"])
    ids = {c.label: c.id for c in plan.cases}
    about = [(c.matching, c.base_case, c.tasks) for c in plan.comparisons if c.kind == "quality"]
    assert about == [
        ("in English at equal tokens", ids["baseline/quality"], ("*_en",)),
        ("in English at equal tokens of English", ids["languages/en/tokens-of-eleven/quality"], ("*_en",)),
        ("in all languages at equal tokens", ids["baseline/quality"], ()),
    ]
    assert all(c.case == ids["languages/eleven/quality"] for c in plan.comparisons if c.kind == "quality")
    assert [c.tasks for c in plan.comparisons if c.kind == "control"] == [("*_en",), ("*_en",)]
    assert any("en 22.2%" in note for note in plan.notes)


def test_all_models_share_tokenizer_text_and_tasks(plan: Plan) -> None:
    for key in ("tokenizer", "heldout", "tasks"):
        assert len({json.dumps(found.params[key]) for found in plan.cases}) == 1, key
    base = case(plan, "baseline/quality")
    assert base["tokenizer"]["corpora"] == [mixture.parse("eleven@0").corpus("facts-{language}")]
    assert base["heldout"]["corpus"] == "facts-en"
    assert base["tasks"]["source"] == "facts"
    assert base["tasks"]["languages"] == list(mixture.GROUPS["eleven"])


def test_larger_scales_stream_oscar() -> None:
    plan = resolve(read("ablation-languages", scale="1b3"), MACHINE)
    eleven = case(plan, "languages/eleven/quality")
    template = "hub:oscar-corpus/oscar:unshuffled_deduplicated_{language}"
    assert eleven["corpus"]["name"] == mixture.parse("eleven").corpus(template)
    assert eleven["heldout"]["corpus"] == template.replace("{language}", "en")
    assert eleven["tasks"]["source"] == "derived"
    assert eleven["tasks"]["corpus"] == template


def test_other_suites_keep_their_cases() -> None:
    params = resolve(read("ablation-data"), MACHINE).cases[0].params
    assert set(params["tasks"]) == {"source", "limit", "names", "version"}
    assert params["corpus"]["name"] == "curated"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('["en+eu+hi"]', "[en+xx]", "'xx' is unknown"),
        ("CORPUS", "curated", "has {language} in its name"),
        ("languages: en}", "languages: engl}", "baseline.languages"),
    ],
)
def test_what_cannot_be_compared_is_said(old: str, new: str, said: str) -> None:
    text = SMALL.replace(old, new).replace("CORPUS", "facts-{language}")
    with pytest.raises(UserError) as error:
        validate(parse(text.encode(), "f"))
    assert said in error.value.message


def test_the_baseline_is_not_compared_with_itself_and_alpha_can_be() -> None:
    text = SMALL.replace('["en+eu+hi"]', '["en+hi", "en+hi@1", en]').replace("CORPUS", "facts-{language}")
    plan = resolve(validate(parse(text.encode(), "f")), MACHINE)
    labels = [found.label for found in plan.cases]
    assert "languages/en+hi@1/quality" in labels
    assert "languages/en+hi/quality" in labels
    assert any("is the baseline" in note for note in plan.notes)
    assert case(plan, "languages/en/tokens-of-en+hi@1/quality")["train"]["tokens"] == round(20_000 * 1294 / 1303)


def test_another_corpus_leaves_languages_out_unless_it_has_a_place_for_them() -> None:
    suite = read("ablation-languages")
    plan = resolve(suite, MACHINE, corpora=("curated",))
    assert any("languages are not compared" in note for note in plan.notes)
    assert not [c for c in plan.comparisons if c.component == "languages"]
    kept = resolve(suite, MACHINE, corpora=("hub:a/b:{language}",))
    assert case(kept, "baseline/quality")["corpus"]["name"] == "hub:a/b:en"
    assert spoken(kept.suite) == mixture.GROUPS["eleven"]


def test_names_are_located_and_content_knows_babel(tmp_path: Path) -> None:
    suite = validate(parse(SMALL.replace("CORPUS", str(tmp_path / "{language}.txt")).encode(), "f"))
    assert located(suite).baseline.corpus == str(tmp_path / "{language}.txt")
    assert content("facts-en") == content("facts-zh") != content("curated")
    assert content(mixture.parse("en+eu").corpus("facts-{language}"))
    assert content("mix:en+eu@0.3:hub:a/b:{language}") is None


def test_the_data_of_a_mixture(tmp_path: Path) -> None:
    """Tokens in the shares, one task for each language, English held out."""
    plan = small("facts-{language}")
    prepared = quality.prepare(case(plan, "languages/en+eu+hi/quality"))
    alone = quality.prepare(case(plan, "baseline/quality"))
    assert prepared.tasks == alone.tasks
    assert {path.stem for path in prepared.tasks.glob("*.yaml")} == {"facts_en", "facts_eu", "facts_hi"}
    assert prepared.heldout == alone.heldout
    assert prepared.digests["tokenizer"] == alone.digests["tokenizer"]
    assert prepared.digests["corpus"] != alone.digests["corpus"]
    text = prepared.tokenizer.decode(prepared.tokens[: len(prepared.tokens) // 5].tolist())
    assert "Territory" in text
    assert "Lurraldea" not in text, "languages stand one after the other; the order of training mixes them"
    assert "क्षेत्र" in prepared.tokenizer.decode(prepared.tokens[-2000:].tolist())


def test_of_other_text_tasks_are_derived_for_each_language_and_never_trained_on(tmp_path: Path) -> None:
    from benchsuite.pretrain.corpora import facts

    for code in ("en", "eu", "hi"):  # any files will do
        documents = facts.documents(code, seed=5, n_bytes=150_000)
        (tmp_path / f"{code}.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in documents))
    plan = small(str(tmp_path / "{language}.jsonl"))
    params = case(plan, "languages/en+eu+hi/quality")
    assert params["corpus"]["content"]
    asked = quality.asked_about(TrainingParams.read(params), {"train_bytes": 60_000, "seed": 0})
    assert list(asked) == ["en", "eu", "hi"]
    corpus = quality.corpora.load(params["corpus"]["name"], heldout_bytes=20_000, train_bytes=60_000)
    held = {text for other in asked.values() for text in other.heldout}
    assert held & set(corpus.train), "a smaller share of a stream is split elsewhere"
    assert not held & set(quality._without(corpus, list(asked.values())).train)
