"""Read and compose names of corpora. No corpus is needed to read one, so that plans are made without them."""

from __future__ import annotations

from pathlib import Path

from benchsuite.errors import UserError

FACTS = "facts-"  # so begin those of facts in several languages, which have tasks of their own; then comes the language
MIX = "mix:"  # so begin mixtures: mix:LANGUAGES@ALPHA:NAME, with PLACE in the name
PLACE = "{language}"  # in a name: each of the languages that are read


def path_of(name: str) -> Path:
    """The path that a name stands for, whether or not something is there. Raises UserError where it cannot be one: too
    long, with a home of nobody, in a folder that cannot be looked into."""
    try:
        path = Path(name).expanduser()
        path.exists()
    except (OSError, RuntimeError, ValueError) as error:
        shown = name if len(name) <= 60 else name[:57] + "…"
        raise UserError(f"{shown!r} is no path: {getattr(error, 'strerror', None) or error}") from error
    return path
