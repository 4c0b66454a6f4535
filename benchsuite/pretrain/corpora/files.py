"""Documents from the user's own files: .txt, .jsonl, .parquet, or a folder of them. Everything streams.

A text file is cut into documents of about 2-4 kB at paragraph breaks (else line breaks, sentence ends, spaces). A row
of .jsonl or .parquet is one document; a row longer than 16 kB is cut like a text file, so that one book in one row
still gives documents to hold out. A row whose text is null or empty is no document, in every format and on the hub;
one without the field, or with another type in it, is an error.
"""

from __future__ import annotations

import codecs
import contextlib
import itertools
import json
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import regex  # type: ignore[import-untyped]

from benchsuite.errors import UserError

if TYPE_CHECKING:
    import pyarrow as pa

SUFFIXES = (".txt", ".jsonl", ".parquet")
DOCUMENT_BYTES = (2000, 4000)  # where a long text may be cut
LONG_ROW_BYTES = 16_000
LONGEST_ROW = 32 << 20  # bytes of a line of .jsonl
PARQUET_ROWS = 64  # read at once: one may hold a book
MOST_FILES = 100_000  # of a folder
MOST_ENTRIES = 1_000_000  # of a folder, files of other kinds and folders included
_BLOCK = 1 << 20
_SURROGATE = re.compile("[\ud800-\udfff]")
_CUTS = (
    regex.compile(r"\n[ \t]*\n\s*"),
    regex.compile(r"\n"),
    # From the first mark of a row alone, and without going back, or a row of n marks would take n^2 steps.
    regex.compile(r"(?:\G|(?<![.!?…؟۔।።។]))[.!?…؟۔।።។]++[\"'”’»)]*+\s+|[。！？｡]++[”’」』]*+"),
    regex.compile(r"\s"),
)


def check(path: Path) -> None:
    """Raise UserError for what cannot be a corpus, without reading it: `read_documents` says what. To be called before
    a corpus is hashed or waited for."""
    for file in files_of(path) if path.is_dir() else [path]:
        _check_file(file)


def read_documents(path: Path) -> Iterator[str]:
    """The documents of a file, or of a folder's supported files in sorted order (recursive); none is empty.

    In a folder the files take turns, a few documents each (64 files at a time), so that a reader that stops early has
    not read one file only. Raises UserError, naming the file and the place in it, for a file that is missing,
    unreadable, no regular file, binary, not UTF-8, or without the expected field or column, and for a folder without a
    supported file or with too many.
    """
    if path.is_dir():
        yield from _in_turns(files_of(path))
    else:
        yield from _read_file(path)


def cut(blocks: Iterator[str], limits: tuple[int, int] = DOCUMENT_BYTES) -> Iterator[str]:
    """Cut a long text, given in blocks, into documents of `limits` bytes, whatever the sizes of the blocks."""
    buffer = ""
    for block in itertools.chain(blocks, (None,)):
        if block is not None:
            buffer += block
        start = 0
        # A cut looks at most limits[1] characters ahead (a character is at least a byte), unless the text ends here.
        while len(buffer) - start > limits[1] or (block is None and start < len(buffer)):
            end = start + _cut_at(buffer[start : start + limits[1] + 1], limits)
            document = buffer[start:end].strip()
            if document:
                yield document
            start = end
        buffer = buffer[start:]


def _cut_at(window: str, limits: tuple[int, int]) -> int:
    """Return where to cut `window`, in characters: at the best break between the two limits, which are bytes."""
    size = len(window.encode("utf-8"))
    if size <= limits[1]:
        return len(window)
    low, high = (max(1, limit * len(window) // size) for limit in limits)
    for pattern in _CUTS:
        match = pattern.search(window, low, high)
        if match:
            return match.end()
    return high


def files_of(folder: Path) -> list[Path]:
    """The supported files of a folder, sorted. Raises UserError where there are none or too many."""
    found = []
    try:
        for number, path in enumerate(folder.rglob("*")):
            if path.suffix.lower() in SUFFIXES and path.is_file():
                found.append(path)
            if number >= MOST_ENTRIES or len(found) > MOST_FILES:
                raise UserError(
                    f"the folder {folder} is no corpus: it holds more than {MOST_ENTRIES:,} entries or {MOST_FILES:,} "
                    "corpus files",
                    hint="name a folder that holds the corpus alone, or join its files",
                )
    except OSError as error:
        raise UserError(f"the folder {folder} cannot be read: {error.strerror}") from error
    if not found:
        raise UserError(
            f"the folder {folder} holds no corpus file",
            hint=f"a corpus is made of files ending in {', '.join(SUFFIXES)}",
        )
    return sorted(found)


def _check_file(path: Path) -> None:
    """Raise UserError for a file that has no end, no text or no column of text."""
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise UserError(
            f"{path}: a corpus file ends in {', '.join(SUFFIXES)}, not {suffix or 'nothing'}",
            hint="plain text in UTF-8 is read when its name ends in .txt",
        )
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise UserError(
                f"{path} is not a regular file: a pipe or a device may never end", hint="write the text to a file"
            )
        if suffix == ".parquet":
            _parquet_column(path)
            return
        with open(path, "rb") as file:
            hole = os.lseek(file.fileno(), 0, os.SEEK_HOLE) if status.st_size else 0
        if hole < status.st_size:
            raise UserError(
                f"{path}: a binary file, not text: it has a hole at byte {hole:,}, which reads as zeros",
                hint="a corpus is text in UTF-8; is the copy or the download complete?",
            )
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from error


def _in_turns(files: list[Path], documents_a_turn: int = 4, open_at_once: int = 64) -> Iterator[str]:
    waiting = iter(files)
    readers = [_read_file(path) for path in itertools.islice(waiting, open_at_once)]
    while readers:
        still = []
        for reader in readers:
            turn = list(itertools.islice(reader, documents_a_turn))
            yield from turn
            if len(turn) == documents_a_turn:
                still.append(reader)
        still += [_read_file(path) for path in itertools.islice(waiting, open_at_once - len(still))]
        readers = still


def _read_file(path: Path) -> Iterator[str]:
    _check_file(path)
    try:
        if path.suffix.lower() == ".txt":
            yield from cut(_text_blocks(path))
        else:
            for row in _jsonl_rows(path) if path.suffix.lower() == ".jsonl" else _parquet_rows(path):
                yield from cut_long(row)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from error


def cut_long(document: str) -> Iterator[str]:
    """`document` stripped, nothing if it is empty, in pieces if it is longer than 16 kB."""
    document = document.strip()
    if len(document) * 4 > LONG_ROW_BYTES and len(document.encode("utf-8")) > LONG_ROW_BYTES:
        yield from cut(iter((document,)))
    elif document:
        yield document


def _text_blocks(path: Path) -> Iterator[str]:
    """The text of a UTF-8 file in blocks, without byte order mark, line ends as \\n."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    offset = 0  # of the first byte that is not decoded yet
    held = ""  # a \r whose \n may come with the next block
    with open(path, "rb") as file:
        while True:
            block = file.read(_BLOCK)
            final = not block
            if offset == 0:
                if block.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
                    raise _not_utf8(path, 0, "it starts with the mark of UTF-16")
                if block.startswith(codecs.BOM_UTF8):
                    block, offset = block[len(codecs.BOM_UTF8) :], len(codecs.BOM_UTF8)
            if b"\0" in block:
                raise UserError(
                    f"{path}: a binary file, not text: byte {offset + block.index(0)} is zero",
                    hint="a corpus is text in UTF-8",
                )
            pending = len(decoder.getstate()[0])
            try:
                text = held + decoder.decode(block, final=final)
            except UnicodeDecodeError as error:
                raise _not_utf8(path, offset - pending + error.start, error.reason) from error
            offset += len(block)
            held = ""
            if text.endswith("\r") and not final:
                text, held = text[:-1], "\r"
            if text:
                yield text.replace("\r\n", "\n").replace("\r", "\n")
            if final:
                return


def _not_utf8(path: Path, offset: int, reason: str) -> UserError:
    return UserError(
        f"{path}: not UTF-8 at byte {offset}: {reason}",
        hint="convert the file, for example: iconv -f LATIN1 -t UTF-8 OLD > NEW",
    )


def _jsonl_rows(path: Path) -> Iterator[str]:
    """The "text" of each line; blank lines are skipped."""
    offset = 0
    with open(path, "rb") as file:
        for number, line in enumerate(iter(lambda: file.readline(LONGEST_ROW + 1), b""), 1):
            if len(line) > LONGEST_ROW:
                raise UserError(
                    f"{path}, line {number}: longer than {LONGEST_ROW:,} bytes",
                    hint="a line is one document; a long text can be read as .txt",
                )
            if number == 1:
                line = line.removeprefix(codecs.BOM_UTF8)
            try:
                yield from _jsonl_text(line)
            except UnicodeDecodeError as error:
                raise _not_utf8(path, offset + error.start, f"line {number}: {error.reason}") from error
            except ValueError as error:
                raise UserError(
                    f"{path}, line {number}: {error}", hint='each line is one JSON object such as {"text": "..."}'
                ) from error
            offset += len(line)


def _jsonl_text(line: bytes) -> Iterator[str]:
    decoded = line.decode("utf-8").strip()
    if not decoded:
        return
    try:
        row = json.loads(decoded)
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error.msg} at column {error.colno}") from error
    except RecursionError as error:
        raise ValueError("nested too deep") from error
    if not isinstance(row, dict):
        raise ValueError(f"expected a JSON object, got {type(row).__name__}")
    if "text" not in row:
        raise ValueError(f'no field "text"; the fields are: {", ".join(map(str, list(row)[:8])) or "none"}')
    text = row["text"]
    if text is None:
        return
    if not isinstance(text, str):
        raise ValueError(f'the field "text" is no string but {type(text).__name__}')
    if _SURROGATE.search(text):
        raise ValueError('the field "text" holds half of a surrogate pair, which is no character')
    yield text


def _parquet_rows(path: Path) -> Iterator[str]:
    import pyarrow.parquet as pq

    column = _parquet_column(path)
    with _parquet_said(path), pq.ParquetFile(path) as file:
        # A name with a point would be taken for a field inside another.
        columns = None if "." in column else [column]
        for batch in file.iter_batches(batch_size=PARQUET_ROWS, columns=columns):
            for text in batch.column(batch.schema.get_field_index(column)):
                if value := text.as_py():
                    yield value


def _parquet_column(path: Path) -> str:
    """The column of the documents, by the file's footer alone."""
    import pyarrow.parquet as pq

    with _parquet_said(path), pq.ParquetFile(path) as file:
        return _text_column(path, file.schema_arrow)


@contextlib.contextmanager
def _parquet_said(path: Path) -> Iterator[None]:
    """Turn what pyarrow says of a damaged file into a message. It raises many types."""
    import pyarrow as pa

    try:
        yield
    except (
        pa.ArrowException,
        OSError,
        ValueError,
        TypeError,
        KeyError,
        IndexError,
        OverflowError,
        MemoryError,
    ) as error:
        raise UserError(
            f"{path}: not a readable parquet file: {' '.join(str(error).split())[:200]}",
            hint="a corpus in parquet has a string column named text, or one string column",
        ) from error


def _text_column(path: Path, schema: pa.Schema) -> str:
    import pyarrow.types as types

    def is_string(kind: pa.DataType) -> bool:
        kind = kind.value_type if types.is_dictionary(kind) else kind
        return types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind)

    strings = [field.name for field in schema if is_string(field.type)]
    if strings.count("text") == 1:
        return "text"
    if len(strings) == 1:
        return strings[0]
    columns = ", ".join(f"{field.name} ({field.type})" for field in schema) or "none"
    raise UserError(
        f"{path}: {'several string columns' if strings else 'no string column'}, and not one named text; "
        f"columns: {columns}",
        hint="name the column that holds the documents text, and no other",
    )
