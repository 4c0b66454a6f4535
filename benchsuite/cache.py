"""Where benchsuite keeps what it can make again: corpora, tokenizers, packed tokens, compiled kernels."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchsuite.errors import UserError


def cache_dir(*parts: str) -> Path:
    """The folder for `parts`, made if need be: under $BENCHSUITE_CACHE, $XDG_CACHE_HOME/benchsuite or
    ~/.cache/benchsuite.

    Raises UserError where it cannot be made.
    """
    root = os.environ.get("BENCHSUITE_CACHE")
    base = Path(root) if root else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "benchsuite"
    folder = base.joinpath(*parts).absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"the cache folder {folder} cannot be made: {error.strerror}",
            hint="set BENCHSUITE_CACHE to a folder that can be written",
        ) from error
    return folder


def digest(value: Any, length: int = 64) -> str:
    """The first `length` hex digits of the SHA-256 of `value` as canonical JSON (keys sorted, no spaces)."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:length]


@contextlib.contextmanager
def write_atomically(path: Path) -> Iterator[Path]:
    """Gives a temporary path beside `path`; when the block ends well it is synced and takes `path`'s place.

    A reader sees the old file or the new one, never a torn one; of two writers the later wins.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with open(temporary, "rb") as written:
            os.fsync(written.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
