"""A small made world in English-like text: people and things, animals and countries, stories, questions, sums.

    >>> from benchsuite.pretrain.corpora import world
    >>> train = world.documents("curated", seed=0, n_bytes=1_000_000)

Everything is decided by (source, seed, n_bytes). What the zero-shot tasks ask is held out by construction: every kind
of text is made by a function with a switch `held_out` that takes the words of its key sentence from one side or the
other of a fixed split (`draw.Split`, `draw.pairs`), and training only ever switches it off.
"""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

from benchsuite.pretrain.corpora.world.sources import MAKERS

VERSION = 2  # of the text; `digest_fields` adds a checksum of the code, so that no cached text outlives a change

SOURCES = {
    "web_raw": "generated world as a crawl finds it: boilerplate, duplicates, cut and corrupted pages, keyword lists",
    "web_filtered": "the documents of web_raw that the C4 rules and deduplication leave",
    "curated": "generated world, balanced domains, no noise",
}


def documents(source: str, *, seed: int, n_bytes: int) -> list[str]:
    """Documents to train on, of at least `n_bytes` bytes in all. KeyError for a source that is not in SOURCES."""
    return MAKERS[source](seed, False, n_bytes)


def heldout(source: str, *, seed: int, n_bytes: int) -> list[str]:
    """The like, but documents that `documents` never yields, at any seed or size."""
    return MAKERS[source](seed, True, n_bytes)


def digest_fields(source: str) -> dict[str, str | int]:
    """What determines the text besides seed and size."""
    return {"world": source, "version": VERSION, "code": _code()}


@cache
def _code() -> str:
    """A checksum of this package and of the filters."""
    here = Path(__file__).parent
    digest = hashlib.sha256()
    for path in [*sorted(here.glob("*.py")), here.parent / "filters.py", here.parent / "text.py"]:
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
