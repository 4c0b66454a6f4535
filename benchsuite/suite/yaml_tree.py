"""YAML read for people: YAML 1.2 scalars, the place of every key, and refusals that say where and why.

Only what a configuration needs is read: one document of mappings, lists and plain values. `off`, `on`, `yes` and `no`
are words, `3e-3` is a number (YAML 1.2 core schema, section 10.3.2), a key given twice is an error, and files that
would cost memory or time (too large, too deep, aliases that multiply) are refused before they do.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from benchsuite.errors import UserError

MAX_BYTES = 256 * 1024
MAX_DEPTH = 20
MAX_NODES = 20_000

Key = str | int
KeyPath = tuple[Key, ...]

_INT = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_WORDS: dict[str, Any] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}


@dataclass(frozen=True)
class Place:
    """The place where something was written; `line` counts from 1."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True)
class Tree:
    """The values of a file and the place of each key path."""

    value: Any
    places: dict[KeyPath, Place]


def load(path: Path, name: str | None = None) -> Tree:
    """Read the file `path`, called `name` in messages. Raises UserError that names file and line."""
    name = name or str(path)
    try:
        if path.is_dir():
            raise UserError(f"{name} is a folder", hint="give a YAML file in it, or the name of a suite")
        if not path.is_file():
            what = "is not a regular file" if path.exists() else "does not exist"
            raise UserError(f"{name} {what}", hint="`benchsuite list suites` shows what comes with benchsuite")
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise UserError(
                f"{name} has {size:,} bytes; a suite file has at most {MAX_BYTES:,}",
                hint="this is hardly a suite; is the path right?",
            )
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"{name} cannot be read: {error.strerror}") from error
    return parse(data, name)


def parse(data: bytes, name: str) -> Tree:
    """Read YAML text. Raises UserError that names file and line."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise UserError(
            f"{name}:{line}: byte 0x{data[error.start]:02x} is not UTF-8 text", hint="a suite is a YAML text file"
        ) from error
    control = re.search(r"[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", text)
    if control:
        line = text.count("\n", 0, control.start()) + 1
        raise UserError(
            f"{name}:{line}: the character {control.group()!r} cannot be in YAML", hint="a suite is a YAML text file"
        )
    try:
        return _Builder(name, text).tree()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        written = [*text.splitlines(), ""][min(line - 1, text.count("\n"))]
        indent = written[: len(written) - len(written.lstrip())]
        problem = "a tab; YAML indents with spaces only" if "\t" in indent else error.problem or "not valid YAML"
        if "nesting depth" in problem:  # libyaml's own limit, which its look-ahead meets before ours
            problem = f"nested deeper than {MAX_DEPTH} levels"
        raise UserError(f"{name}:{line}: {problem}") from error
    except yaml.YAMLError as error:
        raise UserError(f"{name}: not valid YAML: {error}") from error


class _Builder:
    """Build values from parser events, so that nothing is made before its size is known."""

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self.events: Iterator[Any] = yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        self.places: dict[KeyPath, Place] = {}
        self.anchors: dict[str, tuple[Any, int]] = {}  # value and its number of nodes
        self.nodes = 0

    def tree(self) -> Tree:
        next(self.events)  # stream start
        event = next(self.events)
        if isinstance(event, yaml.StreamEndEvent):
            raise UserError(f"{self.name}: the file is empty", hint="a suite needs a name and a speed or quality part")
        value = self._node(next(self.events), ())
        next(self.events)  # document end
        event = next(self.events)
        if not isinstance(event, yaml.StreamEndEvent):
            self._refuse(event, "a second document begins here; a suite file holds one")
        return Tree(value, self.places)

    def _node(self, event: Any, path: KeyPath) -> Any:
        self._count(event, 1)
        if len(path) > MAX_DEPTH:
            self._refuse(event, f"nested deeper than {MAX_DEPTH} levels")
        if path not in self.places:
            self.places[path] = Place(self.name, event.start_mark.line + 1)
        if isinstance(event, yaml.AliasEvent):
            assert event.anchor is not None
            if event.anchor not in self.anchors:
                self._refuse(event, f"the alias *{event.anchor} has no anchor before it")
            value, size = self.anchors[event.anchor]
            self._count(event, size)
            return value
        if event.tag is not None and event.tag not in ("!", "tag:yaml.org,2002:str"):
            self._refuse(event, f"the tag {event.tag} is not read; write a plain value")
        before = self.nodes
        if isinstance(event, yaml.ScalarEvent):
            plain = event.implicit[0] and event.tag is None
            value = scalar(event.value) if plain else event.value
        elif isinstance(event, yaml.SequenceStartEvent):
            value = self._sequence(path)
        else:
            value = self._mapping(path)
        if event.anchor:
            self.anchors[event.anchor] = (value, self.nodes - before + 1)
        return value

    def _sequence(self, path: KeyPath) -> list[Any]:
        items: list[Any] = []
        while not isinstance(event := next(self.events), yaml.SequenceEndEvent):
            items.append(self._node(event, (*path, len(items))))
        return items

    def _mapping(self, path: KeyPath) -> dict[str, Any]:
        items: dict[str, Any] = {}
        while not isinstance(event := next(self.events), yaml.MappingEndEvent):
            if not isinstance(event, yaml.ScalarEvent):
                self._refuse(event, "a key must be a word")
            key = event.value
            if key in items:
                first = self.places[(*path, key)]
                self._refuse(event, f"the key {key!r} is given twice in one mapping, first in line {first.line}")
            self.places[(*path, key)] = Place(self.name, event.start_mark.line + 1)
            items[key] = self._node(next(self.events), (*path, key))
        return items

    def _count(self, event: Any, nodes: int) -> None:
        self.nodes += nodes
        if self.nodes > MAX_NODES:
            self._refuse(event, f"more than {MAX_NODES:,} values (aliases count as what they stand for)")

    def _refuse(self, event: Any, problem: str) -> None:
        raise UserError(f"{self.name}:{event.start_mark.line + 1}: {problem}")


def scalar(text: str) -> Any:
    """The value of a plain scalar in YAML 1.2's core schema.

    >>> scalar("3e-3"), scalar("off"), scalar("12"), scalar("null")
    (0.003, 'off', 12, None)
    """
    if text in _WORDS:
        return _WORDS[text]
    if _INT.fullmatch(text) and len(text) < 40:
        return int(text, 0) if text.startswith(("0x", "0o")) else int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    return text
