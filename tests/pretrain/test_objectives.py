"""What models are asked: nothing of a text is lost, as much is scored as is said, and every model is asked alike."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from benchsuite.errors import UserError
from benchsuite.model.encoder_decoder import build
from benchsuite.model.spec import ModelSpec
from benchsuite.pretrain import objectives
from benchsuite.pretrain.gaps import NOISE, corruption, marks
from benchsuite.pretrain.objectives import Answers, restored, rows, split_points
from benchsuite.pretrain.order import data_order
from benchsuite.pretrain.step import Objective
from benchsuite.pretrain.trainer import train
from benchsuite.records.params import TrainConfig

TEXT = np.random.default_rng(0).integers(0, 100, 3000).astype(np.uint16)
VOCAB = 128
COUNTING = np.tile(np.arange(16, dtype=np.uint16), 60)


@given(st.integers(5, 3000))
def test_a_division_fills_a_sequence_as_t5_s_does(length: int) -> None:
    division = corruption(length)
    assert length - 2 <= division.given + division.scored <= length
    assert division.text + 2 * division.spans + 1 == division.given + division.scored
    if length > 40:
        assert abs(division.noise / division.text - NOISE) < 0.5 / division.text + 1e-9
        assert 2.5 <= division.noise / division.spans < 3.6


def test_the_companion_study_s_lengths() -> None:
    """626 tokens there: 512 given and 114 predicted (arXiv:2204.05832, section 3.1)."""
    assert (corruption(626).given, corruption(626).scored) == (512, 114)
    assert marks(625) == 29


def test_too_short_for_a_gap_is_said() -> None:
    with pytest.raises(UserError, match="too short"):
        corruption(4)


@settings(max_examples=30, deadline=None)
@given(st.integers(7, 200), st.integers(0, 1000))
def test_span_corruption_gives_the_text_back(seq: int, seed: int) -> None:
    batch = next(rows("span-corruption", TEXT, seq, VOCAB + 100, [3], seed)).numpy()
    plain = next(data_order(TEXT, seq, [3], seed)).numpy()
    division = corruption(seq + 1)
    assert batch.shape == (3, 1 + division.given + division.scored)
    for row, text in zip(batch, plain, strict=True):
        assert row[0] == division.given
        assert restored(row, VOCAB + 100).tolist() == text[: division.text].tolist()
        given_marks = [t for t in row[1 : 1 + row[0]] if t >= VOCAB]
        assert given_marks == [VOCAB + 99 - i for i in range(division.spans)]
        assert [t for t in row[1 + row[0] :] if t >= VOCAB] == [*given_marks, VOCAB + 99 - division.spans]


def test_gaps_are_everywhere_and_of_many_lengths() -> None:
    lengths, starts = set(), set()
    for batch in rows("span-corruption", TEXT, 64, VOCAB, [8] * 20, 0):
        for row in batch.numpy():
            answer = row[1 + row[0] :]
            lengths |= set(np.diff(np.flatnonzero(answer >= 100)).tolist())
            starts.add(int(np.flatnonzero(row[1:] >= 100)[0]))
    assert {2, 3, 4, 5, 6} <= lengths
    assert len(starts) > 25


def test_what_is_given_does_not_depend_on_how_a_batch_is_shared_out() -> None:
    for objective in ("prefix-lm", "span-corruption"):
        whole = list(rows(objective, TEXT, 32, VOCAB, [4, 4, 2], 5))
        for rank in (0, 1):
            part = list(rows(objective, TEXT, 32, VOCAB, [4, 4, 2], 5, slice(rank, None, 2)))
            assert all(torch.equal(a[rank::2], b) for a, b in zip(whole, part, strict=True))


def test_a_prefix_is_of_the_sequence_in_its_place() -> None:
    got = list(rows("prefix-lm", TEXT, 32, VOCAB, [4] * 5, 5))
    want = list(data_order(TEXT, 32, [4] * 5, 5))
    assert all(torch.equal(a[:, 1:], b) for a, b in zip(got, want, strict=True))


def test_split_points_are_uniform_and_even_in_every_batch() -> None:
    rng = np.random.default_rng(0)
    drawn = np.stack([split_points(rng, 4, 32) for _ in range(4000)])
    assert (drawn.min(), drawn.max()) == (1, 32)
    assert np.bincount(drawn.ravel(), minlength=33)[1:].std() < 0.15 * 500
    assert (33 - drawn).mean() == pytest.approx(objectives.counts("prefix-lm", 32).scored, rel=0.01)
    assert (33 - drawn).mean(axis=1).std() < 0.6 * 33 / 12**0.5 / 4**0.5, "less than independent draws have"
    assert np.corrcoef(drawn[:, 0], drawn[:, 1])[0, 1] < 0, "which row has which part changes"


def test_questions_are_padded_and_too_long_ones_lose_their_beginning() -> None:
    answers = Answers([([1, 2, 3], [4]), (list(range(20)), [7, 8]), ([5], [6])], seq=8)
    assert answers.counts.scored == pytest.approx(4 / 3)
    batch = next(answers.rows([3], seed=0))
    assert sorted(batch.tolist()) == sorted(
        [[3, 1, 2, 3, 4, -1, -1, -1, -1, -1], [7, 13, 14, 15, 16, 17, 18, 19, 7, 8], [1, 5, 6] + [-1] * 7]
    )
    epoch = list(answers.rows([1] * 6, seed=0))
    assert sorted(len(one[0]) for one in epoch) == [3, 3, 5, 5, 10, 10], "all of them in an epoch"


@pytest.mark.parametrize("architecture", ["causal", "prefix", "encdec"])
def test_the_loss_is_over_what_is_not_given_and_the_mean_of_its_parts(architecture: str) -> None:
    model = build(ModelSpec(layers=1, width=16, heads=2, vocab=16, seq=8, position="t5", architecture=architecture))
    row = torch.tensor([[3, *range(9)], [8, *range(9)], [2, 5, 6, 7, -1, -1, -1, -1, -1, -1]])
    scored = 8 / 3
    loss = Objective(model, scored)(row).detach()
    nats = 0.0
    for given_, text in [(3, list(range(9))), (8, list(range(9))), (2, [5, 6, 7])]:
        x = torch.tensor([text])
        logits = model.head(model.hidden(x[:, :-1], prefix=torch.tensor([given_])))[0].log_softmax(-1).detach()
        nats -= sum(float(logits[place - 1, text[place]]) for place in range(given_, len(text)))
    assert float(loss) == pytest.approx(nats / (3 * scored), rel=1e-5)
    parts = [float(Objective(model, scored)(row[i : i + 1]).detach()) for i in range(3)]
    assert sum(parts) / 3 == pytest.approx(float(loss), rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("architecture", "objective"),
    itertools.product(("causal", "prefix", "encdec"), ("prefix-lm", "span-corruption", "multitask")),
)
def test_every_architecture_learns_every_objective(architecture: str, objective: str) -> None:
    spec = ModelSpec(layers=1, width=32, heads=2, vocab=24, seq=16, position="t5", architecture=architecture)
    answers = Answers([([a, b], [(a + b) % 16]) for a in range(16) for b in range(0, 16, 5)], 16)
    config = TrainConfig(tokens=16_000, batch=8, lr=1e-2)
    _, log = train(
        spec, COUNTING, config, seed=0, objective=objective, answers=answers if objective == "multitask" else None
    )
    assert log.final_loss < 0.9 * log.curve[0][1]
    counts = objectives.counts(objective, 16, answers)
    assert (log.tokens, log.scored_tokens) == (16_000, round(1000 * counts.scored))
    assert log.text_tokens <= log.tokens


@pytest.mark.slow
def test_a_causal_decoder_goes_on_as_a_prefix_decoder() -> None:
    spec = ModelSpec(layers=1, width=16, heads=2, vocab=24, seq=8, position="t5")
    first, _ = train(spec, COUNTING, TrainConfig(tokens=6_400, batch=8, lr=1e-2), seed=0)
    small = TrainConfig(tokens=640, batch=8, lr=1e-4)
    adapted = ModelSpec(**{**vars(spec), "architecture": "prefix"})
    second, log = train(adapted, COUNTING, small, seed=1, objective="prefix-lm", start=first)
    assert second.spec.architecture == "prefix"
    assert log.curve[0][1] < 1.5, "it knows what it learned"
    _, cold = train(adapted, COUNTING, small, seed=1, objective="prefix-lm")
    assert cold.curve[0][1] > 2.5


def test_a_training_that_would_compile_every_shape_is_refused() -> None:
    spec = ModelSpec(layers=1, width=16, heads=2, vocab=24, seq=8)
    with pytest.raises(UserError, match=r"train\.compile"):
        train(spec, COUNTING, TrainConfig(tokens=640, compile=True), seed=0, objective="prefix-lm")
