"""The lm-eval model against lm-eval's HFLM on the exported transformers model."""

from __future__ import annotations

import importlib.util
import json
import os
import random
import runpy
import subprocess
import sys
from collections.abc import Callable
from functools import partialmethod
from pathlib import Path
from typing import Any

import pytest
import torch
from lm_eval.api.instance import Instance
from lm_eval.api.registry import get_model
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager
from tokenizers import Tokenizer, models

from benchsuite.errors import UserError
from benchsuite.model import checkpoint
from benchsuite.model.bridge import export
from benchsuite.model.gpt import GPT
from benchsuite.zeroshot.lm import BenchsuiteLM
from benchsuite.zeroshot.taskfiles import Document, TaskInfo, write_task

from .words import sentence

VARIANTS = [  # and the transformers class that they are exported to
    ({"position": "none"}, "gpt2"),
    ({"position": "learned"}, "gpt2"),
    ({"position": "sinusoidal"}, "gpt2"),
    ({"position": "rotary"}, "gpt_neox"),
    ({"position": "alibi", "embedding_norm": "on", "heads": 6}, "bloom"),
    ({"position": "alibi"}, "benchsuite"),
    ({"position": "t5"}, "benchsuite"),
    ({"position": "rotary", "activation": "swiglu", "embedding_norm": "on"}, "benchsuite"),
]


def request(kind: str, *args: Any) -> Instance:
    return Instance(request_type=kind, doc={}, arguments=args, idx=0, metadata=("task", 0, 1))


def multiple_choice(seed: int = 0) -> list[Instance]:
    """Contexts from none to three times the models' 32 positions, with one to nine words to choose from."""
    rng = random.Random(seed)
    requests = []
    for words in [0, 1, 3, 6, 8, 10, 13, 20, 30, 45]:
        context = sentence(rng, words) + rng.choice(["", " ", "\n"]) if words else ""
        for _ in range(4):
            requests.append(request("loglikelihood", context, " " + sentence(rng, rng.choice([1, 1, 2, 5, 9]))))
    return requests + requests[:3]


def documents() -> list[Instance]:
    rng = random.Random(1)
    texts = [sentence(rng, words) for words in (1, 7, 40, 90)] + [""]
    return [request("loglikelihood_rolling", text) for text in texts]


def prompts() -> list[Instance]:
    rng = random.Random(2)
    options = {"until": ["a", " the"], "max_gen_toks": 12}
    return [request("generate_until", sentence(rng, words), options) for words in (1, 2, 5, 9, 20, 45)]


@pytest.mark.slow
@pytest.mark.parametrize(("variant", "model_type"), VARIANTS, ids=str)
def test_every_answer_is_that_of_hflm(
    make_model: Callable[..., GPT], bpe: Tokenizer, tmp_path: Path, variant: dict[str, Any], model_type: str
) -> None:
    model = make_model(**variant)
    assert export(model, bpe, tmp_path) == model_type
    theirs = HFLM(pretrained=str(tmp_path), device="cpu", batch_size=8)
    expected = theirs.loglikelihood(multiple_choice(), disable_tqdm=True)
    rolling = HFLM(pretrained=str(tmp_path), device="cpu", batch_size=8, max_length=model.spec.seq)
    expected_rolling = rolling.loglikelihood_rolling(documents(), disable_tqdm=True)
    generated = theirs.generate_until(prompts(), disable_tqdm=True)
    for batch_tokens in (50, 100_000):
        ours = BenchsuiteLM(model, bpe, batch_tokens=batch_tokens)
        answers = ours.loglikelihood(multiple_choice())
        assert [nats for nats, _ in answers] == pytest.approx([nats for nats, _ in expected], abs=1e-4)
        assert [greedy for _, greedy in answers] == [greedy for _, greedy in expected]
        assert ours.loglikelihood_rolling(documents()) == pytest.approx(expected_rolling, abs=1e-4)
        assert ours.generate_until(prompts()) == generated
    assert len({round(nats, 3) for nats, _ in answers}) > 30  # the models do tell the choices apart


def test_generation_ends_at_stops_at_the_end_of_text_and_at_its_length(
    make_model: Callable[..., GPT], bpe: Tokenizer
) -> None:
    model = make_model(position="none")
    with torch.no_grad():
        model.final_norm.weight.zero_()
        model.final_norm.bias.copy_(10 * model.embedding.weight[bpe.token_to_id("b")])
    lm = BenchsuiteLM(model, bpe)
    assert lm.generate_until([request("generate_until", "a", {"until": [], "max_gen_toks": 5})]) == ["b" * 5]
    assert lm.generate_until([request("generate_until", "a", {"until": ["bbb"], "max_gen_toks": 5})]) == [""]
    with torch.no_grad():
        model.final_norm.bias.copy_(10 * model.embedding.weight[0])
    assert lm.generate_until([request("generate_until", "a", {"until": [], "max_gen_toks": 5})]) == [""]


def test_the_model_is_put_into_evaluation_mode(make_model: Callable[..., GPT], bpe: Tokenizer) -> None:
    model = make_model(position="none").train()
    assert not BenchsuiteLM(model, bpe).model.training


def test_progress_rises_to_one(make_model: Callable[..., GPT], bpe: Tokenizer) -> None:
    seen: list[float] = []
    BenchsuiteLM(make_model(), bpe, batch_tokens=64, progress=seen.append).loglikelihood(multiple_choice())
    assert seen == sorted(seen)
    assert len(seen) > 3
    assert seen[-1] == 1.0


def test_lm_evals_cache_is_filled(make_model: Callable[..., GPT], bpe: Tokenizer) -> None:
    class Hook:
        def __init__(self) -> None:
            self.stored: list[tuple[str, Any]] = []

        def add_partial(self, kind: str, args: Any, answer: Any) -> None:
            self.stored.append((kind, tuple(args)))

    lm, hook = BenchsuiteLM(make_model(), bpe), Hook()
    lm.set_cache_hook(hook)
    asked = multiple_choice()[:2]
    lm.loglikelihood(asked)
    lm.loglikelihood_rolling(documents()[:1])
    assert hook.stored == [
        *(("loglikelihood", instance.args) for instance in asked),
        ("loglikelihood_rolling", documents()[0].args),
    ]


@pytest.mark.parametrize(
    ("kind", "args", "message"),
    [
        ("loglikelihood", ("cat", ""), "adds no token to its context"),
        ("loglikelihood", ("cat", " cat" * 40), "does not fit a model that takes at most 32"),
        ("generate_until", ("cat", {"until": [], "do_sample": True}), "greedily only"),
        ("generate_until", ("cat", {"until": [], "max_gen_toks": 32}), "leave no room"),
    ],
)
def test_impossible_requests_are_refused(
    make_model: Callable[..., GPT], bpe: Tokenizer, kind: str, args: tuple[Any, ...], message: str
) -> None:
    lm = BenchsuiteLM(make_model(position="learned"), bpe)
    with pytest.raises(UserError, match=message):
        getattr(lm, kind)([request(kind, *args)])


def test_a_tokenizer_without_an_end_of_text_is_refused(make_model: Callable[..., GPT]) -> None:
    with pytest.raises(UserError, match=r"no <\|endoftext\|> token"):
        BenchsuiteLM(make_model(), Tokenizer(models.BPE()))


def test_a_saved_model_is_loaded_by_name(make_model: Callable[..., GPT], bpe: Tokenizer, tmp_path: Path) -> None:
    model = make_model()
    checkpoint.save(model, tmp_path, bpe)
    lm = get_model("benchsuite").create_from_arg_string(f"pretrained={tmp_path}", {"batch_size": 1, "device": "cpu"})
    expected = BenchsuiteLM(model, bpe).loglikelihood(multiple_choice())
    assert lm.loglikelihood(multiple_choice()) == expected


def tiny_task(folder: Path) -> list[Document]:
    rng = random.Random(5)
    rows: list[Document] = [
        {
            "context": sentence(rng, 8),
            "choices": [" " + sentence(rng, 2) for _ in range(3)],
            "gold": n % 3,
            "question": f"{n}",
        }
        for n in range(6)
    ]
    write_task(folder, TaskInfo("tiny", "test", (), 1 / 3, 6, "a test", 6), rows)
    return rows


def options(tmp_path: Path, model: str, model_args: str) -> list[str]:
    chosen = ["--model", model, "--model_args", model_args, "--tasks", "tiny", "--device", "cpu"]
    return ["run", *chosen, "--include_path", f"{tmp_path}/tasks", "--log_samples", "--output_path", f"{tmp_path}/out"]


def logged(folder: Path) -> list[float]:
    """The log-likelihoods in the sample log that lm-eval's command line wrote."""
    [log] = folder.glob("**/samples_tiny_*.jsonl")
    samples = sorted((json.loads(line) for line in log.read_text().splitlines()), key=lambda sample: sample["doc_id"])
    return [float(answer[0]) for sample in samples for answer in sample["filtered_resps"]]


def expected(model: GPT, bpe: Tokenizer, rows: list[Document]) -> list[float]:
    asked = [request("loglikelihood", row["context"], choice) for row in rows for choice in row["choices"]]
    return [nats for nats, _ in BenchsuiteLM(model, bpe).loglikelihood(asked)]


@pytest.mark.slow
@pytest.mark.parametrize("how", ["native", "registered"])
def test_lm_evals_command_line_runs_our_models(
    make_model: Callable[..., GPT], bpe: Tokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    model = make_model(position="rotary" if how == "native" else "alibi")
    rows = tiny_task(tmp_path / "tasks")
    if how == "native":
        export(model, bpe, tmp_path / "model")
    else:
        checkpoint.save(model, tmp_path / "model", bpe)
    name, module = {"native": ("hf", "lm_eval"), "registered": ("benchsuite", "benchsuite.zeroshot")}[how]
    monkeypatch.setattr("sys.argv", [module, *options(tmp_path, name, f"pretrained={tmp_path / 'model'}")])
    monkeypatch.setattr("lm_eval.evaluator.add_env_info", lambda results: None)  # it starts a dozen programs
    own_tasks = partialmethod(TaskManager.__init__, include_defaults=False)  # reads thousands of files
    monkeypatch.setattr(TaskManager, "__init__", own_tasks)
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "datasets")
    spec = importlib.util.find_spec(f"{module}.__main__")
    assert spec is not None
    assert spec.origin is not None
    runpy.run_path(spec.origin, run_name="__main__")  # run_module wants a loader that pytest's for plug-ins is not
    assert logged(tmp_path / "out") == pytest.approx(expected(model, bpe, rows), abs=1e-4)


@pytest.mark.long
@pytest.mark.parametrize("variant", [options for options, _ in VARIANTS], ids=str)
def test_stock_lm_eval_elsewhere_runs_what_the_command_exported(
    make_model: Callable[..., GPT], bpe: Tokenizer, tmp_path: Path, variant: dict[str, Any]
) -> None:
    """Both commands in processes of their own, outside the checkout; a class of ours comes by `trust_remote_code`."""
    model = make_model(**variant)
    rows = tiny_task(tmp_path / "tasks")
    checkpoint.save(model, tmp_path / "saved", bpe)
    environment = {**os.environ, "HF_HOME": str(tmp_path / "hf"), "HF_HUB_OFFLINE": "1"}

    def run(module: str, *arguments: str) -> str:
        command = [sys.executable, "-P", "-m", module, *arguments]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=600
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    told = run("benchsuite", "export", "saved", "--transformers", "exported").split()
    model_args = told[told.index("--model_args") + 1]
    assert model_args.startswith("pretrained=exported")
    run("lm_eval", *options(tmp_path, "hf", model_args))
    assert logged(tmp_path / "out") == pytest.approx(expected(model, bpe, rows), abs=1e-4)
