"""Saved models come back bit for bit; anything else says what is wrong with it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models

from benchsuite.errors import UserError
from benchsuite.model import checkpoint
from benchsuite.model.gpt import GPT
from benchsuite.model.spec import ModelSpec

SPEC = ModelSpec(layers=2, width=24, heads=3, vocab=17, seq=12)
SPECS = [
    SPEC,
    ModelSpec(layers=1, width=24, heads=3, vocab=17, seq=12, position="alibi", embedding_norm="on", tied=False),
    ModelSpec(layers=1, width=24, heads=3, vocab=17, seq=12, position="rotary", activation="swiglu"),
    ModelSpec(layers=1, width=24, heads=3, vocab=17, seq=12, embedding_norm="on"),
]


@pytest.fixture
def words() -> Tokenizer:
    return Tokenizer(models.WordLevel({"<|endoftext|>": 0, "a": 1}, unk_token="a"))


@pytest.fixture
def saved(tmp_path: Path, words: Tokenizer) -> Path:
    checkpoint.save(GPT(SPEC), tmp_path / "model", words)
    return tmp_path / "model"


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: f"{spec.position}-{spec.embedding_norm}")
def test_a_model_comes_back_as_it_was(spec: ModelSpec, words: Tokenizer, tmp_path: Path) -> None:
    model = GPT(spec).train()
    checkpoint.save(model, tmp_path / "deep" / "folder", words)
    loaded, tokenizer = checkpoint.load(tmp_path / "deep" / "folder")
    assert loaded.spec == spec
    assert not loaded.training
    for name, weight in model.state_dict().items():
        assert torch.equal(weight, loaded.state_dict()[name]), name
    assert (loaded.unembedding.weight is loaded.embedding.weight) == spec.tied
    assert tokenizer.to_str() == words.to_str()
    tokens = torch.arange(12)[None]
    assert torch.equal(model.eval()(tokens), loaded(tokens))


def test_saving_again_replaces_the_model(saved: Path, words: Tokenizer) -> None:
    model = GPT(SPECS[2])
    checkpoint.save(model, saved, words)
    assert checkpoint.load(saved)[0].spec == SPECS[2]
    assert sorted(path.name for path in saved.iterdir()) == ["model.safetensors", "spec.json", "tokenizer.json"]


def test_an_interrupted_save_does_not_load(saved: Path, words: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint, "save_file", interrupted)
    with pytest.raises(KeyboardInterrupt):
        checkpoint.save(GPT(SPECS[2]), saved, words)
    with pytest.raises(UserError, match=r"spec\.json is missing"):
        checkpoint.load(saved)


def test_attention_is_computed_as_asked(saved: Path) -> None:
    tokens = torch.arange(12)[None]
    eager, sdpa = (checkpoint.load(saved, implementation=name)[0](tokens) for name in ("eager", "sdpa"))
    torch.testing.assert_close(eager, sdpa)


@pytest.mark.parametrize("name", ["model.safetensors", "spec.json", "tokenizer.json"])
def test_a_missing_file_is_named(saved: Path, name: str) -> None:
    (saved / name).unlink()
    with pytest.raises(UserError, match=f"no model in .*: {name} is missing") as raised:
        checkpoint.load(saved)
    assert raised.value.exit_code == 2


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no model in .*nowhere"):
        checkpoint.load(tmp_path / "nowhere")


@pytest.mark.parametrize("name", ["model.safetensors", "spec.json", "tokenizer.json"])
@pytest.mark.parametrize("damage", [lambda data: b"", lambda data: data[: len(data) // 2], lambda data: b"\x80" * 99])
def test_a_damaged_file_is_named(saved: Path, name: str, damage: Callable[[bytes], bytes]) -> None:
    (saved / name).write_bytes(damage((saved / name).read_bytes()))
    with pytest.raises(UserError, match=name):
        checkpoint.load(saved)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ([], "is no model specification"),
        ({"schema_version": 1}, "is no model specification"),
        ({"schema_version": 9, "spec": {}}, "has schema version 9"),
        ({"schema_version": 1, "spec": {"layers": 2}}, "does not describe a model"),
        ({"schema_version": 1, "spec": {"colour": "blue"}}, "does not describe a model"),
        ({"schema_version": 1, "spec": {**vars(SPEC), "position": "sundial"}}, "unknown position 'sundial'"),
    ],
)
def test_a_spec_that_is_none_is_refused(saved: Path, document: object, message: str) -> None:
    (saved / "spec.json").write_text(json.dumps(document))
    with pytest.raises(UserError, match=message):
        checkpoint.load(saved)


def test_a_model_whose_norm_was_in_another_place_is_refused(saved: Path, words: Tokenizer) -> None:
    checkpoint.save(GPT(SPECS[3]), saved, words)
    checkpoint.load(saved)
    document = json.loads((saved / "spec.json").read_text())
    del document["spec"]["embedding_norm_place"]  # as earlier versions wrote it
    (saved / "spec.json").write_text(json.dumps(document))
    with pytest.raises(UserError, match="normalises the sum of word and position") as raised:
        checkpoint.load(saved)
    assert raised.value.exit_code == 2


def test_weights_of_another_model_are_refused(saved: Path) -> None:
    path = saved / "model.safetensors"
    weights = load_file(path)
    del weights["blocks.1.ffn.up.bias"]
    save_file(weights, path)
    with pytest.raises(UserError, match=r"weight 'blocks\.1\.ffn\.up\.bias' is missing from"):
        checkpoint.load(saved)
    save_file({**load_file(path), "blocks.1.ffn.up.bias": torch.zeros(3)}, path)
    with pytest.raises(UserError, match=r"has shape \(3,\); spec\.json asks for \(96,\)"):
        checkpoint.load(saved)
    save_file({**load_file(path), "blocks.1.ffn.up.bias": torch.zeros(96), "more": torch.zeros(1)}, path)
    with pytest.raises(UserError, match="weight 'more' is unexpected in"):
        checkpoint.load(saved)


def test_a_folder_that_cannot_be_written_is_a_user_error(tmp_path: Path, words: Tokenizer) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be saved in"):
        checkpoint.save(GPT(SPEC), tmp_path / "file", words)
