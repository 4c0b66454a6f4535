"""Facts from CLDR in eleven languages: whose currency is what, what is spoken where, which day comes next.

    >>> from benchsuite.pretrain.corpora import facts
    >>> train = facts.documents("eu", seed=0, n_bytes=100_000)

Document number n of a seed says the same in every language. Everything is decided by (language, seed, n_bytes) and the
version of Babel, with which facts and names change.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import babel

from benchsuite.pretrain.corpora.facts import items
from benchsuite.pretrain.corpora.facts.languages import LANGUAGES
from benchsuite.pretrain.corpora.text import fill
from benchsuite.pretrain.corpora.world.draw import Draw
from benchsuite.pretrain.names import FACTS

HELD_OUT_ONE_IN = 16


def sources() -> dict[str, str]:
    """{name of the corpus: one line about it}"""
    names = {code: babel.Locale(code).get_display_name("en") for code in LANGUAGES}
    return {f"{FACTS}{code}": f"facts about territories and dates from CLDR, in {names[code]}" for code in LANGUAGES}


def documents(language: str, *, seed: int, n_bytes: int) -> list[str]:
    """Documents to train on, of at least `n_bytes` bytes of UTF-8 in all. KeyError for a language that is not there."""
    return list(fill(_documents(language, seed, held_out=False), n_bytes))


def heldout(language: str, *, seed: int, n_bytes: int) -> list[str]:
    """The like, but documents that `documents` never yields in any language, at any seed or size."""
    return list(fill(_documents(language, seed, held_out=True), n_bytes))


def _documents(language: str, seed: int, *, held_out: bool) -> Iterator[str]:
    """By the checksum of what it says a document is for training or held out, in every language alike."""
    draw = Draw("facts", seed, int(held_out))
    while True:
        said = items.sayings(draw)
        if (zlib.crc32(repr(said).encode()) % HELD_OUT_ONE_IN == 0) == held_out:
            yield items.document(language, said)


def digest_fields(language: str) -> dict[str, str]:
    """What determines the text besides seed and size."""
    return {"facts": language, "babel": babel.__version__, "code": _code()}


@cache
def _code() -> str:
    """A checksum of this package and of what it draws with."""
    here = Path(__file__).parent
    digest = hashlib.sha256()
    for path in [*sorted(here.glob("*.py")), here.parent / "world" / "draw.py", here.parent / "text.py"]:
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
