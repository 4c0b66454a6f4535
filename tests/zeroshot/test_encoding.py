"""Encoding the two sides apart gives what lm-eval's own encoding of the whole gives."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lm_eval.api.model import TemplateLM
from tokenizers import AddedToken, Tokenizer, normalizers, pre_tokenizers, processors

from benchsuite.zeroshot.encoding import encode_pairs, splits_at_spaces

PIECES = [
    "a",
    "cat",
    "tree",
    " ",
    "  ",
    "\n",
    "\t",
    "'s",
    "'",
    "12",
    "é",
    "日本",
    "…",
    "\x1c",
    "\u2009",
    "<|endoftext|>",
    ".",
]
TEXTS = st.lists(st.sampled_from(PIECES) | st.characters(codec="utf-8"), max_size=8).map("".join)


class Reference(TemplateLM):
    """lm-eval's code with nothing of ours but the tokenizer."""

    eot_token_id = 0

    def __init__(self, bpe: Tokenizer) -> None:
        super().__init__()
        self.bpe = bpe
        self.seen: list[tuple[list[int], list[int]]] = []

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, **kwargs: Any) -> list[int]:
        return self.bpe.encode(string, add_special_tokens=False).ids

    def _loglikelihood_tokens(self, requests: Any, **kwargs: Any) -> Any:
        self.seen = [(context, continuation) for _, context, continuation in requests]

    loglikelihood_rolling = generate_until = None


class Request:
    def __init__(self, *args: str) -> None:
        self.args = args


@settings(max_examples=200, deadline=None)
@given(context=TEXTS, continuation=TEXTS)
def test_pairs_are_encoded_as_lm_eval_does(bpe: Tokenizer, context: str, continuation: str) -> None:
    if not continuation or (context and not context.rstrip()):
        return  # nothing to predict, or nothing to predict it from: lm-eval fails on these
    reference = Reference(bpe)
    reference.loglikelihood([Request(context, continuation)], disable_tqdm=True)
    for apart in (True, False):
        assert encode_pairs(bpe, [(context, continuation)], prefix=0, apart=apart) == reference.seen


def test_an_empty_context_is_the_end_of_text(bpe: Tokenizer) -> None:
    [(context, continuation)] = encode_pairs(bpe, [("", " cat")], prefix=0, apart=True)
    assert context == [0]
    assert bpe.decode(continuation) == " cat"


def test_only_a_tokenizer_that_is_known_to_split_at_spaces_counts(bpe: Tokenizer) -> None:
    assert splits_at_spaces(bpe)

    def changed(**parts: Any) -> Tokenizer:
        other = Tokenizer.from_str(bpe.to_str())
        for name, part in parts.items():
            setattr(other, name, part)
        return other

    assert not splits_at_spaces(changed(normalizer=normalizers.NFC()))
    assert not splits_at_spaces(changed(pre_tokenizer=pre_tokenizers.ByteLevel(add_prefix_space=True)))
    assert not splits_at_spaces(
        changed(pre_tokenizer=pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False))
    )
    assert not splits_at_spaces(changed(pre_tokenizer=pre_tokenizers.Digits()))
    assert not splits_at_spaces(
        changed(post_processor=processors.TemplateProcessing(single="$A x", special_tokens=[("x", 0)]))
    )
    with_phrase = changed()
    with_phrase.add_tokens([AddedToken("the cat", normalized=False)])
    assert not splits_at_spaces(with_phrase)


def test_a_tokenizer_that_joins_words_is_encoded_whole(bpe: Tokenizer) -> None:
    joining = Tokenizer.from_str(bpe.to_str())
    joining.add_tokens([AddedToken("the cat", normalized=False)])
    [(context, continuation)] = encode_pairs(joining, [("so the", " cat")], prefix=0, apart=splits_at_spaces(joining))
    whole = joining.encode("so the cat").ids
    assert continuation == whole[len(context) :]


@pytest.mark.parametrize("space", [" ", "\n", "  "])
def test_spaces_at_the_end_of_the_context_move(bpe: Tokenizer, space: str) -> None:
    moved = encode_pairs(bpe, [("the" + space, "cat")], prefix=0, apart=True)
    assert moved == encode_pairs(bpe, [("the", space + "cat")], prefix=0, apart=True)
