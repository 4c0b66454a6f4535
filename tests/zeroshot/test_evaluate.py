"""Evaluation of one model on task files, through lm-eval, without a network."""

from __future__ import annotations

import json
import math
import random
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from lm_eval.api.instance import Instance
from lm_eval.evaluator import simple_evaluate
from lm_eval.tasks import TaskManager
from tokenizers import Tokenizer

from benchsuite.errors import UserError
from benchsuite.model.gpt import GPT
from benchsuite.zeroshot.evaluate import LocalTask, bits_per_byte, evaluate, load_tasks
from benchsuite.zeroshot.lm import BenchsuiteLM
from benchsuite.zeroshot.taskfiles import Document, TaskInfo, write_task

from .words import sentence


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two tasks; in `answers` the gold choice is what a model that always says `b` says."""
    rng = random.Random(0)
    rows: list[Document] = []
    for n in range(20):
        choices = [" " + sentence(rng, rng.randint(1, 3)) for _ in range(2 + n % 3)]
        context = sentence(rng, rng.randint(3, 30))
        rows.append({"context": context, "choices": choices, "gold": n % 2, "question": f"{n}"})
    write_task(tmp_path / "tasks", TaskInfo("choose", "test", (), 0.4, 20, "a test", 20), rows, acc_norm=True)
    answers: list[Document] = [
        {
            "context": "Anna",
            "choices": ["ab", "bb"] if n % 3 else ["bb", "ab"],
            "gold": int(n % 2 == 0),
            "question": f"{n % 6}",
        }
        for n in range(12)
    ]
    write_task(tmp_path / "tasks", TaskInfo("answers", "test", (), 0.5, 12, "a test", 6), answers)
    return tmp_path / "tasks"


def test_outcomes_are_those_of_the_documents_in_order(
    make_model: Callable[..., GPT], bpe: Tokenizer, folder: Path
) -> None:
    model = make_model(position="none")
    with torch.no_grad():  # a model that always says b
        model.final_norm.weight.zero_()
        model.final_norm.bias.copy_(10 * model.embedding.weight[bpe.token_to_id("b")])
    says_b = [int(n % 3 != 0) for n in range(12)]
    outcomes = "".join(str(int(said == int(n % 2 == 0))) for n, said in enumerate(says_b))
    result = evaluate(model, bpe, folder, names=["answers"])
    assert result["answers"].outcomes == outcomes
    assert (result["answers"].acc, result["answers"].n) == (outcomes.count("1") / 12, 12)
    assert result["answers"].random_acc == 0.5
    assert result["answers"].questions == ["0", "1", "2", "3", "4", "5"] * 2
    assert result["answers"].version == "2.0"


def test_graded_scores_are_those_of_the_choices_likelihoods(
    make_model: Callable[..., GPT], bpe: Tokenizer, folder: Path
) -> None:
    """By the definition, document by document, from the model's own likelihoods."""
    model = make_model(position="rotary")
    [result] = evaluate(model, bpe, folder, names=["choose"]).values()
    assert result.graded is not None
    assert result.questions is None, "each document asks something of its own"
    lm = BenchsuiteLM(model, bpe)
    for n, line in enumerate((folder / "choose.jsonl").read_text().splitlines()):
        row = json.loads(line)
        nats = [lm.loglikelihood([_request(row["context"], choice)])[0][0] for choice in row["choices"]]
        right, gold = nats[row["gold"]], row["choices"][row["gold"]]
        others = [value for index, value in enumerate(nats) if index != row["gold"]]
        share = math.exp(right) / sum(math.exp(value) for value in nats)
        assert result.graded.probability[n] == pytest.approx(share, abs=1e-3)
        assert result.graded.bits_per_byte[n] == pytest.approx(-right / math.log(2) / len(gold.encode()), abs=1e-3)
        assert result.graded.margin[n] == pytest.approx((right - max(others)) / math.log(2), abs=1e-2)
        assert (result.graded.margin[n] > 0) == (result.outcomes[n] == "1")


def _request(context: str, continuation: str) -> Instance:
    return Instance(request_type="loglikelihood", doc={}, arguments=(context, continuation), idx=0)


@pytest.mark.slow
def test_results_are_those_of_simple_evaluate(
    make_model: Callable[..., GPT], bpe: Tokenizer, folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "datasets")
    monkeypatch.setattr("lm_eval.evaluator.add_env_info", lambda results: None)  # it starts a dozen programs
    model = make_model(position="rotary")
    ours = evaluate(model, bpe, folder)
    manager = TaskManager(include_path=str(folder), include_defaults=False)
    theirs = simple_evaluate(model=BenchsuiteLM(model, bpe), tasks=["choose", "answers"], task_manager=manager)
    assert theirs is not None
    assert ours.keys() == theirs["samples"].keys()
    for name, result in ours.items():
        samples = sorted(theirs["samples"][name], key=lambda sample: sample["doc_id"])
        assert result.outcomes == "".join(str(int(sample["acc"])) for sample in samples)
        assert result.acc == pytest.approx(theirs["results"][name]["acc,none"])
        assert 0 < result.acc < 1


def test_documents_and_requests_are_those_of_lm_evals_own_loader(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "datasets")
    ours = load_tasks(folder)
    theirs = TaskManager(include_path=str(folder), include_defaults=False).load(["choose", "answers"])["tasks"]
    assert all(isinstance(task, LocalTask) for task in ours.values())
    for name, task in ours.items():
        for one in (task, theirs[name]):
            one.build_all_requests()
        assert [instance.args for instance in task.instances] == [instance.args for instance in theirs[name].instances]
        assert [instance.doc for instance in task.instances] == [instance.doc for instance in theirs[name].instances]


def test_guessing_is_one_over_the_choices(make_model: Callable[..., GPT], bpe: Tokenizer, folder: Path) -> None:
    [result] = evaluate(make_model(), bpe, folder, names=["choose"], limit=6).values()
    assert result.n == len(result.outcomes) == 6
    assert result.random_acc == pytest.approx((1 / 2 + 1 / 3 + 1 / 4) / 3)


@pytest.mark.slow
def test_the_batch_size_does_not_matter(make_model: Callable[..., GPT], bpe: Tokenizer, folder: Path) -> None:
    model = make_model(position="alibi")
    assert evaluate(model, bpe, folder, batch_tokens=1) == evaluate(model, bpe, folder, batch_tokens=100_000)


def test_evaluation_is_quiet_and_stays_off_the_network(
    make_model: Callable[..., GPT],
    bpe: Tokenizer,
    folder: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*args: object) -> None:
        raise AssertionError("evaluation opened a connection")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    seen: list[float] = []
    evaluate(make_model(), bpe, folder, progress=seen.append)
    assert capfd.readouterr() == ("", "")
    assert seen[-1] == 1.0


def test_an_unknown_task_is_refused(make_model: Callable[..., GPT], bpe: Tokenizer, folder: Path) -> None:
    with pytest.raises(UserError, match="no task 'chose'") as raised:
        evaluate(make_model(), bpe, folder, names=["chose"])
    assert "choose" in raised.value.hint


def test_a_folder_without_tasks_is_refused(make_model: Callable[..., GPT], bpe: Tokenizer, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no tasks in"):
        evaluate(make_model(), bpe, tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, r"choose\.jsonl are missing"),
        ("", "the file is empty"),
        ('{"context": "a", "choices": [" b"], "gold": 0}\n\n{', r"choose\.jsonl, line 3: Expecting property name"),
        ('{"context": "a", "choices": [" b"], "gold": 0}\n{"gold": 1}', "line 2 is no document like the first"),
        ("[1]", "line 1 is no document"),
        ("\ud800", "cannot be read"),
    ],
)
def test_missing_and_broken_documents_are_refused(
    make_model: Callable[..., GPT], bpe: Tokenizer, folder: Path, text: str | None, message: str
) -> None:
    if text is None:
        (folder / "choose.jsonl").unlink()
    else:
        (folder / "choose.jsonl").write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(UserError, match=message):
        evaluate(make_model(), bpe, folder, names=["choose"])


def test_bits_per_byte_of_a_model_that_knows_nothing(make_model: Callable[..., GPT], bpe: Tokenizer) -> None:
    model = make_model(position="learned")
    with torch.no_grad():
        model.final_norm.weight.zero_()
        model.final_norm.bias.zero_()
    texts = ["the cat sleeps", sentence(random.Random(0), 80), "", "日本"]
    bits, lengths = bits_per_byte(model, bpe, texts)
    assert lengths == [14, len(texts[1]), 0, 6]
    uniform = math.log2(model.spec.vocab)
    assert bits == pytest.approx([len(bpe.encode(text).ids) * uniform for text in texts], rel=1e-5)


@pytest.mark.parametrize("position", ["learned", "alibi"])
def test_bits_per_byte_are_windows_of_the_training_length(
    make_model: Callable[..., GPT], bpe: Tokenizer, position: str
) -> None:
    model = make_model(position=position)
    text = sentence(random.Random(3), 60)
    ids = [0, *bpe.encode(text).ids]
    assert len(ids) % 32 > 1  # so that there is a last, shorter window
    nats = 0.0
    for end in [*range(33, len(ids), 32), len(ids)]:
        window = torch.tensor(ids[max(0, end - 33) : end])
        predicted = 32 if (end - 1) % 32 == 0 else (end - 1) % 32
        with torch.inference_mode():
            logprobs = model(window[None, :-1])[0].log_softmax(-1)
        nats -= float(logprobs.gather(1, window[1:, None])[-predicted:].sum())
    [bits], _ = bits_per_byte(model, bpe, [text], batch_tokens=70)
    assert bits == pytest.approx(nats / math.log(2), rel=1e-5)
