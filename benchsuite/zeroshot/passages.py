"""The sentences of held-out text from which tasks are made, in any language, and the word counts of training text.

A word is a run of letters and digits, or one character in scripts without spaces (`corpora.text`). A sentence longer
than a passage counts as several, which also serves text whose punctuation marks no sentences.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from benchsuite.pretrain.corpora import Corpus
from benchsuite.pretrain.corpora.text import sentences, word_spans

_FREQUENCY_BYTES = 8_000_000  # how much training text is counted


@dataclass(frozen=True)
class Sentence:
    """One held-out sentence, white space collapsed, with the spans of its words in characters."""

    text: str
    words: tuple[tuple[int, int], ...]
    gap: str
    """What stands before it in the document: a space, or nothing, as between sentences of Chinese."""
    key: str
    """The letters and digits of the sentence it is, or is a piece of; sentences with equal keys count as the same."""

    def word(self, index: int) -> str:
        start, end = self.words[index]
        return self.text[start:end]


@dataclass(frozen=True)
class Source:
    """The text that tasks are made from."""

    runs: list[tuple[int, list[Sentence]]]
    """(number of the document, consecutive sentences of it)"""
    frequency: Counter[str]
    """How often each word occurs in the training text."""


def source_of(corpus: Corpus, max_words: int) -> Source:
    """The held-out sentences of `corpus`, of at most `max_words` words each, without those that occur in training."""
    documents = [_pieces(document, max_words) for document in corpus.heldout]
    keys = {sentence.key for document in documents for sentence in document}
    trained = {key for text in corpus.train for key in map(_key, _split(text)) if key in keys}
    runs = []
    for number, document in enumerate(documents):
        run: list[Sentence] = []
        for sentence in document:
            if sentence.key in trained:  # a run ends where a sentence is left out
                runs.append((number, run))
                run = []
            else:
                run.append(sentence)
        runs.append((number, run))
    return Source([run for run in runs if run[1]], _frequency(corpus.train))


def _split(text: str) -> Iterator[str]:
    """Sentences with their white space collapsed. Lines count as sentences where punctuation marks none within them."""
    for sentence in sentences(text):
        if "\n" in sentence and len(sentence) > 400:
            yield from (" ".join(line.split()) for line in sentence.split("\n") if line.strip())
        else:
            yield " ".join(sentence.split())


def _pieces(document: str, max_words: int) -> list[Sentence]:
    """The document's sentences; one of more than `max_words` words is cut into pieces of a third of that."""
    found = []
    whole = " ".join(document.split())
    done = 0  # what of the document is in `found`
    for text in _split(document):
        offset = whole.index(text, done)
        spans = word_spans(text)
        step = max_words if len(spans) <= max_words else max_words // 3
        for first in range(0, len(spans), step):
            last = min(first + step, len(spans))
            start = spans[first][0] if first else 0
            end = spans[last][0] if last < len(spans) else len(text)
            piece = text[start:end].rstrip()
            words = tuple((a - start, b - start) for a, b in spans[first:last])
            gap = " " if whole[offset + start - 1 : offset + start] == " " else ""
            found.append(Sentence(piece, words, gap, _key(text)))
            done = offset + start + len(piece)
    return found


def _key(sentence: str) -> str:
    return re.sub(r"[\W_]+", " ", sentence).strip().casefold()


def _frequency(train: Iterable[str]) -> Counter[str]:
    counts: Counter[str] = Counter()
    size = 0
    for text in train:
        counts.update(text[start:end] for start, end in word_spans(text))
        size += len(text)
        if size >= _FREQUENCY_BYTES:
            break
    return counts


def before(run: list[Sentence], words: int) -> list[Sentence]:
    """The last sentences of `run` with at most `words` words in all; of a longer last one only its end."""
    found: list[Sentence] = []
    for sentence in reversed(run):
        if len(sentence.words) > words:
            if not found and words > 0:
                start = sentence.words[-words][0]
                found.append(Sentence(sentence.text[start:], (), " ", sentence.key))
            break
        found.insert(0, sentence)
        words -= len(sentence.words)
    return found


def join(run: list[Sentence]) -> str:
    """The text of consecutive sentences as it stands in the document."""
    return "".join(sentence.gap + sentence.text for sentence in run).strip()
