"""A run's directory: the manifest, written once, and the records, one synced line each.

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
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchsuite import files, locks
from benchsuite.cache import write_atomically
from benchsuite.errors import UserError
from benchsuite.records import schema
from benchsuite.records.case import STATUSES, Record
from benchsuite.records.schema import SCHEMA_VERSION
from benchsuite.text import plain

NOTHING = type(None)
FIELDS: dict[str, tuple[type, ...]] = {
    "case_id": (str,),
    "replicate": (int,),
    "reason": (str, NOTHING),
    "started": (str,),
    "time_s": (int, float),
    "result": (dict, NOTHING),
}


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
                manifest = read_manifest(self.real)
                self.records, self.repaired = _read_records(self.real / "records.jsonl", repair=True)
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
    def create(cls, folder: Path, manifest: dict[str, Any]) -> Store:
        """Makes the directory and writes the manifest. Raises UserError where it is not empty or cannot be written,
        and where another process has begun a run in it."""
        check_new(folder)
        return cls(folder, manifest)

    @classmethod
    def open(cls, folder: Path) -> Store:
        """Opens the directory of an earlier run, its last record repaired if need be.

        Raises UserError where it is no run, where another version wrote it, where records are damaged, and where
        another process writes to it.
        """
        read_manifest(folder)  # what is no run gets no lock
        return cls(folder, None)

    def append(self, record: Record) -> None:
        """Writes the record and waits until the disk has it. Raises UserError where the disk does not take it."""
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
        """Adds a line with the time to log.txt."""
        line = f"{datetime.now(UTC).isoformat(timespec='seconds')} {plain(text)}\n"
        with _said(self.folder):
            handle = files.open_(self.real / "log.txt", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
            with open(handle, "a", encoding="utf-8") as file:
                file.write(line)

    def close(self) -> None:
        """Frees the directory."""
        self._held.close()


def check_new(folder: Path) -> None:
    """Raises UserError where a run cannot begin in `folder` because something is there."""
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


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a run. Raises UserError where `folder` is no run or another version wrote it."""
    path = folder / "manifest.json"
    if not path.is_file():
        raise UserError(f"{folder} holds no run: there is no {path.name} in it")
    try:
        content = json.loads(files.read(path))
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is not a run's manifest: {error}") from error
    return schema.manifest(content, str(path))


def read_plan(folder: Path) -> schema.Manifest:
    """The manifest of a run, checked. Raises UserError also where a field is missing or of another type."""
    return schema.validated(schema.Manifest, read_manifest(folder), str(folder / "manifest.json"))


def read_records(folder: Path) -> list[Record]:
    """The records of a run, whether or not another process writes to it. Raises UserError for damage."""
    try:
        return _read_records(folder / "records.jsonl", repair=False)[0]
    except OSError as error:
        raise UserError(f"{error.filename} cannot be read: {error.strerror}") from error


def _read_records(path: Path, *, repair: bool) -> tuple[list[Record], str | None]:
    """All whole records, and what was wrong with the last line. Raises UserError for damage before it."""
    if not path.exists():
        return [], None
    data = files.read(path)
    whole, _, tail = data.rpartition(b"\n")
    records = [_record(path, line, number) for number, line in enumerate(whole.split(b"\n"), 1) if line or whole]
    repaired = None
    if tail:
        try:
            records.append(_record(path, tail, len(records) + 1))
            end, repaired = data + b"\n", "the last record lacked its line end, which was added"
        except UserError:
            end = data[: len(data) - len(tail)]
            repaired = f"the last record was torn ({len(tail)} bytes) and was removed; its case is measured again"
        if repair:
            with write_atomically(path) as temporary:
                temporary.write_bytes(end)
    twice = len(records) - len({record.key for record in records})
    if twice:
        raise UserError(f"{path}: {twice} records are there twice", hint="the file was edited; measure anew")
    return records, repaired


def _record(path: Path, line: bytes, number: int) -> Record:
    try:
        record = Record(**schema.record(json.loads(line), f"{path}:{number}"))
        if record.status not in STATUSES:
            raise ValueError(f"the status is {record.status!r}")
        for key, kinds in FIELDS.items():
            if not isinstance(getattr(record, key), kinds):
                raise ValueError(f"{key} is {type(getattr(record, key)).__name__}")
    except (ValueError, TypeError, RecursionError) as error:
        raise UserError(f"{path}:{number} is not a record: {error}", hint="the file was damaged or edited") from error
    return record


@contextmanager
def _said(folder: Path) -> Iterator[None]:
    """Turns what a disk refuses into a message."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"{error.filename or folder} cannot be written: {error.strerror}",
            hint=f"nothing recorded is lost; make room or give rights, then: benchsuite run --resume {folder}",
        ) from error
