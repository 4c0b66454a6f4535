"""Measure how well a model predicts tokens beyond its training length.

    found = by_position(model, tokenizer, heldout_documents, longest=1024)

Held-out text is packed as training text is and cut into windows of `longest` tokens; since the model is causal, one
pass over a window gives the loss at every place in it, with all that came before as context. The mean over the first L
places is what the ALiBi paper (arXiv:2108.12409, figure 1) plots at length L; here each range of places is kept
apart.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from tokenizers import Tokenizer
from torch.nn import functional

from benchsuite.errors import UserError
from benchsuite.model.gpt import GPT
from benchsuite.pretrain import tokenizer as bpe


@dataclass(frozen=True)
class ByPosition:
    """`bits[w][r]`: what the model needs for the tokens of window w at the places `edges[r]` to `edges[r + 1]` - 1;
    `bytes[w][r]`: the length of their text. Ranges that the model cannot reach are left out of `bits`."""

    edges: list[int]
    bits: list[list[float]]
    bytes: list[list[int]]


def ranges(seq: int, longest: int) -> list[int]:
    """The edges of ranges of places: both halves of the training length, then ever twice as many up to `longest`.

    >>> ranges(128, 1024)
    [0, 64, 128, 256, 512, 1024]
    """
    edges = [0, seq // 2, seq]
    while edges[-1] < longest:
        edges.append(min(2 * edges[-1], longest))
    return edges


@torch.inference_mode()
def by_position(model: GPT, tokenizer: Tokenizer, documents: Sequence[str], longest: int) -> ByPosition:
    """The bits that `model` needs by place. Raises UserError where `documents` do not fill one window."""
    packed = bpe.encode(tokenizer, documents)
    windows = len(packed) // (longest + 1)
    if not windows:
        raise UserError(
            f"{len(packed)} tokens are held out, less than one window of {longest}", hint="raise quality.heldout_bytes"
        )
    edges = ranges(model.spec.seq, longest)
    reach = min(longest, model.max_length or longest)
    sizes = _byte_lengths(tokenizer)
    device = model.embedding.weight.device
    bits, lengths = [], []
    for window in packed[: windows * (longest + 1)].reshape(windows, longest + 1).astype(np.int64):
        tokens = torch.from_numpy(window).to(device)[None]
        logits = model(tokens[:, :reach])[0]
        nats = functional.cross_entropy(logits, tokens[0, 1 : reach + 1], reduction="none").double().cpu().numpy()
        spans = list(itertools.pairwise(edges))
        bits.append([round(float(nats[a:b].sum()) / math.log(2), 3) for a, b in spans if b <= reach])
        lengths.append([int(sizes[window[a + 1 : b + 1]].sum()) for a, b in spans])
    return ByPosition(edges, bits, lengths)


def _byte_lengths(tokenizer: Tokenizer) -> np.ndarray:
    """The bytes of text behind each token id: a byte-level token is written with one character for each."""
    vocabulary = tokenizer.get_vocab()
    special = {token.content for token in tokenizer.get_added_tokens_decoder().values()}
    sizes = np.zeros(max(vocabulary.values()) + 1, dtype=np.int64)
    for text, token in vocabulary.items():
        sizes[token] = 0 if text in special else len(text)
    return sizes
