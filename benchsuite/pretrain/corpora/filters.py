"""The C4 rules for turning raw text into filtered text, and the removal of duplicates.

Source: Raffel et al. 2020, "Exploring the Limits of Transfer Learning with a Unified Text-to-Text Transformer",
arXiv:1910.10683, section 2.2. One rule of theirs is left out, the list of obscene words, which we do not ship; one is
added, the share of repeated lines in a document (Rae et al. 2021, "Scaling Language Models", arXiv:2112.11446, table
A1). The rules were made for English: a language without full stops is filtered to nothing.

    >>> from benchsuite.pretrain.corpora.filters import c4_filter
    >>> page = "The old man walked to the river. He sat down there. It was cold.\\nPlease accept our cookie policy."
    >>> c4_filter(["Home | Shop\\n" + page])
    ['The old man walked to the river. He sat down there. It was cold.']
"""

from __future__ import annotations

import re

from benchsuite.pretrain.corpora.text import CLOSING, TERMINAL

# Boilerplate of which one mention makes a line worthless (section 2.2, and the rule list of the C4 builder in TFDS).
POLICY_PHRASES = (
    "javascript",
    "terms of use",
    "terms of service",
    "privacy policy",
    "cookie policy",
    "uses cookies",
    "use of cookies",
    "use cookies",
    "accept cookies",
    "all rights reserved",
)
# Boilerplate of which one mention makes the whole document worthless.
BAD_PHRASES = ("lorem ipsum",)
MAX_WORD_CHARACTERS = 1000
SPAN = 3  # sentences that make a duplicate together (section 2.2)

_CITATION = re.compile(r"\[(?:\d+|citation needed|edit)\]")
_ENDS = tuple(TERMINAL) + ('"', "”", "’", "»", "」", "』")
# From the first mark of a row alone, and without going back, or a row of n marks would take n^2 steps.
_SENTENCE_END = re.compile(rf"(?<![{re.escape(TERMINAL)}])[{re.escape(TERMINAL)}]++[{re.escape(CLOSING)}]*+(?:\s+|$)")
_NOT_WORD = re.compile(r"(?:[^\w\0]|_)+")
# The same as lower() and _NOT_WORD, several times as fast, for the text that needs no Unicode.
_ASCII_NORMAL = {code: chr(code).lower() if chr(code).isalnum() or code == 0 else " " for code in range(128)}
_DIGITS = re.compile(r"\d+")


def c4_filter(
    docs: list[str],
    *,
    min_words: int = 5,
    min_sentences: int = 3,
    braces: bool = True,
    max_repeated_lines: float = 0.3,
) -> list[str]:
    """The documents that survive the C4 rules, in order, each reduced to its good lines.

    A line is kept if it ends in terminal punctuation (not in an ellipsis), has at least `min_words` words, none of
    them over 1,000 characters, mentions no policy phrase, and did not occur in the same document before. A document is
    kept if at least `min_sentences` sentences are left, it mentions no "lorem ipsum", it has no brace (`braces=False`
    switches this off), and at most `max_repeated_lines` of its lines that are long enough repeat an earlier one.
    """
    kept = (_filter_document(doc, min_words, min_sentences, braces, max_repeated_lines) for doc in docs)
    return [doc for doc in kept if doc is not None]


def _filter_document(
    doc: str, min_words: int, min_sentences: int, braces: bool, max_repeated_lines: float
) -> str | None:
    lower = doc.lower()
    if (braces and ("{" in doc or "}" in doc)) or any(phrase in lower for phrase in BAD_PHRASES):
        return None
    if "[" in doc:
        doc = _CITATION.sub("", doc)
    policy = [phrase for phrase in POLICY_PHRASES if phrase in lower]
    lines: dict[str, None] = {}
    long_enough = repeated = 0
    for raw in doc.split("\n"):
        line = raw.strip()
        words = line.split()
        if len(words) < min_words:
            continue
        long_enough += 1
        if line in lines:
            repeated += 1
            continue
        if not line.endswith(_ENDS) or line.endswith(("...", "…")):
            continue
        if policy and any(phrase in line.lower() for phrase in policy):
            continue
        if len(line) > MAX_WORD_CHARACTERS and max(map(len, words)) > MAX_WORD_CHARACTERS:
            continue
        lines[line] = None
    if not lines or repeated > max_repeated_lines * long_enough:
        return None
    text = "\n".join(lines)
    # Every kept line ends a sentence, so only short documents need counting.
    if len(lines) < min_sentences and len(_SENTENCE_END.findall(text)) < min_sentences:
        return None
    return text


def deduplicate(docs: list[str], *, span: int = SPAN, min_sentences: int = 1) -> list[str]:
    """The documents without exact and near duplicates, in order; the first occurrence stays: see `Deduplicator`."""
    deduplicator = Deduplicator(span=span, min_sentences=min_sentences)
    reduced = map(deduplicator.reduce, docs)
    return [doc for doc in reduced if doc is not None]


class Deduplicator:
    """Removes what earlier documents held already, one document at a time.

    A document equal to an earlier one up to case, punctuation, white space and the digits of numbers is dropped. Of any
    `span` sentences in a row that occurred before, in this document or an earlier one, all are removed (C4's rule); a
    document with fewer sentences than `span` counts as one such row. A document left with fewer than `min_sentences`
    sentences, or with less than half of its own, is dropped: what stays of it is the difference between two copies.
    """

    def __init__(self, *, span: int = SPAN, min_sentences: int = 1) -> None:
        self._span = span
        self._min_sentences = min_sentences
        self._exact: set[str] = set()
        self._whole: set[tuple[int, ...]] = set()
        self._rows: set[tuple[int, ...]] = set()
        # Every distinct sentence has a number, so a row of them is a small tuple and no two rows collide.
        self._numbers: dict[str, int] = {}

    def reduce(self, doc: str) -> str | None:
        """What is new of `doc`, or None."""
        doc = doc.strip()
        if doc in self._exact:
            return None
        self._exact.add(doc)
        numbers = self._numbers
        ids = tuple([numbers.setdefault(sentence, len(numbers)) for sentence in normal_sentences(doc)])
        if ids in self._whole:
            return None
        self._whole.add(ids)
        seen = self._seen(ids)
        dropped = sum(seen)
        if not dropped:
            return doc or None
        if len(ids) - dropped < max(self._min_sentences, len(ids) / 2):
            return None
        ends = [match.end() for match in _SENTENCE_END.finditer(doc)]
        if not ends or ends[-1] < len(doc):
            ends.append(len(doc))
        kept = (doc[start:end] for start, end, gone in zip([0, *ends[:-1]], ends, seen, strict=True) if not gone)
        return "".join(kept).strip() or None

    def _seen(self, ids: tuple[int, ...]) -> bytearray:
        """1 for each sentence that is part of a row seen before; the rows of this document are then seen too."""
        span = self._span
        rows = [ids[i : i + span] for i in range(max(len(ids) - span + 1, 1))]
        seen = bytearray(len(ids))
        for i, row in enumerate(rows):
            if i >= span:
                self._rows.add(rows[i - span])  # a row of this document counts once it no longer overlaps
            if row in self._rows:
                seen[i : i + span] = b"\x01" * len(seen[i : i + span])
        self._rows.update(rows)
        return seen


def normal_sentences(doc: str) -> list[str]:
    """The sentences of `doc` as duplicates are compared: lower case, words only, all numbers alike."""
    marked = _SENTENCE_END.sub("\0", doc.replace("\0", "\1"))
    normal = marked.translate(_ASCII_NORMAL) if marked.isascii() else _NOT_WORD.sub(" ", marked.lower())
    normal = _DIGITS.sub("0", normal)
    return [" ".join(sentence.split()) for sentence in normal.removesuffix("\0").split("\0")]
