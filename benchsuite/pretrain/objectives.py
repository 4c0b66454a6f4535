"""Training objectives: full language modelling, prefix language modelling, span corruption, or tasks.

All but the first give the model the beginning of a row and score it on the rest. A row is how many tokens are given,
the tokens, and -1 behind their end, so that every architecture takes every objective: a causal decoder reads a row as
it is, a prefix decoder lets what is given see itself, an encoder-decoder encodes it (arXiv:2204.05832, figure 2).

    for rows in prefix_lm(tokens, 128, sizes, seed): ...        # (size, 1 + 129)

Equal tokens seen: a row has as many positions as a sequence of full language modelling, and is made of the sequence
that has its place in the order of the data. Full language modelling is scored on all of them, prefix language modelling
on half on average, span corruption on the gaps, about a fifth; its gaps' marks take the place of a few words of text.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchsuite.pretrain.gaps import Corruption, corruption
from benchsuite.pretrain.order import data_order

OBJECTIVES = {
    "lm": "every token is predicted from those before it (full language modelling)",
    "prefix-lm": "a text is given up to a random place, and the rest predicted",
    "span-corruption": "15% of a text, in gaps of 3 tokens in the mean, is predicted from the rest (masked LM)",
    "multitask": "questions of tasks are given, and their right answers predicted",
}
IGNORED = -1


@dataclass(frozen=True)
class Counts:
    """Averages over rows: the tokens of text in it, and the tokens that it is scored on."""

    text: float
    scored: float


def counts(objective: str, seq: int, answers: Answers | None = None) -> Counts:
    """The counts of an objective at training length `seq`; those of `multitask` are those of its `answers`."""
    if objective == "multitask":
        assert answers is not None
        return answers.counts
    if objective == "span-corruption":
        division = corruption(seq + 1)
        return Counts(division.text, division.scored)
    return Counts(seq, seq if objective == "lm" else (seq + 1) / 2)


def rows(
    objective: str,
    tokens: NDArray[np.unsignedinteger],
    seq: int,
    vocab: int,
    sizes: Iterable[int],
    seed: int,
    share: slice = slice(None),
) -> Iterator[Tensor]:
    """Batches of rows (size, 1 + seq + 1) of `prefix-lm` or `span-corruption`, each row made of the sequence that
    full language modelling has there. What is given does not depend on `share`, nor on the model."""
    rng = np.random.default_rng([seed, 1])
    sizes = list(sizes)
    for size, batch in zip(sizes, data_order(tokens, seq, sizes, seed, share), strict=True):
        if objective == "prefix-lm":
            given = split_points(rng, size, seq)[share]
            yield torch.cat((torch.from_numpy(given)[:, None], batch), dim=1)
        else:
            gaps = list(_gaps(rng, size, corruption(seq + 1)))[share]
            made = [corrupt(row, gap, vocab) for row, gap in zip(batch.numpy(), gaps, strict=True)]
            yield torch.from_numpy(np.stack(made))


def split_points(rng: np.random.Generator, size: int, seq: int) -> NDArray[np.int64]:
    """Return how many of seq + 1 tokens are given in each of `size` rows, 1 … seq, all alike likely.

    A batch is stratified: each row has a part of the range to itself. So the tokens that it is scored on are nearly the
    same in number from step to step.
    """
    strata = (rng.permutation(size) + rng.random(size)) / size
    return 1 + np.floor(strata * seq).astype(np.int64)


def _gaps(rng: np.random.Generator, size: int, division: Corruption) -> Iterator[NDArray[np.bool_]]:
    """For each of `size` rows which of its text is left out: runs of kept and left-out tokens in turn, kept first, of
    random lengths of at least one, as T5 draws them."""
    for _ in range(size):
        runs = np.empty(2 * division.spans, dtype=np.int64)
        runs[0::2] = _parts(rng, division.text - division.noise, division.spans)
        runs[1::2] = _parts(rng, division.noise, division.spans)
        yield np.repeat(np.arange(len(runs)) % 2 == 1, runs)


def _parts(rng: np.random.Generator, total: int, count: int) -> NDArray[np.int64]:
    """`total` as a sum of `count` numbers of at least one, every way alike likely."""
    cuts = np.sort(rng.choice(total - 1, count - 1, replace=False)) + 1
    return np.diff(np.concatenate(([0], cuts, [total])))


def corrupt(tokens: NDArray[np.int64], gaps: NDArray[np.bool_], vocab: int) -> NDArray[np.int64]:
    """The row of `tokens`, of which the first len(gaps) are used and those at True left out.

    Given is the text with a mark for each gap; scored is for each gap its mark and what was in it, and the next mark to
    end with. Marks are the vocabulary's last ids, the first gap's the very last.
    """
    text = tokens[: len(gaps)]
    begins = gaps & ~np.concatenate(([False], gaps[:-1]))
    mark = vocab - np.cumsum(begins)
    given = np.where(begins, mark, text)[begins | ~gaps]
    places = np.flatnonzero(begins)
    answer = np.insert(text[gaps], np.cumsum(gaps)[places] - 1, mark[places])
    return np.concatenate(([len(given)], given, answer, [vocab - len(places) - 1])).astype(np.int64)


def restored(row: NDArray[np.int64], vocab: int) -> NDArray[np.int64]:
    """The text that `corrupt` made a row of."""
    given, answer = row[1 : 1 + row[0]], row[1 + row[0] : -1]
    lowest = row[-1]
    gap: list[NDArray[np.int64]] = np.split(answer, np.flatnonzero(answer > lowest))[1:]
    parts = [gap[vocab - 1 - token][1:] if token > lowest else np.array([token]) for token in given]
    return np.concatenate(parts)


@dataclass(frozen=True)
class Answers:
    """Questions with their right answers, in token ids; both are the same text cut in two."""

    pairs: Sequence[tuple[Sequence[int], Sequence[int]]]
    seq: int

    @property
    def counts(self) -> Counts:
        """Answers are what is scored."""
        lengths = np.array([(len(question) + len(answer), len(answer)) for question, answer in self.pairs])
        return Counts(*lengths.mean(axis=0).tolist())

    def rows(self, sizes: Iterable[int], seed: int, share: slice = slice(None)) -> Iterator[Tensor]:
        """Batches (size, 1 + the longest): a question and its answer each, those of an epoch in another order by
        `seed`. A question that is too long for seq + 1 tokens loses its beginning."""
        rng = np.random.default_rng([seed, 2])
        order: list[int] = []
        for size in sizes:
            while len(order) < size:
                order += rng.permutation(len(self.pairs)).tolist()
            chosen, order = order[:size], order[size:]
            yield torch.nn.utils.rnn.pad_sequence(
                [self._row(number) for number in chosen[share]], batch_first=True, padding_value=IGNORED
            )

    def _row(self, number: int) -> Tensor:
        question, answer = self.pairs[number]
        question = question[max(0, len(question) + len(answer) - self.seq - 1) :]
        return torch.tensor([len(question), *question, *answer])
