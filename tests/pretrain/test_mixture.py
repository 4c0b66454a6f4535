"""Mixtures of languages: names, shares, and tokens in just these shares."""

from __future__ import annotations

import numpy as np
import pytest

from benchsuite.errors import UserError
from benchsuite.pretrain import tokenizer
from benchsuite.pretrain.corpora import load
from benchsuite.pretrain.corpora.mixture import OSCAR_GB, interleaved, parse, split_name


def test_shares_are_sizes_to_the_power_of_alpha() -> None:
    shares = parse("eleven").shares()
    assert sum(shares.values()) == pytest.approx(1)
    assert shares["en"] / shares["eu"] == pytest.approx((1294 / 0.358) ** 0.3)
    assert shares["en"] == pytest.approx(0.2219, abs=1e-3)
    assert set(parse("eleven@0").shares().values()) == {1 / 11}
    plain = parse("en+eu+zh@1").shares()
    assert plain["zh"] == pytest.approx(OSCAR_GB["zh"] / (1294 + 0.358 + 267))


def test_names_go_both_ways() -> None:
    assert parse("en").corpus("facts-{language}") == "facts-en"
    assert parse("en").corpus("curated") == "curated"
    name = parse("zh+ca@0.5").corpus("hub:a/b:{language}")
    assert name == "mix:ca+zh@0.5:hub:a/b:{language}"
    languages, template = split_name(name)
    assert (languages, template) == (parse("ca+zh@0.5"), "hub:a/b:{language}")
    assert split_name(parse("eleven").corpus("facts-{language}"))[0] == parse("eleven@0.3")


@pytest.mark.parametrize("text", ["", "english", "en+", "en@", "en@-1", "eleven@x", "twelve"])
def test_what_is_no_language_is_said(text: str) -> None:
    with pytest.raises(UserError, match="languages"):
        parse(text)


@pytest.mark.parametrize("name", ["mix:en+eu@0.3", "mix:en:facts-en", "en:facts-{language}"])
def test_what_is_no_mixture_is_said(name: str) -> None:
    with pytest.raises(UserError, match="no mixture"):
        split_name(name)


def test_documents_of_each_part_are_spread_over_the_whole() -> None:
    mixed = interleaved({"a": ["a"] * 30, "b": ["b"] * 10})
    assert len(mixed) == 40
    for start in range(0, 40, 8):
        assert mixed[start : start + 8].count("b") == 2


def test_tokens_are_in_the_shares_whatever_a_token_holds() -> None:
    corpus = load("mix:en+hi+eu@0.3:facts-{language}", train_bytes=90_000, heldout_bytes=3_000)
    assert corpus.tasks == "facts"
    assert list(corpus.parts) == ["en", "eu", "hi"]
    assert sorted(corpus.train) == sorted(text for texts in corpus.parts.values() for text in texts)
    vocabulary = tokenizer.train(corpus.train, 400)
    packed = tokenizer.encode_corpus(vocabulary, corpus)
    ends, at = {}, 0
    for code, share in corpus.shares.items():  # one language after the other
        size = round(share * sum(len(tokenizer.encode(vocabulary, texts)) for texts in corpus.parts.values()))
        ends[code] = packed[at : at + size]
        own = tokenizer.encode(vocabulary, corpus.parts[code])
        assert np.array_equal(ends[code], np.resize(own, size))
        assert size / len(packed) == pytest.approx(share, abs=1e-4)
        at += size
    assert at == len(packed)
    raw = [len(tokenizer.encode(vocabulary, texts)) for texts in corpus.parts.values()]
    assert raw[0] / sum(raw) != pytest.approx(corpus.shares["en"], abs=0.01), "bytes alone would have missed the shares"


def test_one_language_is_encoded_as_it_is() -> None:
    corpus = load("facts-en", train_bytes=20_000, heldout_bytes=3_000)
    vocabulary = tokenizer.train(corpus.train, 300)
    assert np.array_equal(tokenizer.encode_corpus(vocabulary, corpus), tokenizer.encode(vocabulary, corpus.train))
