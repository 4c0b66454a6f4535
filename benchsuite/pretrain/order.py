"""The order of the data: which sequences a step sees."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchsuite.errors import UserError


def data_order(
    tokens: NDArray[np.unsignedinteger], seq: int, sizes: Iterable[int], seed: int, share: slice = slice(None)
) -> Iterator[Tensor]:
    """Batches (size, seq + 1) int64 for each of `sizes`: the packed text cut into sequences, each epoch shuffled again
    by `seed`; of each batch only the rows of `share`, as one process of several takes them.

    A sequence ends with the token that the next one begins with, so that every token is predicted once an epoch; each
    epoch starts its cuts at another offset. Raises UserError where the text is shorter than one sequence.
    """
    if len(tokens) < seq + 1:
        raise UserError(
            f"the corpus has {len(tokens)} tokens, less than one sequence of {seq} + 1",
            hint="give a larger corpus or a smaller model.seq",
        )
    rng = np.random.default_rng(seed)
    rows: NDArray[np.int64] = np.empty(0, dtype=np.int64)
    for size in sizes:
        while len(rows) < size:
            offset = int(rng.integers(0, min(seq, len(tokens) - seq)))
            starts = np.arange(offset, len(tokens) - seq, seq)
            rng.shuffle(starts)
            rows = np.concatenate((rows, starts))
        windows = rows[:size][share, None] + np.arange(seq + 1)
        rows = rows[size:]
        yield torch.from_numpy(tokens[windows].astype(np.int64))
