"""Impressions and clicks: Criteo's files, and a click model whose interactions are known."""

from __future__ import annotations

import csv
import itertools
import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchsuite.errors import UserError

NUMBERS, CATEGORIES = 13, 26
RARE = 10  # a value seen less often in the training data is one of "all others", as usual
MOST_BYTES = 2**30  # of a file that is read whole
SPLIT = (0.8, 0.1)  # training and validation; the rest is the test


@dataclass(frozen=True)
class Clicks:
    """Impressions `ids` (N, F) int64, numbered through all fields below `categories`; clicks (N,) of 0 and 1; index
    ranges of the three parts. `ceiling` is the AUC of the true chances, where they are known."""

    ids: Tensor
    clicks: Tensor
    categories: int
    parts: dict[str, Tensor]
    ceiling: float | None = None


def load(folder: Path, most: int | None = None) -> Clicks:
    """The Criteo display advertising data in `folder` (or a file): train.txt, or one .csv with a header. A positive
    count v is made the category floor(log(v)^2), as the winners of the 2014 challenge did; values that are rare in the
    training part are one category. Parts are drawn with a fixed seed.

    Raises UserError where a file is missing or a line is none of Criteo's.
    """
    path = _file(folder)
    if most is None and path.stat().st_size > MOST_BYTES:
        raise UserError(
            f"{path} has {path.stat().st_size / 2**30:.1f} GiB, more than fits into memory as Python reads it",
            hint="most: a number of impressions to read, such as 2M",
        )
    try:
        rows = list(itertools.islice(_rows(path), most))
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path} is not a text of lines: {error}") from error
    if len(rows) < 10:
        raise UserError(f"{path} has {len(rows)} impressions, too few for three parts")
    parts = _parts(len(rows))
    values = [row[1] for row in rows]
    ids = np.zeros((len(rows), NUMBERS + CATEGORIES), dtype=np.int64)
    offset = 0
    for field in range(NUMBERS + CATEGORIES):
        counts = Counter(values[row][field] for row in parts["train"].tolist())
        known = {value: place for place, (value, count) in enumerate(counts.items(), 1) if count >= RARE}
        ids[:, field] = [offset + known.get(row[field], 0) for row in values]
        offset += 1 + len(known)
    clicks = torch.tensor([float(row[0]) for row in rows])
    return Clicks(torch.from_numpy(ids), clicks, offset, parts)


def _file(folder: Path) -> Path:
    if folder.is_file():
        return folder
    found = [folder / "train.txt"] if (folder / "train.txt").exists() else sorted(folder.glob("*.csv"))
    if len(found) != 1:
        raise UserError(f"{folder} has no train.txt and {len(found)} files .csv", hint="give the file itself")
    return found[0]


def _rows(path: Path) -> Iterator[tuple[int, tuple[str, ...]]]:
    """(click, values) of each line."""
    with open(path, encoding="utf-8", newline="") as file:
        start = file.read(4096)
        file.seek(0)
        separator = "\t" if "\t" in start.partition("\n")[0] else ","
        for number, row in enumerate(csv.reader(file, delimiter=separator), 1):
            if number == 1 and row and row[0] == "label":
                continue
            if len(row) != 1 + NUMBERS + CATEGORIES or row[0] not in ("0", "1"):
                raise UserError(
                    f"{path}, line {number}: a line of Criteo is a label of 0 or 1, {NUMBERS} numbers and {CATEGORIES} "
                    f"categories; this one has {len(row)} values and begins with {row[0][:20] if row else ''!r}"
                )
            try:
                numbers = tuple(_bucket(value) for value in row[1 : 1 + NUMBERS])
            except (ValueError, OverflowError) as error:
                raise UserError(f"{path}, line {number}: {error}") from error
            yield int(row[0]), (*numbers, *row[1 + NUMBERS :])


def _bucket(value: str) -> str:
    """The category of a count.

    >>> _bucket("100"), _bucket("1.0"), _bucket("")
    ('21', '-1', '')
    """
    if not value:
        return ""
    number = float(value)
    return str(int(math.log(number) ** 2) if number > 2 else int(number) - 2)


def _parts(rows: int, seed: int = 42) -> dict[str, Tensor]:
    order = torch.from_numpy(np.random.default_rng(seed).permutation(rows))
    train, validation = round(SPLIT[0] * rows), round(SPLIT[1] * rows)
    return {
        "train": order[:train],
        "validation": order[train : train + validation],
        "test": order[train + validation :],
    }


def generate(rows: int = 40_000, fields: int = 10, values: int = 16, seed: int = 0) -> Clicks:
    """Clicks whose log odds are known: a weight for each value, the product of two vectors for each of six pairs of
    fields, and a sign that three fields give together. Values are drawn with Zipf's frequencies."""
    draw = np.random.default_rng(seed)
    frequency = 1 / np.arange(1, values + 1)
    picked = draw.choice(values, size=(rows, fields), p=frequency / frequency.sum())
    logits = np.full(rows, -1.0)
    for field in range(fields):
        logits += draw.normal(scale=0.25, size=values)[picked[:, field]]
    for a, b in ((0, 1), (2, 3), (4, 5), (0, 5), (1, 4), (6, 7)):
        left, right = draw.normal(size=(2, values, 3))
        logits += 0.4 * (left[picked[:, a]] * right[picked[:, b]]).sum(1)
    sign = np.prod([draw.choice([-1.0, 1.0], size=values)[picked[:, field]] for field in (7, 8, 9)], axis=0)
    logits += 0.8 * sign
    chances = 1 / (1 + np.exp(-logits))
    clicks = torch.tensor((draw.random(rows) < chances).astype(np.float32))
    ids = torch.from_numpy(picked + values * np.arange(fields))
    parts = _parts(rows)
    test = parts["test"]
    return Clicks(ids, clicks, values * fields, parts, auc(torch.tensor(chances)[test], clicks[test]))


def auc(scores: Tensor, labels: Tensor) -> float:
    """Area under the ROC curve: the chance that a positive scores higher than a negative, ties as half (Mann & Whitney
    1947).

    >>> auc(torch.tensor([0.1, 0.4, 0.35, 0.8]), torch.tensor([0, 0, 1, 1]))
    0.75
    """
    from scipy.stats import rankdata

    positive = labels.numpy() > 0.5
    ones, zeros = int(positive.sum()), int((~positive).sum())
    if not ones or not zeros:
        raise UserError("an AUC needs both clicks and impressions without one")
    ranks = rankdata(scores.numpy())
    return float((ranks[positive].sum() - ones * (ones + 1) / 2) / (ones * zeros))
