"""Sizes of documents, and sentences and words of text in any script, without a language model.

Sentences end at terminal punctuation: Latin, Greek, Cyrillic, Arabic, Indic, Ethiopic and Burmese marks before white
space, Chinese and Japanese marks anywhere. Words are runs of letters, marks and digits. Scripts that put no spaces
between words (Chinese, Japanese, Thai, Lao, Khmer, Burmese) have no such runs: there each character counts as a word.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import regex  # type: ignore[import-untyped]

TERMINAL = ".!?…؟۔।॥።፧။។。！？｡"
CLOSING = "\"'”’»)]」』）›"

_SPACED = ".!?…؟۔।॥።፧။។"
_BREAK = regex.compile(
    # From the first mark of a row alone, and without going back, or a row of n marks would take n^2 steps.
    rf"(?<![{_SPACED}])[{_SPACED}]++[{regex.escape(CLOSING)}]*+\s+|[。！？｡]++[{regex.escape(CLOSING)}]*+\s*|\n\s*\n\s*"
)
# \p{M}: combining vowels and tone marks belong to the word. An apostrophe or hyphen joins two letters ("don't").
_WORD = regex.compile(r"[\p{L}\p{N}](?:[\p{L}\p{M}\p{N}_]|['’\-‑·](?=[\p{L}\p{N}]))*")
_UNSPACED = regex.compile(r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}][\p{M}ー]*")


def fill(documents: Iterable[str], n_bytes: int) -> Iterator[str]:
    """The fewest first documents that hold `n_bytes` bytes of UTF-8 together; all of them if they hold less."""
    total = 0
    for document in documents:
        yield document
        total += size(document)
        if total >= n_bytes:
            return


def size(document: str) -> int:
    """Bytes of UTF-8."""
    return len(document.encode("utf-8"))


def plain(document: str) -> str:
    """`document` up to case and white space: what two copies have in common."""
    return " ".join(document.split()).casefold()


def sentences(text: str) -> list[str]:
    """The sentences of `text` in order, each stripped of white space around it; none is empty."""
    found = []
    start = 0
    for match in _BREAK.finditer(text):
        piece = text[start : match.end()].strip()
        if piece:
            found.append(piece)
        start = match.end()
    rest = text[start:].strip()
    if rest:
        found.append(rest)
    return found


def word_spans(text: str) -> list[tuple[int, int]]:
    """(start, end) of each word in characters; in scripts without spaces each character with its marks is one."""
    if not is_unspaced(text):
        return [match.span() for match in _WORD.finditer(text)]
    spans = [match.span() for match in _UNSPACED.finditer(text)]
    taken = bytearray(len(text))
    for start, end in spans:
        taken[start:end] = b"\x01" * (end - start)
    others = "".join(" " if gone else character for gone, character in zip(taken, text, strict=True))
    return sorted(spans + [match.span() for match in _WORD.finditer(others)])


def is_unspaced(text: str, share: float = 0.3) -> bool:
    """Whether more than `share` of the letters in the first 2,000 characters are of a script without spaces."""
    head = text[:2000]
    if head.isascii():
        return False
    letters = sum(character.isalpha() for character in head)
    return len(_UNSPACED.findall(head)) > share * max(letters, 1)
