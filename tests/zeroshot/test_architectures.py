"""Models that are given a context as a whole, and models that fill gaps: scores against one row for each pair."""

from __future__ import annotations

import functools
import random
from collections.abc import Callable

import pytest
import torch
from tokenizers import Tokenizer

from benchsuite.errors import UserError
from benchsuite.model.gpt import GPT
from benchsuite.zeroshot.lm import BenchsuiteLM, _Generation
from benchsuite.zeroshot.scoring import Pair, loglikelihoods, pack

VARIANTS = [
    {"architecture": architecture, "position": position, "fills": fills}
    for architecture, position in [("prefix", "t5"), ("prefix", "alibi"), ("encdec", "t5"), ("encdec", "rotary")]
    for fills in (False, True)
] + [{"architecture": "causal", "fills": True}]


@pytest.fixture
def loud(bpe: Tokenizer, make_model: Callable[..., GPT]) -> Callable[..., GPT]:
    """Of a vocabulary with room for the marks of gaps."""
    return functools.partial(make_model, vocab=bpe.get_vocab_size() + 4)


def by_hand(model: GPT, context: list[int], continuation: list[int]) -> tuple[float, bool]:
    """What a model says of a continuation: the context given whole, with a gap's mark at its end for one that fills."""
    mark = [model.spec.vocab - 1] if model.spec.fills else []
    given = [*context, *mark]
    row = [*given, *mark, *continuation]
    with torch.inference_mode():
        logits = model(torch.tensor([row[:-1]])) if model.spec.architecture == "causal" else model.head(
            model.hidden(torch.tensor([row[:-1]]), prefix=torch.tensor([len(given)]))
        )  # fmt: skip
    logprobs = logits[0].log_softmax(-1)[len(given) + len(mark) - 1 :]
    wanted = torch.tensor(continuation)
    return float(logprobs.gather(1, wanted[:, None]).sum()), bool((logprobs.argmax(-1) == wanted).all())


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_log_likelihoods_are_those_by_hand(
    loud: Callable[..., GPT], bpe: Tokenizer, variant: dict[str, object]
) -> None:
    model, rng = loud(**variant), random.Random(1)
    asked = []
    for _ in range(8):
        context = [rng.randrange(300) for _ in range(rng.randint(1, 20))]
        asked += [(context, [rng.randrange(4) for _ in range(rng.randint(1, 6))]) for _ in range(3)]
    asked.append((asked[0][0] + asked[0][1][:1], [2, 3]))  # the same path begins with another context
    expected = [by_hand(model, *pair) for pair in asked]
    for batch_tokens in (1, 100, 100_000):
        lm = BenchsuiteLM(model, bpe, batch_tokens=batch_tokens)
        got = lm._loglikelihood_tokens([("", *pair) for pair in asked])
        assert [nats for nats, _ in got] == pytest.approx([nats for nats, _ in expected], abs=2e-4)
        assert [greedy for _, greedy in got] == [greedy for _, greedy in expected]


def test_a_context_that_is_seen_whole_makes_another_score(loud: Callable[..., GPT]) -> None:
    """Otherwise all these tests could pass with the prefix left out."""
    model = loud(architecture="prefix", position="t5")
    pair = Pair((5, 9, 7, 30, 2), (1, 2))
    whole = loglikelihoods(model, [pair], batch_tokens=100)[0][0]
    causal = model(torch.tensor([pair.path]))[0].log_softmax(-1).detach()
    assert abs(whole - float(causal[4, 1] + causal[5, 2])) > 1e-2


def test_contexts_share_no_row_where_they_are_given_whole() -> None:
    paths = [(1, 2, 3, 4, 5, 6), (1, 2, 3, 4, 5, 7)]
    assert len(pack(paths)) == len(pack(paths, 5)) == 1
    assert len(pack([(1, 2, 3, 4, 5, 6), (1, 2, 3, 4, 8, 6)], 5)) == 2


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_what_is_generated_is_found_greedy(
    loud: Callable[..., GPT], bpe: Tokenizer, variant: dict[str, object]
) -> None:
    model = loud(**variant)
    lm = BenchsuiteLM(model, bpe)
    contexts = [[5, 9, 7], [30, 2, 11, 4, 4, 8, 250]]
    jobs = [_Generation([*context, *lm._gap, *lm._gap], [], 4) for context in contexts]
    lm._generate(jobs)
    for context, job in zip(contexts, jobs, strict=True):
        assert job.generated
        assert by_hand(model, context, job.generated)[1]
        assert not by_hand(model, context, [*job.generated[:-1], (job.generated[-1] + 1) % 300])[1]


def test_running_text_is_not_for_a_model_that_fills_gaps(loud: Callable[..., GPT], bpe: Tokenizer) -> None:
    with pytest.raises(UserError, match="fills gaps"):
        BenchsuiteLM(loud(fills=True), bpe).rolling(["the cat"])
    assert BenchsuiteLM(loud(architecture="encdec", position="t5"), bpe).rolling(["the cat sleeps"])[0] < 0
