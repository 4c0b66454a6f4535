"""Documentation prose of the installed packages: real English without a download.

Docstrings are read from the source files of the standard library and of all installed distributions; nothing is
imported. Files come in the order of a hash of their path, which mixes the packages, so a reader that stops early has
seen them all. The text depends on what is installed and is identified by its own hash (`Corpus.digest`).
"""

from __future__ import annotations

import ast
import hashlib
import inspect
import os
import platform
import re
import sysconfig
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path

from benchsuite.errors import UserError
from benchsuite.pretrain.corpora.filters import Deduplicator, c4_filter, normal_sentences
from benchsuite.pretrain.corpora.text import fill, plain, size

COLLECTOR_VERSION = 2
HELD_OUT_ONE_IN = 12

# Tests, copies of other packages inside a package, and this project: its corpus must not change with its own version.
_SKIPPED_FOLDERS = {
    "__pycache__", "site-packages", "dist-packages", "tests", "test", "_vendor", "vendor", "_vendored_packages",
    "vendored", "third_party", "externals", "extern", "idlelib", "lib2to3", "benchsuite",
}  # fmt: skip
_MAX_FILE_BYTES = 2_000_000  # larger sources are tables of data


def load(kind: str, *, train_bytes: int, heldout_bytes: int, seed: int) -> tuple[list[str], list[str]]:
    """(training, held-out) documents of one `kind` (see `documents`), as many as fill the two sizes.

    One source file in 12, chosen by `seed`, is held out from all three kinds. Training documents of any kind that share
    a sentence of five words or more with the held-out documents of "installed" are dropped, so that a model trained on
    any kind can be evaluated on these. Raises UserError where the packages hold too little text.
    """
    files = source_files()
    held_files = [path for path, number in files if (number ^ _hash(str(seed))) % HELD_OUT_ONE_IN == 0]
    train_files = [path for path, number in files if (number ^ _hash(str(seed))) % HELD_OUT_ONE_IN]
    deduplicator = Deduplicator(min_sentences=2)
    asked = list(fill(documents("installed", held_files, deduplicator), heldout_bytes))
    heldout = asked if kind == "installed" else list(fill(documents(kind, held_files), heldout_bytes))
    keys = {key for text in asked for key in _keys(text)}
    plain_heldout = set(map(plain, heldout))

    def is_free(text: str) -> bool:
        prose_of = prose(text) if kind == "installed-raw" else text
        return plain(text) not in plain_heldout and keys.isdisjoint(_keys(prose_of))

    train = list(fill(filter(is_free, documents(kind, train_files, deduplicator)), train_bytes))
    found = sum(map(size, heldout))
    if found < heldout_bytes or sum(map(size, train)) < min(heldout_bytes, train_bytes):
        raise UserError(
            f"the corpus {kind} is too small: the packages installed here have {found:,} bytes to hold out and "
            f"{sum(map(size, train)):,} to train on; {heldout_bytes:,} of each are needed",
            hint="hold out less, or train on another corpus",
        )
    return train, heldout


def documents(kind: str, paths: Iterable[Path], deduplicator: Deduplicator | None = None) -> Iterator[str]:
    """The documents of one `kind` in the source files `paths`.

    "installed-raw": each docstring as found, its indentation removed. "installed-filtered": the prose of each docstring
    (`prose`) after the C4 rules. "installed": the same without duplicates, also of what `deduplicator` has seen.
    """
    deduplicator = deduplicator or Deduplicator(min_sentences=2)
    for path in paths:
        if kind == "installed-raw":
            yield from docstrings(path)
            continue
        for docstring in docstrings(path, min_sentences=3):
            filtered = c4_filter([prose(docstring)])
            document = deduplicator.reduce(filtered[0]) if filtered and kind == "installed" else "".join(filtered)
            if document:
                yield document


def _keys(text: str) -> Iterator[str]:
    return (sentence for sentence in normal_sentences(text) if sentence.count(" ") >= 4)


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=16).digest(), "big")


def source_files() -> list[tuple[Path, int]]:
    """(file, hash of its path below its root) of all Python files of the standard library and of site-packages, in the
    order of the hash."""
    ordered: dict[int, Path] = {}
    for root in _roots():
        for folder, subfolders, names in os.walk(root):
            subfolders[:] = sorted(name for name in subfolders if name not in _SKIPPED_FOLDERS)
            relative = os.path.relpath(folder, root)
            for name in names:
                if name.endswith(".py") and not name.startswith("test_"):
                    ordered.setdefault(_hash(f"{relative}/{name}".replace(os.sep, "/")), Path(folder, name))
    return [(ordered[number], number) for number in sorted(ordered)]


def code() -> str:
    """A checksum of this module and those it uses: cached text does not outlive a change of them."""
    here = Path(__file__).parent
    content = b"".join((here / name).read_bytes() for name in ("installed.py", "filters.py", "text.py"))
    return hashlib.sha256(content).hexdigest()[:16]


def versions() -> dict[str, str]:
    """What the text depends on: {distribution: version} of everything installed but this project, and "python"."""
    from importlib.metadata import distributions

    found = {"python": platform.python_version()}
    for distribution in distributions():
        name = distribution.metadata["Name"]
        if name and name != "benchsuite":
            found[name.lower()] = distribution.version
    return dict(sorted(found.items()))


def _roots() -> list[str]:
    paths = sysconfig.get_paths()
    return list(dict.fromkeys(paths[key] for key in ("stdlib", "purelib", "platlib") if Path(paths[key]).is_dir()))


# ---- docstrings -----------------------------------------------------------------------------------------------------

_TRIPLE = re.compile(
    r'"""(?P<double>[^"\\]*(?:(?:\\.|"(?!""))[^"\\]*)*)"""'
    r"|'''(?P<single>[^'\\]*(?:(?:\\.|'(?!''))[^'\\]*)*)'''",
    re.DOTALL,
)
# Every string and comment, for the few files in which triple quotes stand inside one.
_TOKEN = re.compile(
    r"#[^\n]*|" + _TRIPLE.pattern + r'|"[^"\\\n]*(?:\\.[^"\\\n]*)*"' + r"|'[^'\\\n]*(?:\\.[^'\\\n]*)*'", re.DOTALL
)
_OPENER = re.compile(r"'''|\"\"\"")
_BLOCK_LINE = re.compile(r":\s*(?:#.*)?\Z")


def docstrings(path: Path, *, min_sentences: int = 0) -> Iterator[str]:
    """The triple-quoted docstrings of a source file in order, as `inspect.cleandoc` gives them; none is empty.

    Those that cannot hold `min_sentences` sentences are skipped early. Files that cannot be read, are not UTF-8, or
    exceed 2 MB give none: which of them there are is the environment's business, and the text identifies the corpus.
    """
    try:
        if path.stat().st_size > _MAX_FILE_BYTES:
            return
        source = path.read_bytes().decode("utf-8").replace("\r\n", "\n")
    except (OSError, UnicodeDecodeError):
        return
    for raw, body in _literals(source):
        if min_sentences and body.count(".") + body.count("!") + body.count("?") < min_sentences:
            continue
        text = body if raw or "\\" not in body else _evaluate(body)
        text = inspect.cleandoc(text).strip() if text else ""
        if text:
            yield text


def _literals(source: str) -> Iterator[tuple[bool, str]]:
    """(is raw, body) of each docstring: a triple-quoted string that starts its line, after a block's colon or at the
    module's start. Found by looking for triple quotes only, about 20 times as fast as by a syntax tree; the tests hold
    the result to that of `ast`."""
    position = 0
    exact: dict[int, int] | None = None  # {start: end} of the triple-quoted strings, if the quick way is not safe
    while opener := _OPENER.search(source, position):
        start = opener.start()
        line = source.rfind("\n", 0, start) + 1
        prefix = source[line:start].strip(" \t\ufeff")
        if exact is None and ("#" in prefix or "'" in prefix or '"' in prefix):
            exact = {m.start(): m.end() for m in _TOKEN.finditer(source) if m.lastgroup}
        if exact is not None and start not in exact:
            position = start + 3
            continue
        match = _TRIPLE.match(source, start)
        if match is None:  # not closed: broken source
            return
        position = match.end()
        if prefix in ("", "r", "R", "u", "U") and _opens_block(source, line):
            yield prefix in ("r", "R"), match[match.lastgroup or 0]


def _opens_block(source: str, line: int) -> bool:
    """Whether the code before the line that starts at `line` ends in a colon, comments and blank lines aside."""
    while line > 0:
        end = line - 1
        line = source.rfind("\n", 0, end) + 1
        code = source[line:end].strip()
        if code and not code.startswith("#"):
            return _BLOCK_LINE.search(code) is not None
    return True


def _evaluate(body: str) -> str | None:
    """The value of the triple-quoted string with this body; None where it is not valid, as in broken source."""
    quotes = "'''" if body.endswith('"') or '"""' in body else '"""'
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # invalid escapes such as "\d" are common in docstrings
            value = ast.literal_eval(quotes + body + quotes)
            value.encode("utf-8")  # no lone surrogates
    except (SyntaxError, ValueError):
        return None
    return str(value)


# ---- prose ----------------------------------------------------------------------------------------------------------

_NOT_PROSE_START = re.compile(r"\.\. |:\w+[: ]|@|[-+•|=#>]|\* |\d+[.)] |\(?[a-z0-9][.)] |!!!|<")
_NOT_PROSE = re.compile(r">>>|\\|:math:|\$|https?://|::|[{}|=]|\.\.\.|__|\w\(|</| : ")
_UNDERLINE = re.compile(r"([=\-~^\"'#*+`])\1{2,}\Z")
_MARKUP = (
    (re.compile(r":[\w:.+-]+:`~?([^`<]*?)(?:\s*<[^`]*>)?`"), r"\1"),  # :class:`~a.b.C` and :ref:`text <target>`
    (re.compile(r"\[?``?~?([^`<]*?)(?:\s*<[^`]*>)?`?`(?:_{1,2})?\]?"), r"\1"),  # ``code``, `link <url>`_, [`Name`]
    (re.compile(r"\s*\[[\w#.-]+\]_"), ""),  # citations
    (re.compile(r"(?<![\w*])\*{1,2}(\w[^*]*?)\*{1,2}(?!\w)"), r"\1"),
)


def prose(docstring: str) -> str:
    """The paragraphs of prose of a docstring, one a line, without markup.

    Left out: doctests, code, lists, tables, directives, parameter lists (all that is indented below its paragraph's
    start), headings, formulas, and paragraphs that only introduce one of these.
    """
    paragraphs = (_paragraph(block.split("\n")) for block in re.split(r"\n\s*\n", docstring))
    return "\n".join(paragraph for paragraph in paragraphs if paragraph)


def _paragraph(lines: list[str]) -> str | None:
    if len(lines) > 1 and _UNDERLINE.match(lines[1].strip()):  # a heading
        lines = lines[2:]
    if not lines or any(not line or line[0].isspace() or _NOT_PROSE_START.match(line) for line in lines):
        return None
    text = " ".join(" ".join(lines).split())
    if "`" in text or "*" in text or "]_" in text:
        for pattern, replacement in _MARKUP:
            text = pattern.sub(replacement, text)
    first = text[:1]
    if not first.isupper() or text[-1:] not in ".!?" or _NOT_PROSE.search(text):
        return None
    letters = sum(map(str.isalpha, text))
    return text if letters > 0.72 * len(text) else None
