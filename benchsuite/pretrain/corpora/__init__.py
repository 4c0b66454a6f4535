"""Corpora: training and held-out documents by name.

A name is one of `names()` (three sources of the generated world, facts in eleven languages, three of the installed
packages' documentation), a path (.txt, .jsonl, .parquet, or a folder of them),
hub:owner/name[:config][:split][:column], or mix:languages@alpha:name, where {language} in the name stands for each.

    from benchsuite.pretrain.corpora import load
    corpus = load("installed", train_bytes=4_000_000)
    corpus.train, corpus.heldout, corpus.digest
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchsuite.cache import cache_dir, write_atomically
from benchsuite.cache import digest as digest_of
from benchsuite.errors import UserError, did_you_mean
from benchsuite.pretrain.corpora import facts, files, hub, installed, mixture, world
from benchsuite.pretrain.corpora.text import fill, plain, size
from benchsuite.pretrain.names import FACTS, MIX, PLACE, path_of

SPLIT_VERSION = 1

_WORLD = world.SOURCES
_INSTALLED = {
    "installed-raw": "docstrings of the installed packages as found",
    "installed-filtered": "documentation prose of the installed packages after C4-like rules",
    "installed": "documentation prose of the installed packages, filtered and deduplicated",
}


@dataclass(frozen=True)
class Corpus:
    """Documents to train on and documents held out; no held-out document occurs in training."""

    name: str
    train: list[str]
    heldout: list[str]
    digest: str
    """SHA-256 over the documents and what they were made from; equal digests mean equal documents."""
    tasks: str | None
    """"world" or "facts" if those zero-shot tasks apply; None: tasks are derived from `heldout`."""
    parts: dict[str, list[str]] = field(default_factory=dict)
    """The training documents of a mixture by language; `train` has them interleaved."""
    shares: dict[str, float] = field(default_factory=dict)
    """Of a mixture's tokens, by language."""


def names() -> dict[str, str]:
    """The built-in corpora: {name: one line about it}."""
    return _WORLD | facts.sources() | _INSTALLED


def load(name: str, *, train_bytes: int, heldout_bytes: int = 100_000, seed: int = 0) -> Corpus:
    """The corpus `name`: documents for `train_bytes` and `heldout_bytes` of text (UTF-8).

    Each part is the fewest documents that fill its size. Where the source is smaller, training takes what is left after
    the held-out part. Deterministic: `seed` generates the world, and chooses the held-out documents of other corpora.
    What is held out from one of the world's sources, or one kind of `installed`, is held out from its siblings too.
    Generated, collected and downloaded corpora are cached on disk; files are read again each time.

    Raises UserError for an unknown name, an unreadable source (see `files.read_documents` and `hub.read_documents`),
    and a source too small to fill the held-out part and as much training text.
    """
    if train_bytes < 1 or heldout_bytes < 1:
        raise UserError(f"a corpus needs positive sizes, not {train_bytes} and {heldout_bytes} bytes")
    sizes = {"train_bytes": train_bytes, "heldout_bytes": heldout_bytes, "seed": seed, "split": SPLIT_VERSION}
    if name in _WORLD:
        return _load_world(name, sizes)
    if name in facts.sources():
        return _load_facts(name, sizes)
    if name.startswith(MIX):
        return _load_mixture(name, sizes)
    if name in _INSTALLED:
        fields = {"source": name, "collector": installed.COLLECTOR_VERSION, "versions": installed.versions()}
        return _cached(
            name, fields | sizes, lambda: installed.load(name, **_arguments(sizes)), made_by=installed.code()
        )
    if name.startswith("hub:"):
        dataset = hub.parse(name)
        commit = hub.revision(dataset)
        fields = {"source": name, "revision": commit}
        return _cached(
            name, fields | sizes, lambda: split(name, hub.read_documents(dataset, commit), **_arguments(sizes))
        )
    path = path_of(name)
    if not name or not path.exists():
        raise _unknown(name)
    train, heldout = split(name, files.read_documents(path), **_arguments(sizes))
    # The text alone identifies a file: the same file elsewhere is the same corpus.
    return _corpus(name, {"source": "file"}, train, heldout, tasks=None)


def split(
    name: str, documents: Iterator[str], *, train_bytes: int, heldout_bytes: int, seed: int
) -> tuple[list[str], list[str]]:
    """(training, held-out) documents of a stream, reading no more of it than needed.

    Of the first documents that fill both parts, those with the smallest hash of text and seed are held out, each once;
    copies of them, up to case and white space, are dropped from training. Training keeps the stream's order, and its
    own duplicates.
    """
    first = list(fill(documents, train_bytes + heldout_bytes))
    total = sum(map(size, first))
    least = heldout_bytes + min(heldout_bytes, train_bytes)
    if total < least:
        raise UserError(
            f"the corpus {name} is too small: {total:,} bytes of text; the minimum is {least:,}, for "
            f"{heldout_bytes:,} bytes held out and {least - heldout_bytes:,} to train on",
            hint="give more text, or hold out less",
        )
    key = seed.to_bytes(8, "little", signed=True)
    distinct = {plain(text): text for text in reversed(first)}
    ranked = sorted(
        distinct.items(), key=lambda item: hashlib.blake2b(item[0].encode(), key=key, digest_size=16).digest()
    )
    heldout = list(fill((text for _, text in ranked), heldout_bytes))
    held = {plain(text) for text in heldout}
    train = list(fill((text for text in itertools.chain(first, documents) if plain(text) not in held), train_bytes))
    if sum(map(size, train)) < min(heldout_bytes, train_bytes):
        raise UserError(
            f"the corpus {name} is too small: with {heldout_bytes:,} bytes held out, {sum(map(size, train)):,} bytes "
            "of other text are left to train on",
            hint="the documents may be few and long, or copies of one another: give more text",
        )
    return train, heldout


def _arguments(sizes: dict[str, int]) -> dict[str, int]:
    return {key: sizes[key] for key in ("train_bytes", "heldout_bytes", "seed")}


def _load_world(name: str, sizes: dict[str, int]) -> Corpus:
    def make() -> tuple[list[str], list[str]]:
        heldout = world.heldout(name, seed=sizes["seed"], n_bytes=sizes["heldout_bytes"])
        held = set(heldout)
        train = world.documents(name, seed=sizes["seed"], n_bytes=sizes["train_bytes"])
        return [text for text in train if text not in held], heldout

    return _cached(name, {"world": world.digest_fields(name)} | sizes, make, tasks="world")


def _load_facts(name: str, sizes: dict[str, int]) -> Corpus:
    language = name.removeprefix(FACTS)

    def make() -> tuple[list[str], list[str]]:
        train = facts.documents(language, seed=sizes["seed"], n_bytes=sizes["train_bytes"])
        return train, facts.heldout(language, seed=sizes["seed"], n_bytes=sizes["heldout_bytes"])

    return _cached(name, facts.digest_fields(language) | sizes, make, tasks="facts")


def _load_mixture(name: str, sizes: dict[str, int]) -> Corpus:
    """Text of each language in its share of the bytes, for training and held out."""
    languages, template = mixture.split_name(name)
    shares = languages.shares()
    of_language = {
        code: load(
            template.replace(PLACE, code),
            train_bytes=max(1, round(share * sizes["train_bytes"])),
            heldout_bytes=max(1, round(share * sizes["heldout_bytes"])),
            seed=sizes["seed"],
        )
        for code, share in shares.items()
    }
    parts = {code: corpus.train for code, corpus in of_language.items()}
    heldout = mixture.interleaved({code: corpus.heldout for code, corpus in of_language.items()})
    digest = digest_of({"shares": shares, "parts": {code: corpus.digest for code, corpus in of_language.items()}})
    tasks = {corpus.tasks for corpus in of_language.values()}
    return Corpus(
        name,
        mixture.interleaved(parts),
        heldout,
        digest,
        tasks.pop() if len(tasks) == 1 else None,
        parts=parts,
        shares=shares,
    )


def _unknown(name: str) -> UserError:
    known = list(names())
    if "/" in name or "\\" in name or Path(name).suffix.lower() in files.SUFFIXES:
        return UserError(f"there is no corpus file or folder {name}", hint=f"built-in corpora: {', '.join(known)}")
    near = did_you_mean(name, known)
    listed = "" if near.startswith("choose") else f"; built-in corpora: {', '.join(known)}"
    return UserError(
        f"there is no corpus {name!r}, nor a file or folder of that name", hint=f"{near}{listed}, a path, or {hub.FORM}"
    )


# ---- identity and cache ---------------------------------------------------------------------------------------------


def _corpus(name: str, fields: dict[str, Any], train: list[str], heldout: list[str], *, tasks: str | None) -> Corpus:
    digest = digest_of(fields | {"train": _text_digest(train), "heldout": _text_digest(heldout)})
    return Corpus(name, train, heldout, digest, tasks)


def _text_digest(documents: list[str]) -> str:
    """SHA-256 over documents, each preceded by its length, so that no two lists share one."""
    state = hashlib.sha256()
    for document in documents:
        encoded = document.encode("utf-8")
        state.update(b"%d\n" % len(encoded))
        state.update(encoded)
    return state.hexdigest()


def _cached(
    name: str,
    fields: dict[str, Any],
    make: Callable[[], tuple[list[str], list[str]]],
    *,
    made_by: str = "",
    tasks: str | None = None,
) -> Corpus:
    """The corpus that `fields` determine: from the cache if a whole copy is there, else made and cached.

    `made_by` names the code that makes it, which must not change the text unseen, but is no part of its identity.
    """
    path = cache_dir("corpora") / f"{name.split(':')[0]}-{digest_of([fields, made_by], 24)}.json"
    found = _read_cache(path)
    if found is None:
        found = make()
        _write_cache(path, *found)
    return _corpus(name, fields, *found, tasks=tasks)


def _write_cache(path: Path, train: list[str], heldout: list[str]) -> None:
    payload = json.dumps({"train": train, "heldout": heldout}, ensure_ascii=False).encode("utf-8")
    with write_atomically(path) as temporary:
        temporary.write_bytes(hashlib.sha256(payload).hexdigest().encode() + b"\n" + payload)


def _read_cache(path: Path) -> tuple[list[str], list[str]] | None:
    """Return what `_write_cache` wrote; None if there is nothing, or if it is not whole (it is then made again)."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    checksum, _, payload = content.partition(b"\n")
    if hashlib.sha256(payload).hexdigest().encode() != checksum:
        return None
    documents = json.loads(payload)
    return documents["train"], documents["heldout"]
