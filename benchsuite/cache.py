"""The folder for everything that can be made again: corpora, tokenizers, packed tokens, compiled kernels."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchsuite import files
from benchsuite.errors import UserError


def cache_dir(*parts: str) -> Path:
    """The folder for `parts`, made if need be: under $BENCHSUITE_CACHE, $XDG_CACHE_HOME/benchsuite or
    ~/.cache/benchsuite.

    Links on the way to the cache are the user's own, links in it are refused (`benchsuite.files`). Raises UserError
    where it cannot be made.
    """
    root = os.environ.get("BENCHSUITE_CACHE")
    try:
        base = Path(root) if root else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "benchsuite"
    except RuntimeError as error:  # no HOME, and a user that the system does not know
        raise UserError("there is no home folder for the cache", hint="set BENCHSUITE_CACHE to a folder") from error
    folder = files.real(base).joinpath(*parts)
    try:
        files.make(folder)
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
    """Yield a temporary path beside `path`; when the block ends well it is synced and takes `path`'s place, for good.

    A reader sees the old file or the new one, never a torn one; of two writers the later wins. The folder is made if
    need be. Raises UserError where `path` is not a file or leads through a link: `files.named` resolves what a user
    has named.
    """
    with files.opened(path.parent, make=True) as folder:
        files.check(path)
        temporary = path.parent / f".{path.name}.{secrets.token_hex(4)}"
        try:
            os.close(files.open_(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
            yield temporary
            written = files.open_(temporary, os.O_RDONLY)
            try:
                files.sync(written)
            finally:
                os.close(written)
            files.move(temporary, path)
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary.name, dir_fd=folder)
