"""Sharing, batching and cutting against the plain way: one row for each pair, the whole vocabulary everywhere."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from benchsuite.model.gpt import GPT
from benchsuite.zeroshot import scoring
from benchsuite.zeroshot.scoring import Pair, Row, batches, loglikelihoods, pack, truncate

TOKENS = st.lists(st.integers(0, 3), min_size=1, max_size=12).map(tuple)
VARIANTS = [
    {"position": "none"},
    {"position": "learned"},
    {"position": "sinusoidal"},
    {"position": "rotary"},
    {"position": "alibi"},
    {"position": "alibi", "embedding_norm": "on", "heads": 6},
]


def plain(model: GPT, pair: Pair) -> tuple[float, bool]:
    with torch.inference_mode():
        logprobs = model(torch.tensor([pair.path]))[0].log_softmax(-1)[len(pair.context) - 1 :]
    wanted = torch.tensor(pair.continuation)
    return float(logprobs.gather(1, wanted[:, None]).sum()), bool((logprobs.argmax(-1) == wanted).all())


def questions(rng: random.Random, vocab: int, count: int, longest: int) -> list[Pair]:
    pairs = []
    for _ in range(count):
        context = tuple(rng.randrange(vocab) for _ in range(rng.randint(1, longest - 8)))
        for _ in range(rng.randint(1, 4)):
            pairs.append(Pair(context, tuple(rng.randrange(4) for _ in range(rng.randint(1, 8)))))
    return pairs


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_the_answers_are_those_of_one_row_each(make_model: Callable[..., GPT], variant: dict[str, str]) -> None:
    model = make_model(**variant)
    pairs = questions(random.Random(1), model.spec.vocab, 12, 32)
    expected = [plain(model, pair) for pair in pairs]
    for batch_tokens in (1, 100, 1_000_000):
        answers = loglikelihoods(model, pairs, batch_tokens=batch_tokens)
        assert [nats for nats, _ in answers] == pytest.approx([nats for nats, _ in expected], abs=1e-4)
        assert [greedy for _, greedy in answers] == [greedy for _, greedy in expected]


def test_the_order_and_the_company_of_a_pair_do_not_matter(make_model: Callable[..., GPT]) -> None:
    model = make_model(position="rotary")
    pairs = questions(random.Random(2), model.spec.vocab, 6, 32)
    together = dict(zip(pairs, loglikelihoods(model, pairs, batch_tokens=500), strict=True))
    shuffled = random.Random(3).sample(pairs + pairs[:5], len(pairs) + 5)
    for pair, (nats, _) in zip(shuffled, loglikelihoods(model, shuffled, batch_tokens=500), strict=True):
        assert nats == pytest.approx(together[pair][0], abs=1e-4)


def test_greedy_continuations_are_recognised(make_model: Callable[..., GPT]) -> None:
    model = make_model(position="learned")
    context = (5, 9, 7)
    grown = list(context)
    for _ in range(4):
        grown.append(int(model(torch.tensor([grown]))[0, -1].argmax()))
    right = Pair(context, tuple(grown[3:]))
    wrong = Pair(context, (*grown[3:6], (grown[6] + 1) % model.spec.vocab))
    answers = loglikelihoods(model, [right, wrong], batch_tokens=100)
    assert [greedy for _, greedy in answers] == [True, False]


def test_the_vocabulary_in_pieces_gives_the_same(
    make_model: Callable[..., GPT], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make_model(position="none")
    pairs = questions(random.Random(4), model.spec.vocab, 6, 32)
    whole = loglikelihoods(model, pairs, batch_tokens=1000)
    monkeypatch.setattr(scoring, "HEAD_ELEMENTS", 3 * model.spec.vocab)
    pieces = loglikelihoods(model, pairs, batch_tokens=1000)
    assert [nats for nats, _ in pieces] == pytest.approx([nats for nats, _ in whole], abs=1e-5)


@settings(deadline=None)
@given(paths=st.sets(TOKENS, min_size=1, max_size=12))
def test_rows_hold_every_path_once_and_each_token_sees_its_path(paths: set[tuple[int, ...]]) -> None:
    rows = pack(list(paths))
    assert sorted(path for row in rows for path in row.places) == sorted(paths)
    for row in rows:
        mask = np.zeros((len(row.tokens), len(row.tokens)), bool)
        row.write_mask(mask)
        for path, places in row.places.items():
            assert tuple(row.tokens[i] for i in places) == path
            assert [row.positions[i] for i in places] == list(range(len(path)))
            for depth, i in enumerate(places):
                assert np.flatnonzero(mask[i]).tolist() == sorted(places[: depth + 1])
        if row.chain:
            assert (mask == np.tri(len(row.tokens), dtype=bool)).all()


def test_choices_share_their_context() -> None:
    context = tuple(range(50))
    [row] = pack([context, (*context, 1), (*context, 2, 3)])
    assert len(row.tokens) == 53
    assert not row.chain


def test_choices_of_one_token_cost_nothing() -> None:
    context = tuple(range(50))
    pairs = [Pair(context, (choice,)) for choice in range(5)]
    [row] = pack(list({pair.path for pair in pairs}))
    assert len(row.tokens) == 50
    assert row.chain


def test_windows_that_share_only_a_token_stay_apart() -> None:
    rows = pack([(0, *range(i, i + 20)) for i in range(1, 6)])
    assert len(rows) == 5
    assert all(row.chain for row in rows)


def test_rows_do_not_grow_without_bound() -> None:
    context = tuple(range(40))
    rows = pack([(*context, *(i + 100 for _ in range(30))) for i in range(50)])
    assert max(len(row.tokens) for row in rows) <= scoring.ROW_TOKENS


@given(lengths=st.lists(st.integers(1, 60), min_size=1, max_size=30), budget=st.integers(1, 200))
def test_batches_keep_to_their_budget(lengths: list[int], budget: int) -> None:
    rows = []
    for n, length in enumerate(lengths):
        rows.append(Row(limit=256))
        rows[-1].add((n, *range(length - 1)), [])
    found = list(batches(rows, budget))
    assert sorted(id(row) for batch in found for row in batch) == sorted(map(id, rows))
    for batch in found:
        assert len(batch) == 1 or len(batch) * max(len(row.tokens) for row in batch) <= budget
        assert len(batch[0].tokens) == max(len(row.tokens) for row in batch)


@pytest.mark.parametrize(("context", "continuation", "kept"), [(5, 3, 5), (8, 3, 6), (8, 8, 1), (3, 6, 3)])
def test_contexts_are_cut_from_the_left(context: int, continuation: int, kept: int) -> None:
    pair = Pair(tuple(range(context)), tuple(range(100, 100 + continuation)))
    cut = truncate(pair, 8)
    assert cut == Pair(tuple(range(context))[-kept:], pair.continuation)
    assert len(cut.path) <= 8
    assert truncate(pair, None) == pair


def test_a_continuation_beyond_the_model_is_refused() -> None:
    with pytest.raises(ValueError, match="9 tokens does not fit a model that takes at most 8"):
        truncate(Pair((1,), tuple(range(9))), 8)
