"""The tokenizer: lossless on any text, deterministic, cached safely."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from benchsuite.errors import UserError
from benchsuite.pretrain import tokenizer as module
from benchsuite.pretrain.tokenizer import END_OF_TEXT, MIN_VOCAB, encode, train

TEXT = ["The cat sat on the mat. The dog sat on the log.", "Das Kätzchen saß da.", "猫は座った。"] * 5


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def _cached_here(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCHSUITE_CACHE", str(cache))


@pytest.fixture(scope="module")
def trained(cache: Path) -> Tokenizer:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BENCHSUITE_CACHE", str(cache))
        return train(TEXT, 300)


def test_vocabulary(trained: Tokenizer) -> None:
    assert trained.token_to_id(END_OF_TEXT) == 0
    assert trained.get_vocab_size() == 300
    assert train(TEXT, MIN_VOCAB).get_vocab_size() == MIN_VOCAB
    assert train(["ab"], 1000).get_vocab_size() <= 259


@pytest.mark.parametrize("vocab", [0, 256, -1])
def test_vocabulary_without_all_bytes_is_refused(vocab: int) -> None:
    with pytest.raises(UserError, match="too small") as caught:
        train(TEXT, vocab)
    assert "257" in caught.value.hint


TEXTS = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=60)


@settings(max_examples=200, deadline=None)
@given(st.lists(TEXTS, max_size=4))
def test_every_text_comes_back(trained: Tokenizer, documents: list[str]) -> None:
    ids = encode(trained, documents)
    starts = np.flatnonzero(ids == 0)
    assert len(starts) == len(documents)
    pieces = np.split(ids, starts)[1:]
    assert [trained.decode(piece[1:].tolist(), skip_special_tokens=False) for piece in pieces] == documents
    assert ids.size == 0 or ids[0] == 0


def test_the_separator_within_a_text_is_text(trained: Tokenizer) -> None:
    ids = encode(trained, [f"before {END_OF_TEXT} after"])
    assert (ids == 0).sum() == 1
    assert trained.decode(ids[1:].tolist(), skip_special_tokens=False) == f"before {END_OF_TEXT} after"
    assert trained.encode(END_OF_TEXT).ids == [0]  # the tokenizer itself is left as it was


def test_ids_are_as_small_as_the_vocabulary_allows(trained: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    assert encode(trained, TEXT).dtype == np.uint16
    assert encode(trained, []).shape == (0,)

    class Large:
        def __getattr__(self, name: str) -> object:
            return getattr(trained, name)

        def get_vocab_size(self) -> int:
            return 70_000

    assert encode(Large(), TEXT).dtype == np.uint32  # type: ignore[arg-type]


def test_batches_do_not_change_the_ids(trained: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = encode(trained, TEXT)
    monkeypatch.setattr(module, "_BATCH_BYTES", 20)
    assert np.array_equal(encode(trained, TEXT), whole)


def test_training_is_deterministic_and_cached(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trained: Tokenizer
) -> None:
    monkeypatch.setenv("BENCHSUITE_CACHE", str(tmp_path))
    assert train(TEXT, 300).to_str() == trained.to_str()
    (file,) = (tmp_path / "tokenizers").iterdir()
    before = file.stat().st_mtime_ns
    assert train(TEXT, 300).to_str() == trained.to_str()
    assert file.stat().st_mtime_ns == before
    train(TEXT[:-1], 300)
    train(TEXT, 299)
    assert len(list((tmp_path / "tokenizers").iterdir())) == 3


@pytest.mark.parametrize("damage", [b"", b"torn", b"\xff\xfe"])
def test_torn_cache_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trained: Tokenizer, damage: bytes
) -> None:
    monkeypatch.setenv("BENCHSUITE_CACHE", str(tmp_path))
    train(TEXT, 300)
    (file,) = (tmp_path / "tokenizers").iterdir()
    whole = file.read_bytes()
    file.write_bytes(damage or whole[: len(whole) // 2])
    assert train(TEXT, 300).to_str() == trained.to_str()
    assert file.read_bytes() == whole
