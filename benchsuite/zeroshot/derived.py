"""Zero-shot tasks for a corpus that brings none: four, made from its held-out documents, in any language.

    infos = write_tasks(Path("tasks"), corpus, limit=500)

Words and sentences are those of `passages`; a sentence that also occurs in training is never used. Among four choices,
each is the right one of one document and a wrong one of three, so that the choices alone give nothing away; the
position of the right one is balanced. The passages of one task do not overlap, so its documents can be resampled as
independent.
"""

from __future__ import annotations

import bisect
import itertools
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tokenizers import Tokenizer

from benchsuite.errors import UserError
from benchsuite.pretrain.corpora import Corpus
from benchsuite.pretrain.corpora.text import is_unspaced, word_spans
from benchsuite.zeroshot.passages import Source, before, join, source_of
from benchsuite.zeroshot.taskfiles import Document, TaskInfo, write_task

MAX_WORDS = 40  # of a passage: context and choice together
MIN_DOCUMENTS = 50
CONTINUATION_WORDS = 8
_OPEN_GROUPS = 64  # how many incomplete groups of alike choices wait for their fourth


@dataclass(frozen=True)
class _Task:
    make: Callable[[Source, int, random.Random], Iterator[tuple[str, str, list[str]]]]
    """Yields (context, right choice, wrong choices)."""
    family: str
    mirrors: tuple[str, ...]
    choices: int
    description: str


def task_names() -> list[str]:
    """The names of the four derived tasks."""
    return list(TASKS)


def write_tasks(
    folder: Path,
    corpus: Corpus,
    *,
    limit: int,
    seed: int = 0,
    max_words: int = MAX_WORDS,
    tokenizer: Tokenizer | None = None,
    max_tokens: int | None = None,
    names: Sequence[str] | None = None,
    suffix: str = "",
) -> list[TaskInfo]:
    """Write the derived tasks (or those in `names`) of `corpus` into `folder` and return what they are.

    Each has at most `limit` documents, fewer where the held-out text gives no more; `max_words` bounds a passage. With
    `tokenizer` and `max_tokens` no document exceeds that many tokens either, as models with a table of positions need:
    a context loses words at its start, and a document whose choices alone are too long is left out. Deterministic.
    Raises UserError for a task of which under 50 documents (or under `limit`) can be made; the message says how much
    held-out text it takes. A `suffix` is added to the tasks' names.
    """
    unknown = [name for name in names or () if name not in TASKS]
    if unknown:
        raise UserError(f"unknown task {unknown[0]!r}", hint=f"choose from: {', '.join(TASKS)}")
    if limit < 1 or max_words < 4 * CONTINUATION_WORDS:
        raise UserError(
            f"derived tasks need a limit of at least 1 and passages of at least {4 * CONTINUATION_WORDS} words, "
            f"not {limit} and {max_words}"
        )
    source = source_of(corpus, max_words)
    shorten = _shortener(tokenizer, max_tokens)
    made = {name: _rows(name, source, limit, max_words, seed, shorten) for name in names or TASKS}
    for name, rows in made.items():
        if len(rows) < min(MIN_DOCUMENTS, limit):
            raise _too_few(name, corpus, len(rows), min(MIN_DOCUMENTS, limit))
    infos = []
    for name, rows in made.items():
        task = TASKS[name]
        about = (task.family, task.mirrors, 1 / task.choices, len(rows), task.description, len(rows))
        info = TaskInfo(name + suffix, *about)
        write_task(folder, info, rows)
        infos.append(info)
    return infos


def _rows(
    name: str, source: Source, limit: int, max_words: int, seed: int, shorten: Callable[[Document], Document | None]
) -> list[Document]:
    rng = random.Random(f"{name} {seed}")
    items = list({item[0] + item[1]: item for item in TASKS[name].make(source, max_words, rng)}.values())
    rng.shuffle(items)
    whole = (
        Document(context=context, choices=[right, *wrong], gold=0, question=f"{number}")
        for number, (context, right, wrong) in enumerate(items)
    )
    short = map(shorten, whole)
    rows = list(itertools.islice((row for row in short if row is not None), limit))
    golds = [index % TASKS[name].choices for index in range(len(rows))]
    rng.shuffle(golds)
    for row, gold in zip(rows, golds, strict=True):
        right, *wrong = row["choices"]
        row["choices"], row["gold"] = [*wrong[:gold], right, *wrong[gold:]], gold
    return rows


def _shortener(tokenizer: Tokenizer | None, max_tokens: int | None) -> Callable[[Document], Document | None]:
    """Return what makes a document fit into `max_tokens` by cutting whole words off its context's start; None if it
    cannot."""
    if tokenizer is None or max_tokens is None:
        return lambda row: row

    def fits(row: Document) -> bool:
        # one more for the token that stands before every document
        return 1 + max(len(tokenizer.encode(row["context"] + choice).ids) for choice in row["choices"]) <= max_tokens

    def after(row: Document, start: int) -> Document:
        return {**row, "context": row["context"][start:]}

    def shorten(row: Document) -> Document | None:
        starts = [start for start, _ in word_spans(row["context"])]
        if fits(row) or not starts:
            return row if fits(row) else None
        # the first start from which the rest fits: fewer words never take more tokens, give or take a token at the cut
        first = bisect.bisect_left(starts, True, key=lambda start: fits(after(row, start)))
        return after(row, starts[first]) if first < len(starts) else None

    return shorten


def _too_few(name: str, corpus: Corpus, found: int, needed: int) -> UserError:
    size = sum(len(document.encode()) for document in corpus.heldout)
    message = f"the task {name} needs {needed} documents; {corpus.name} gives {found}, with {size:,} bytes held out"
    if not found:
        return UserError(message, hint="it takes documents of several sentences, of words that training text has too")
    return UserError(message, hint=f"hold out about {round(1.2 * size * needed / found / 1000)},000 bytes")


# ---- the four tasks -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Passage:
    """A context, the choice that is right after it, and what decides which choices may stand beside that one."""

    context: str
    right: str
    space: str
    document: int
    frequency: int = 0


def _last_word(source: Source, max_words: int, rng: random.Random) -> Iterator[tuple[str, str, list[str]]]:
    passages = []
    for document, run in source.runs:
        free = 0  # the first sentence that no passage has used
        for index, sentence in enumerate(run):
            if not sentence.words or (len(sentence.words) < 6 and index == free):
                continue
            start, end = sentence.words[-1]
            word, space = sentence.text[start:end], sentence.text[start - 1 : start]
            if not _is_target(word, space, source):
                continue
            earlier = join(before(run[free:index], max_words - len(sentence.words)))
            context = (earlier + sentence.gap if earlier else "") + sentence.text[:start].rstrip()
            passages.append(_Passage(context, word, " " if space == " " else "", document, source.frequency[word]))
            free = index + 1
    yield from _in_fours(sorted(passages, key=lambda p: (p.frequency, p.right, p.context)), _alike_words, rng)


def _is_target(word: str, space: str, source: Source) -> bool:
    """Return whether the last word can be asked for: no number, known from training, set off from what precedes it."""
    if source.frequency[word] < 2 or any(character.isdigit() for character in word):
        return False
    return is_unspaced(word) or (space == " " and len(word) > 1)


def _alike_words(one: _Passage, other: _Passage) -> bool:
    """About the same frequency in training (a factor of 2), length (2 characters) and capitalisation; not the same."""
    low, high = sorted((one.frequency, other.frequency))
    return (
        high <= 2 * low
        and abs(len(one.right) - len(other.right)) <= 2
        and one.right[0].isupper() == other.right[0].isupper()
        and one.space == other.space
        and one.right.casefold() != other.right.casefold()
    )


def _continuation(source: Source, max_words: int, rng: random.Random) -> Iterator[tuple[str, str, list[str]]]:
    passages = []
    for document, run in source.runs:
        index = 0
        while index < len(run):
            # as many sentences as fill the passage; its last words are the continuation
            end, words = index, 0
            while end < len(run) and words < max_words:
                words += len(run[end].words)
                end += 1
            text = join(run[index:end])
            index = end
            spans = word_spans(text)[:max_words]
            if len(spans) < max(2 * CONTINUATION_WORDS, max_words // 2):
                continue
            cut, last = spans[-CONTINUATION_WORDS][0], spans[-1][1]
            space = " " if text[cut - 1] == " " else ""
            passages.append(_Passage(text[:cut].rstrip(), text[cut:last], space, document))
    yield from _in_fours(sorted(passages, key=lambda p: (len(p.right.encode()), p.right)), _alike_parts, rng)


def _alike_parts(one: _Passage, other: _Passage) -> bool:
    """From different documents, with about the same number of bytes, and alike in beginning a word or not."""
    low, high = sorted((len(one.right.encode()), len(other.right.encode())))
    same_kind = one.space == other.space and one.right != other.right
    return same_kind and one.document != other.document and high <= 1.1 * low + 1


def _in_fours(
    passages: Iterable[_Passage], alike: Callable[[_Passage, _Passage], bool], rng: random.Random
) -> Iterator[tuple[str, str, list[str]]]:
    """Groups of four passages whose right choices are alike; each has the other three as wrong choices.

    So within a group every choice is right once: a strategy that looks at the choices alone is right one time in four.
    Passages come sorted, those that can be alike near each other; one that finds no group is left out.
    """
    groups: list[list[_Passage]] = []
    for passage in passages:
        group = next((group for group in groups if all(alike(passage, member) for member in group)), None)
        if group is None:
            groups = [*groups[-_OPEN_GROUPS:], [passage]]
            continue
        group.append(passage)
        if len(group) == 4:
            groups.remove(group)
            for one in group:
                wrong = [other.space + other.right for other in group if other is not one]
                yield one.context, one.space + one.right, rng.sample(wrong, 3)


def _order(source: Source, max_words: int, rng: random.Random) -> Iterator[tuple[str, str, list[str]]]:
    for _, run in source.runs:
        free, index = 0, 1
        while index + 1 < len(run):
            first, second = run[index], run[index + 1]
            words = len(first.words) + len(second.words)
            if words > max_words - 8 or min(len(first.words), len(second.words)) < 3 or first.text == second.text:
                index += 1
                continue
            context = join(before(run[free:index], max_words - words))
            right = first.gap + first.text + second.gap + second.text
            yield context, right, [first.gap + second.text + second.gap + first.text]
            free = index + 2
            index = free + 1  # a sentence for the next context


def _swap(source: Source, max_words: int, rng: random.Random) -> Iterator[tuple[str, str, list[str]]]:
    for _, run in source.runs:
        for sentence in run:
            text, words = sentence.text, sentence.words
            # The first of the two comes after the third word, so that the choices have a context.
            pairs = [
                (i, j)
                for i in range(3, len(words) - 1)
                for j in range(i + 1, min(i + 4, len(words)))
                if sentence.word(i).casefold() != sentence.word(j).casefold()
                and (text[words[i][0] - 1] == " " or is_unspaced(text))
            ]
            if not pairs:
                continue
            i, j = rng.choice(pairs)
            (a, b), (c, d) = words[i], words[j]
            cut = len(text[:a].rstrip())
            yield text[:cut], text[cut:], [text[cut:a] + text[c:d] + text[b:c] + text[a:b] + text[d:]]


TASKS = {
    "derived_last_word": _Task(
        _last_word, "last-word cloze", ("lambada",), 4, "the last word of a sentence, among words of like frequency"
    ),
    "derived_continuation": _Task(
        _continuation, "story completion", ("hellaswag",), 4, "how a passage goes on, among parts of other documents"
    ),
    "derived_order": _Task(_order, "sentence order", (), 2, "which of two orders of two sentences is the original"),
    "derived_swap": _Task(_swap, "swapped words", (), 2, "a sentence, or the same with two words swapped"),
}
