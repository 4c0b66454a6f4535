"""Thirty small workloads, one thread each, whose work can be made larger by a known share.

PLANTED="gelu-1600:0.05,sort-400:0.1" makes one slower by 5% and another by 10%: all of them work on rows that do not
depend on one another, and get so many more rows. PLANTED="*:0.05" plants it everywhere.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import torch
from torch.nn import functional as F

ROWS = (400, 1600, 6400)
WIDTH = 64


def python_sums(x: torch.Tensor) -> Callable[[], object]:
    rows = [[float(i % 7), 1.0, 2.0] for i in range(len(x))]
    return lambda: [sum(row) for row in rows]


def python_words(x: torch.Tensor) -> Callable[[], object]:
    lines = [f"line {i} of a text with some words in it" for i in range(len(x))]
    return lambda: [line.split() for line in lines]


WORK: dict[str, Callable[[torch.Tensor], Callable[[], object]]] = {
    "gelu": lambda x: lambda: F.gelu(x),
    "swiglu": lambda x: lambda: F.silu(x[:, :32]) * x[:, 32:],
    "layer_norm": lambda x: lambda: F.layer_norm(x, (WIDTH,)),
    "softmax": lambda x: lambda: torch.softmax(x, -1),
    "project": lambda x: (lambda w: lambda: x @ w)(torch.randn(WIDTH, WIDTH)),
    "embed": lambda x: (lambda table, ids: lambda: F.embedding(ids, table))(
        torch.randn(5000, WIDTH), torch.arange(len(x)) * 7 % 5000
    ),
    "sort": lambda x: lambda: torch.sort(x, -1),
    "cross_entropy": lambda x: (lambda ids: lambda: F.cross_entropy(x, ids))(torch.arange(len(x)) % WIDTH),
    "python_sums": python_sums,
    "python_words": python_words,
}
NAMES = [f"{work}-{rows}" for work in WORK for rows in ROWS]


def workload(name: str) -> Callable[[], object]:
    """The workload's callable, with what PLANTED adds to it."""
    work, rows = name.rsplit("-", 1)
    planted = dict(part.rsplit(":", 1) for part in os.environ.get("PLANTED", "").split(",") if part)
    share = float(planted.get(name, planted.get("*", 0)))
    torch.manual_seed(0)
    return WORK[work](torch.randn(round(int(rows) * (1 + share)), WIDTH))
