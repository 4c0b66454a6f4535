"""Languages in a report: verdicts about English alone, a line for each language, and baselines at two budgets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.make_run import Builder

from benchsuite.report.blocks import Figure
from benchsuite.report.join import join
from benchsuite.report.render import render
from benchsuite.report.sections import tasks

TASKS = ["facts_en", "facts_eu", "facts_zh"]
# accuracy by model and task
MODELS = {
    "baseline/quality": (0.7, 0.25, 0.25),
    "languages/eleven/quality": (0.6, 0.55, 0.5),
    "languages/en/tokens-of-eleven/quality": (0.5, 0.25, 0.25),
}


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return join([make(tmp_path_factory.mktemp("languages") / "run")])


def make(folder: Path) -> Path:
    builder = Builder(0)
    ids = {}
    for label, levels in MODELS.items():
        tokens = 20_000 if "tokens-of" in label else 100_000
        ids[label] = builder.case("quality", label, {"train": {"tokens": tokens}, "tokenizer": {"corpora": [label]}}, 3)
        for seed in range(3):
            tasks = {}
            for task, level in zip(TASKS, levels, strict=True):
                right = builder.rng.random(400) < level + builder.rng.normal(0, 0.005)
                outcomes = "".join("01"[int(hit)] for hit in right)
                tasks[task] = {"acc": float(np.mean(right)), "n": 400, "random_acc": 0.25, "outcomes": outcomes}
            curve = [[tokens * step / 9, 5.0 - step / 3] for step in range(10)]
            train = {"tokens": tokens, "final_loss": 2.0, "curve": curve}
            builder.record(ids[label], seed, {"train": train, "parameters": 9, "tasks": tasks})
    base, eleven, alone = ids.values()
    about = {"kind": "quality", "component": "languages", "variant": "eleven", "baseline": "en", "case": eleven}
    home = {"tasks": ["*_en"]}
    builder.comparisons += [
        about | home | {"base_case": base, "matching": "in English at equal tokens"},
        about | home | {"base_case": alone, "matching": "in English at equal tokens of English"},
        about | {"base_case": base, "matching": "in all languages at equal tokens"},
        {"kind": "control", "name": "fewer", "expected": "worse", "case": alone, "base_case": base} | home,
    ]
    return builder.write(folder, "ablation-languages")


def test_a_verdict_is_about_the_tasks_that_it_names(document: dict[str, Any]) -> None:
    quality = {row["matching"]: row["quality"] for row in document["rows"]}
    verdicts = {matching: found["verdict"] for matching, found in quality.items()}
    assert verdicts == {
        "in English at equal tokens": "worse",
        "in English at equal tokens of English": "better",
        "in all languages at equal tokens": "better",
    }
    assert quality["in English at equal tokens"]["delta"] == pytest.approx(-0.1, abs=0.03)
    assert quality["in English at equal tokens"]["acc"] == pytest.approx(0.6, abs=0.03)
    assert quality["in all languages at equal tokens"]["delta"] == pytest.approx(0.15, abs=0.03)
    assert all(set(found["tasks"]) == set(TASKS) for found in quality.values()), "every language has its cell"
    assert document["controls"][0]["delta"] == pytest.approx(-0.2, abs=0.03)


def test_sentences_say_in_which_languages_and_at_what(document: dict[str, Any]) -> None:
    sentences = [finding["sentence"] for finding in document["findings"]]
    assert sentences[0].startswith("Eleven languages lower zero-shot accuracy in English at equal tokens by ")
    assert "raise zero-shot accuracy in English at equal tokens of English by " in sentences[1]


def test_each_language_has_both_models_scores_with_intervals(document: dict[str, Any]) -> None:
    table = next(block.table for block in tasks.blocks(document) if isinstance(block, Figure))
    assert [row[0].text for row in table.rows] == TASKS
    assert len({column.name for column in table.columns}) == 6
    _, _, baseline, first, *_ = table.rows[1]
    assert baseline.small.startswith("±")
    assert first.small.startswith("5")
    assert " ±" in first.text
    text = render(document, "md")
    assert "| Eleven languages in English at equal tokens of English (" in text
    assert f"({first.small})" in text
    assert "baseline, 20.0k tokens" in render(document, "html")


def test_the_baseline_at_another_budget_is_told_apart(document: dict[str, Any]) -> None:
    names = {model["name"] for model in document["training"] if model["role"] == "baseline"}
    assert names == {"baseline", "baseline, 20.0k tokens"}


def test_patterns_that_name_no_task_are_said(tmp_path: Path) -> None:
    folder = make(tmp_path / "run")
    manifest = folder / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"*_en"', '"*_xx"'))
    rows = join([folder])["rows"]
    assert "one of *_xx" in rows[0]["quality"]["reason"]
    assert rows[0]["quality"]["verdict"] == "unresolved"
