"""The corpora of a suite: other ones in their place, names that are found again from anywhere, and their content."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Literal

from benchsuite.cache import digest
from benchsuite.errors import UserError, did_you_mean
from benchsuite.pretrain.names import FACTS, MIX, PLACE, path_of
from benchsuite.suite.schema import CORPUS, LANGUAGES, Suite

WORLD = ("web_raw", "web_filtered", "curated")  # corpora of the generated world, which has tasks of its own
DERIVED_HELDOUT_BYTES = 150_000  # of prose give each derived task a few hundred documents
INSTALLED = ("installed", "installed-raw", "installed-filtered")


def on(suite: Suite, given: tuple[str, ...]) -> tuple[Suite, tuple[str, ...]]:
    """Return `suite` on other text: the first of `given` is the baseline's, the others are its variants.

    Also return what there is to say about the change.
    """
    if suite.quality is None or not given:
        return suite, ()
    notes: list[str] = []
    first, rest = given[0], given[1:]
    if given == INSTALLED[:1]:
        rest = INSTALLED[1:]
        notes.append(f"the corpus variants of {first!r} are {' and '.join(rest)}")
    elif not rest and CORPUS in suite.quality.variants:
        notes.append(f"one corpus is given ({first}), so corpora are not compared; repeat --corpus to compare them")
    variants = {key: value for key, value in suite.quality.variants.items() if key != CORPUS}
    if PLACE not in first and LANGUAGES in variants:
        del variants[LANGUAGES]
        notes.append(f"languages are not compared: the name of the corpus has no {PLACE}")
    if rest:
        variants[CORPUS] = tuple(rest)
    own = has_tasks(first)
    tasks, recipes = suite.quality.tasks, suite.quality.recipes
    if own != "world":
        names = tasks.names
        if names and (own == "facts" or of_world(names)):
            notes.append(
                f"the tasks that the suite picks are not of this corpus; all {own or 'derived'} tasks are used"
            )
            names = None
        tasks = replace(tasks, source="auto", names=names)
        recipes = {
            name: recipe for name, recipe in recipes.items() if not any(of_world(s.tasks) for s in recipe.stages)
        }
        recipes = {name: recipe for name, recipe in recipes.items() if recipe.against in (None, *recipes)}
        if len(recipes) < len(suite.quality.recipes):
            notes.append("trainings on the generated world's tasks are left out")
    tokenizer = replace(suite.quality.tokenizer, corpora=None if PLACE in first else (first,))
    heldout = suite.quality.heldout_bytes
    if own is None and heldout < DERIVED_HELDOUT_BYTES:
        heldout = DERIVED_HELDOUT_BYTES
        notes.append(f"{heldout // 1000} kB of {first} are held out: tasks are made from them")
    quality = replace(suite.quality, variants=variants, recipes=recipes, tasks=tasks, tokenizer=tokenizer)
    quality = replace(quality, heldout_bytes=heldout)
    return replace(suite, baseline=replace(suite.baseline, corpus=first), quality=quality), tuple(notes)


def has_tasks(corpus: str) -> Literal["world", "facts"] | None:
    """Whose tasks ask what a corpus, or a mixture of such, tells; None where they are derived from held-out text."""
    if corpus in WORLD:
        return "world"
    return "facts" if corpus.rpartition(":")[2].startswith(FACTS) else None


def of_world(tasks: tuple[str, ...] | None) -> bool:
    """Return True if these are tasks of the generated world, which other text does not have."""
    return any(not name.startswith("derived_") for name in tasks or ())


def located(suite: Suite) -> Suite:
    """The suite with absolute paths for corpora, so that workers and a later --resume find them.

    Raises UserError for a corpus that is not there.
    """
    baseline = replace(suite.baseline, corpus=_located(suite.baseline.corpus))
    quality = suite.quality
    if quality is None:
        return suite
    variants = {key: tuple(map(_located, value)) if key == CORPUS else value for key, value in quality.variants.items()}
    sources = quality.tokenizer.corpora
    tokenizer = replace(quality.tokenizer, corpora=sources and tuple(map(_located, sources)))
    return replace(suite, baseline=baseline, quality=replace(quality, variants=variants, tokenizer=tokenizer))


def _located(name: str) -> str:
    from benchsuite.pretrain import corpora

    path = path_of(name)
    if name in corpora.names() or name.startswith(("hub:", MIX)) or name == f"{FACTS}{PLACE}":
        return name
    if PLACE in name:
        return str(path.absolute())
    if not path.exists():
        hint = f"{did_you_mean(name, list(corpora.names()))}, or give a file, a folder, or hub:OWNER/NAME"
        raise UserError(f"there is no corpus {name!r} and no such path", hint=hint)
    corpora.files.check(path)
    return str(path.resolve())


def spoken(suite: Suite) -> tuple[str, ...]:
    """The languages of a suite that compares some, or trains in some, in order; none where its corpus has no place for
    them."""
    if PLACE not in suite.baseline.corpus:
        return ()
    from benchsuite.pretrain.corpora import mixture

    given = [suite.baseline.languages]
    if suite.quality is not None:
        given += suite.quality.variants.get(LANGUAGES, ())
    return tuple(sorted({code for text in given for code in mixture.parse(text).codes}))


def in_languages(name: str, languages: str) -> str:
    """The corpus that a name stands for in languages."""
    if PLACE not in name or name.startswith(MIX):
        return name
    from benchsuite.pretrain.corpora import mixture

    return mixture.parse(languages).corpus(name)


def equal_shares(name: str, codes: Sequence[str]) -> str:
    """The corpus that a name stands for in these languages, as much of each."""
    return in_languages(name, f"{'+'.join(codes)}@0") if codes else name


def displayed(corpora: Sequence[str]) -> dict[str, str]:
    """Paths by their last part where that tells them apart."""
    short = {name: Path(name).name if Path(name).is_absolute() else name for name in corpora}
    return short if len(set(short.values())) == len(short) else {name: name for name in corpora}


def content(name: str) -> str | None:
    """Return the identity of a corpus that its name does not tell: a hash, or the version of the generated world; None
    for hub corpora."""
    from benchsuite.pretrain.corpora import world

    if name in world.SOURCES:
        return f"world {world.VERSION}"
    if name in INSTALLED:
        installed = sorted({f"{item.metadata['Name']} {item.version}" for item in metadata.distributions()})
        return digest(installed, 16)
    if name.startswith(MIX):
        from benchsuite.pretrain.corpora import mixture

        languages, template = mixture.split_name(name)
        found = [content(template.replace(PLACE, code)) for code in languages.codes]
        return digest(found, 16) if any(found) else None
    if name.startswith(FACTS):
        return digest(metadata.version("babel"), 16)
    path = Path(name)
    if not path.is_absolute():
        return None
    from benchsuite.pretrain.corpora import files

    files.check(path)
    hashed = hashlib.sha256()
    for file in files.files_of(path) if path.is_dir() else [path]:
        hashed.update(str(file.relative_to(path)).encode() + b"\0")
        with open(file, "rb") as opened:
            hashed.update(hashlib.file_digest(opened, "sha256").digest())
    return hashed.hexdigest()[:16]
