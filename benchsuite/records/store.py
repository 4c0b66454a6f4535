"""Write a run directory: the manifest once, and the records, one synced line each. `benchsuite.records.load` reads it.

    store = Store.create(Path("runs/quick-1"), manifest)
    store.append(record)
    store = Store.open(Path("runs/quick-1"))      # after a kill -9: store.records holds what was recorded

A record is kept as soon as `append` returns. A line that a crash tore is repaired when the directory is opened again,
and `repaired` says what was done. An open store holds the directory's lock: nobody else begins or continues a run in
it. The directory may be named through links; in it none is written to (`benchsuite.files`).
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchsuite import files, locks
from benchsuite.cache import write_atomically
from benchsuite.errors import UserError
from benchsuite.records.case import SCHEMA_VERSION, Record
from benchsuite.records.load import manifest_json, read_records
from benchsuite.text import plain


class Store:
    """An open run directory, `folder` as the user named it and `real` without links. `records` are those on disk, in
    the order in which they were written."""

    def __init__(self, folder: Path, manifest: dict[str, Any] | None) -> None:
        self.folder = folder
        self.real = files.real(folder)
        self.records: list[Record] = []
        self.repaired: str | None = None
        with _said(folder), ExitStack() as held:
            if manifest is not None:
                files.make(self.real)
            held.enter_context(locks.run_lock(self.real))
            if manifest is None:
                manifest = manifest_json(self.real)
                self.records, torn = read_records(self.real)
                self.repaired = _repair(self.real / "records.jsonl", torn)
            else:
                check_new(folder)  # again: another may have been quicker
                with write_atomically(self.real / "manifest.json") as path:
                    path.write_text(json.dumps({"schema_version": SCHEMA_VERSION, **manifest}, indent=1) + "\n")
            self.manifest = manifest
            files.make(self.real / "work")
            self._file = files.open_(self.real / "records.jsonl", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
            held.callback(os.close, self._file)
            with files.opened(self.real) as handle:
                files.sync(handle)
            self._held = held.pop_all()

    @classmethod
    def create(cls, folder: Path, manifest: dict[str, Any], records: Sequence[Record] = ()) -> Store:
        """Make the directory and write the manifest, and the `records` that the run begins with. Raises UserError
        where it is not empty or cannot be written, and where another process has begun a run in it."""
        check_new(folder)
        store = cls(folder, manifest)
        try:
            for record in records:
                store.append(record)
        except BaseException:
            store.close()
            raise
        return store

    @classmethod
    def open(cls, folder: Path) -> Store:
        """Open the directory of an earlier run, its last record repaired if need be.

        Raises UserError where it is no run, where another version wrote it, where records are damaged, and where
        another process writes to it.
        """
        manifest_json(folder)  # what is no run gets no lock
        return cls(folder, None)

    def append(self, record: Record) -> None:
        """Write the record and wait until the disk has it. Raises UserError where the disk does not take it."""
        line = json.dumps(record.to_json(), allow_nan=False).encode() + b"\n"
        with _said(self.folder):
            size = os.fstat(self._file).st_size
            try:
                written = 0
                while written < len(line):
                    written += os.write(self._file, line[written:])
                os.fsync(self._file)
            except OSError:
                os.ftruncate(self._file, size)  # a torn line would only have to be repaired later
                raise
        self.records.append(record)

    def log(self, text: str) -> None:
        """Add a line with the time to log.txt."""
        line = f"{datetime.now(UTC).isoformat(timespec='seconds')} {plain(text)}\n"
        with _said(self.folder):
            handle = files.open_(self.real / "log.txt", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
            with open(handle, "a", encoding="utf-8") as file:
                file.write(line)

    def close(self) -> None:
        """Free the directory."""
        self._held.close()


def check_new(folder: Path) -> None:
    """Raise UserError where a run cannot begin in `folder` because something is there."""
    with _said(folder):
        if folder.exists() and not folder.is_dir():
            raise UserError(f"{folder} is a file, not a directory")
        # A kill in the first instant leaves the lock, and a manifest that never got its name.
        left = ("lock", ".manifest.json.")
        if folder.is_dir() and any(not path.name.startswith(left) for path in folder.iterdir()):
            hint = "choose another directory with -o"
            if (folder / "manifest.json").exists():
                hint = f"continue that run with --resume {folder}, or {hint}"
            raise UserError(f"{folder} is not empty", hint=hint)


def _repair(path: Path, torn: bytes) -> str | None:
    """End the last line, or remove it where it is torn; return what was done."""
    data = files.read(path) if path.exists() else b""
    if torn:
        end = data[: len(data) - len(torn)]
        done = f"the last record was torn ({len(torn)} bytes) and was removed; its case is measured again"
    elif data and not data.endswith(b"\n"):
        end, done = data + b"\n", "the last record lacked its line end, which was added"
    else:
        return None
    with write_atomically(path) as temporary:
        temporary.write_bytes(end)
    return done


@contextmanager
def _said(folder: Path) -> Iterator[None]:
    """Turn what a disk refuses into a message."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"{error.filename or folder} cannot be written: {error.strerror}",
            hint=f"nothing recorded is lost; make room or give rights, then: benchsuite run --resume {folder}",
        ) from error
