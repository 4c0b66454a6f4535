"""The three sources: `curated`, balanced and clean; `web_raw`, the same world as a crawl finds it; `web_filtered`,
that crawl after the C4 rules and deduplication. They stand to one another as The Pile, OSCAR and C4 do.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator

from benchsuite.pretrain.corpora.filters import c4_filter, deduplicate
from benchsuite.pretrain.corpora.world import knowledge, language, people, recall, things
from benchsuite.pretrain.corpora.world.draw import Draw
from benchsuite.pretrain.corpora.world.item import ItemMaker
from benchsuite.pretrain.corpora.world.web import page


def _items(make: ItemMaker, low: int, high: int) -> Callable[[Draw], str]:
    """A document of `low` to `high` items of one kind."""

    def document(draw: Draw) -> str:
        return " ".join([make(draw, False).text for _ in range(low + draw.below(high - low + 1))])

    return document


def _sums(draw: Draw) -> str:
    said = [things.rules(draw) if draw.chance(0.15) else things.arithmetic(draw, False).text for _ in range(6)]
    return " ".join(said)


# what a document is about -> (writer, share of the documents in `curated`, share in the crawl)
DOMAIN_SHARES: dict[str, tuple[Callable[[Draw], str], float, float]] = {
    "recall": (recall.document, 2.4, 1.0),
    "reading": (people.reading_document, 1.2, 1.0),
    "last_word": (_items(people.last_word, 2, 4), 1.5, 2.0),
    "story": (people.story_document, 1.0, 3.0),
    "physical": (_items(things.physical, 5, 8), 1.0, 0.5),
    "sentiment": (_items(things.sentiment, 4, 5), 1.1, 4.0),
    "arithmetic": (_sums, 1.5, 0.3),
    "animals": (knowledge.animals, 0.8, 0.5),
    "countries": (knowledge.countries, 0.8, 1.0),
    "agreement": (_items(language.agreement, 6, 9), 1.3, 1.5),
    "pronoun": (_items(language.pronoun, 3, 5), 1.4, 0.5),
    "entailment": (_items(language.entailment, 4, 7), 1.0, 0.5),
    "paraphrase": (_items(language.paraphrase, 3, 5), 1.0, 0.7),
    "word_sense": (_items(language.word_sense, 3, 5), 1.0, 0.5),
}
HELD_OUT_ONE_IN = 16


def _writers(shares: list[tuple[Callable[[Draw], str], float]]) -> tuple[Callable[[Draw], str], ...]:
    """A table of 1000 writers in the ratio of their shares, to pick from."""
    total = sum(share for _, share in shares)
    return tuple(writer for writer, share in shares for _ in range(round(1000 * share / total)))


CURATED = _writers([(writer, curated) for writer, curated, _ in DOMAIN_SHARES.values()])
CRAWLED = _writers([(writer, crawled) for writer, _, crawled in DOMAIN_SHARES.values()])


def _bodies(draw: Draw, writers: tuple[Callable[[Draw], str], ...], held_out: bool) -> Iterator[str]:
    """Clean documents without end. By the checksum of its text a document is for training or held out, never both."""
    while True:
        body = draw.pick(writers)(draw)
        if (zlib.crc32(body.encode()) % HELD_OUT_ONE_IN == 0) == held_out:
            yield body


def _curated(seed: int, held_out: bool, n_bytes: int) -> list[str]:
    draw = Draw("curated", seed, int(held_out))
    return _fill(_bodies(draw, CURATED, held_out), n_bytes)


def _web_raw(seed: int, held_out: bool, n_bytes: int) -> list[str]:
    draw = Draw("web", seed, int(held_out))
    return _fill(_pages(draw, held_out), n_bytes)


def _pages(draw: Draw, held_out: bool) -> Iterator[str]:
    """What the crawl brings: pages around bodies; one in four is a body that it has seen before."""
    bodies = _bodies(draw, CRAWLED, held_out)
    seen: list[str] = []
    while True:
        if seen and draw.chance(0.25):
            body = seen[-1 - draw.below(min(len(seen), 200))]
        else:
            body = next(bodies)
            seen.append(body)
        yield page(draw, body)


def _web_filtered(seed: int, held_out: bool, n_bytes: int) -> list[str]:
    """The first n_bytes of what the filters leave of web_raw of the same seed."""
    raw_bytes = int(n_bytes * 2.5) + 20_000  # the filters leave a half at 1 MB, and less of more: less of it is new
    while True:
        kept = deduplicate(c4_filter(_web_raw(seed, held_out, raw_bytes)))
        size = sum(len(doc) for doc in kept)
        if size >= n_bytes:
            return _fill(iter(kept), n_bytes)
        raw_bytes = int(raw_bytes * min(4.0, 1.2 * n_bytes / size))


def _fill(documents: Iterator[str], n_bytes: int) -> list[str]:
    """The first documents until together they have n_bytes (the text is ASCII)."""
    taken, size = [], 0
    while size < n_bytes:
        taken.append(next(documents))
        size += len(taken[-1])
    return taken


MAKERS: dict[str, Callable[[int, bool, int], list[str]]] = {
    "web_raw": _web_raw,
    "web_filtered": _web_filtered,
    "curated": _curated,
}
