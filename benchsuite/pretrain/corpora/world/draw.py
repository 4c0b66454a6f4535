"""Random choices that are the same in every process and Python version, and the split of what tests keep to themselves.

Only `random.Random(int).random()` is used, whose sequence Python guarantees; nothing depends on `hash()`. The split is
by CRC-32 of the words themselves: which pairs of words are held out is a property of the world, not of a seed.
"""

from __future__ import annotations

import hashlib
import random
import zlib
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

T = TypeVar("T")


class Draw:
    """A stream of choices determined by `key`, any strings and integers."""

    def __init__(self, *key: str | int) -> None:
        digest = hashlib.sha256("\0".join(map(str, key)).encode()).digest()
        self.random = random.Random(int.from_bytes(digest, "big")).random

    def below(self, n: int) -> int:
        return int(self.random() * n)

    def pick(self, options: Sequence[T]) -> T:
        return options[int(self.random() * len(options))]

    def some(self, options: Sequence[T], k: int) -> list[T]:
        """k different ones in random order."""
        pool, last = list(options), len(options) - 1
        for i in range(k):
            j = i + int(self.random() * (last - i + 1))
            pool[i], pool[j] = pool[j], pool[i]
        return pool[:k]

    def chance(self, p: float) -> bool:
        return self.random() < p


def rank(*words: str) -> int:
    """A fixed number for a combination of words, without a pattern: its CRC-32."""
    return zlib.crc32("|".join(words).encode())


class Split:
    """For each of `rows`, which `columns` training may combine with it and which `held` of them only tests may.

    `of(row, held_out)` is the tuple to choose from. Every row has the same number of columns held out (in a square,
    every column of rows as well), so that a test can offer choices that are all equally new: a model that has merely
    never seen a combination gains nothing.
    """

    def __init__(self, salt: str, rows: Sequence[str], columns: Sequence[str], held: int) -> None:
        n = len(columns)
        steps = list(dict.fromkeys([k * (k + 1) // 2 % n for k in range(n)] + list(range(n))))[:held]
        order = sorted(columns, key=lambda column: rank(salt, column))
        shifted = sorted(rows, key=lambda row: rank(salt, row))
        self._held = {row: tuple(order[(i + step) % n] for step in steps) for i, row in enumerate(shifted)}
        self._free = {row: tuple(c for c in columns if c not in found) for row, found in self._held.items()}

    def of(self, row: str, held_out: bool) -> tuple[str, ...]:
        return (self._held if held_out else self._free)[row]

    def turned(self) -> Split:
        """The same split with rows and columns in each other's place."""
        split = object.__new__(Split)
        split._held, split._free = _turned(self._held), _turned(self._free)
        return split


def _turned(table: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    columns = sorted({column for found in table.values() for column in found})
    return {column: tuple(row for row, found in table.items() if column in found) for column in columns}


def pairs(salt: str, words: Iterable[str], one_in: int) -> Mapping[bool, tuple[tuple[str, str], ...]]:
    """Ordered pairs of different words: at True those held out, one in `one_in` of them, at False the others.

    A pair and its reverse are on the same side.
    """
    words = tuple(words)
    sides: dict[bool, list[tuple[str, str]]] = {False: [], True: []}
    for a in words:
        for b in words:
            if a != b:
                sides[rank(salt, min(a, b), max(a, b)) % one_in == 0].append((a, b))
    return {side: tuple(found) for side, found in sides.items()}
