"""Byte-level BPE: trained on a corpus, and documents as packed token ids.

Every text can be encoded and comes back unchanged, whatever its script: all 256 bytes are in the vocabulary.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import tokenizers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from benchsuite.cache import cache_dir, write_atomically
from benchsuite.errors import UserError
from benchsuite.pretrain.corpora import Corpus

END_OF_TEXT = "<|endoftext|>"
MIN_VOCAB = 257  # 256 bytes and END_OF_TEXT
VERSION = 1
_BATCH_BYTES = 1 << 20


def train(documents: Sequence[str], vocab: int) -> Tokenizer:
    """A byte-level BPE tokenizer with at most `vocab` tokens learned from `documents`; `<|endoftext|>` has id 0.

    Text with few distinct words gives fewer tokens. Deterministic, and cached on disk by the documents and `vocab`.
    Source: Sennrich et al. 2016, arXiv:1508.07909, on bytes and with the word pattern of Radford et al. 2019 (GPT-2).
    Raises UserError for a vocabulary below 257.
    """
    if vocab < MIN_VOCAB:
        raise UserError(
            f"a vocabulary of {vocab} is too small", hint=f"the least is {MIN_VOCAB}: 256 bytes and {END_OF_TEXT}"
        )
    path = cache_dir("tokenizers") / f"bpe-{_digest(documents, vocab)}.json"
    found = _read_cache(path)
    if found is not None:
        return found
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(documents, trainer, length=len(documents))
    content = tokenizer.to_str()
    with write_atomically(path) as temporary:
        temporary.write_text(f"{hashlib.sha256(content.encode()).hexdigest()}\n{content}", encoding="utf-8")
    return tokenizer


def encode(tokenizer: Tokenizer, documents: Sequence[str]) -> np.ndarray:
    """(tokens,) ids of all documents in order, `<|endoftext|>` before each: uint16, or uint32 beyond 65,536 tokens.

    Multi-threaded. A document that itself contains the characters `<|endoftext|>` gets them as ordinary text.
    """
    kind = np.uint16 if tokenizer.get_vocab_size() <= 1 << 16 else np.uint32
    end = tokenizer.token_to_id(END_OF_TEXT)
    before = tokenizer.encode_special_tokens
    tokenizer.encode_special_tokens = True
    try:
        parts = []
        for batch in _batches(documents):
            encoded = tokenizer.encode_batch_fast(batch, add_special_tokens=False)
            parts += [np.array([end, *one.ids], dtype=kind) for one in encoded]
    finally:
        tokenizer.encode_special_tokens = before
    return np.concatenate(parts) if parts else np.empty(0, dtype=kind)


def encode_corpus(tokenizer: Tokenizer, corpus: Corpus) -> np.ndarray:
    """(tokens,) ids of a corpus's training documents. Of a mixture each language has its share of as many tokens as
    all have together: what is too much is cut, what is too little is repeated."""
    if not corpus.parts:
        return encode(tokenizer, corpus.train)
    packed = {language: encode(tokenizer, documents) for language, documents in corpus.parts.items()}
    total = sum(map(len, packed.values()))
    return np.concatenate([np.resize(packed[code], round(share * total)) for code, share in corpus.shares.items()])


def _batches(documents: Sequence[str]) -> Iterator[list[str]]:
    """The documents in batches of about a MB: an encoding takes many times the memory of its text."""
    batch: list[str] = []
    size = 0
    for document in documents:
        batch.append(document)
        size += len(document)
        if size >= _BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _digest(documents: Sequence[str], vocab: int) -> str:
    state = hashlib.sha256(f"{VERSION} {tokenizers.__version__} {vocab}\n".encode())
    for document in documents:
        encoded = document.encode("utf-8")
        state.update(b"%d\n" % len(encoded))
        state.update(encoded)
    return state.hexdigest()[:24]


def _read_cache(path: Path) -> Tokenizer | None:
    """The tokenizer that `train` wrote; None if there is none or it is not whole."""
    try:
        checksum, _, content = path.read_bytes().partition(b"\n")
    except FileNotFoundError:
        return None
    if hashlib.sha256(content).hexdigest().encode() != checksum:
        return None
    return Tokenizer.from_str(content.decode("utf-8"))
