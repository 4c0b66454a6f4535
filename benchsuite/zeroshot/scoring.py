"""Log-likelihoods of many (context, continuation) pairs with as few token computations as exactness allows.

What is scored are paths. A pair of context c1..cn and continuation t1..tm needs the model's output along the path
c1..cn t1..t(m-1): the output at cn predicts t1, and so on. Paths that begin alike share what they have in common: they
become one row, a tree laid flat, in which a token sees its ancestors and itself and stands at the position that its
depth gives. The choices of one document so cost one pass over its context, and choices of a single token cost nothing.
Where the context is given as a whole (prefix decoder, encoder-decoder), only paths of the same context share a row.

Rows are sorted by length and batched to a budget of tokens, hidden states are gathered where something is predicted,
and only those meet the vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from benchsuite.model.gpt import GPT

ROW_TOKENS = 256  # rows may grow by sharing up to this, or up to twice their first path where that is longer
HEAD_ELEMENTS = 2**23  # logits that exist at once: 32 MB in float32

Path = tuple[int, ...]


@dataclass(frozen=True)
class Pair:
    """Token ids: what is given and what is scored, neither of them empty. To a model that fills gaps the context ends
    with the gap's mark, twice: what it is given ends with the first, what it says begins with the second."""

    context: Path
    continuation: Path

    @property
    def path(self) -> Path:
        return self.context + self.continuation[:-1]


@dataclass
class Row:
    """A tree of tokens laid flat. `places[p]` are the indices in the row of path p's tokens, root first. The first
    `given` tokens are all paths' and see one another."""

    tokens: list[int] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    branches: list[tuple[int, list[int]]] = field(default_factory=list)  # (index of its first token, all its ancestors)
    places: dict[Path, list[int]] = field(default_factory=dict)
    limit: int = 0
    given: int = 0

    @property
    def chain(self) -> bool:
        """Return whether each token follows the one before it, so that the ordinary causal mask is right."""
        return all(not ancestors or ancestors[-1] == start - 1 for start, ancestors in self.branches)

    def add(self, path: Path, trunk: list[int]) -> None:
        """Add `path`, whose first tokens are already there at the indices `trunk`."""
        start, added = len(self.tokens), path[len(trunk) :]
        if added:
            self.branches.append((start, trunk))
            self.tokens.extend(added)
            self.positions.extend(range(len(trunk), len(path)))
        self.places[path] = trunk + list(range(start, start + len(added)))

    def write_mask(self, mask: np.ndarray) -> None:
        """Set mask (T, T), all False, to True where a token of the row (first index) may look."""
        for i, (start, ancestors) in enumerate(self.branches):
            end = self.branches[i + 1][0] if i + 1 < len(self.branches) else len(self.tokens)
            mask[start:end, start:end] = np.tri(end - start, dtype=bool)
            mask[start:end, ancestors] = True
        mask[: self.given, : self.given] = True


def truncate(pair: Pair, max_length: int | None) -> Pair:
    """Cut the context from the left until the path has at most `max_length` tokens, as lm-eval's HFLM does.

    Raises ValueError for a continuation of more than `max_length` tokens.
    """
    if max_length is None or len(pair.path) <= max_length:
        return pair
    if len(pair.continuation) > max_length:
        raise ValueError(
            f"a continuation of {len(pair.continuation)} tokens does not fit a model that takes at most {max_length}"
        )
    return Pair(pair.context[len(pair.path) - max_length :], pair.continuation)


def pack(paths: Sequence[Path], given: int = 0) -> list[Row]:
    """Lay distinct `paths` into rows, together where they share at least as much as they add, and what is `given`."""
    rows: list[Row] = []
    previous: Path = ()
    for path in sorted(paths):  # paths that begin alike become neighbours, whatever order they came in
        if rows:
            row, shared = rows[-1], common_prefix(previous, path)
            fits = len(path) - shared <= shared and len(row.tokens) + len(path) - shared <= row.limit
            if fits and shared >= given:
                row.add(path, row.places[previous][:shared])
                previous = path
                continue
        rows.append(Row(limit=max(ROW_TOKENS, 2 * len(path)), given=given))
        rows[-1].add(path, [])
        previous = path
    return rows


def common_prefix(a: Path, b: Path) -> int:
    """Return how many tokens `a` and `b` have in common at their beginning."""
    low, high = 0, min(len(a), len(b))
    while low < high:  # by halves, since comparing slices is quick
        middle = (low + high + 1) // 2
        if a[low:middle] == b[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def batches(rows: Sequence[Row], batch_tokens: int) -> Iterator[list[Row]]:
    """Rows in batches of like length, longest first, padded size at most `batch_tokens` (or a single row)."""
    for chain in (True, False):  # chains need no mask, which lets attention take its causal fast path
        batch: list[Row] = []
        for row in sorted((row for row in rows if row.chain is chain), key=lambda row: -len(row.tokens)):
            if batch and (len(batch) + 1) * len(batch[0].tokens) > batch_tokens:
                yield batch
                batch = []
            batch.append(row)
        if batch:
            yield batch


@torch.inference_mode()
def loglikelihoods(
    model: GPT,
    pairs: Sequence[Pair],
    *,
    batch_tokens: int,
    progress: Callable[[float], None] | None = None,
) -> list[tuple[float, bool]]:
    """The log-likelihood in nats of each continuation given its context, and whether greedy decoding would produce it.

    The answers do not depend on `batch_tokens`, nor on what else is asked. `progress` is called with the fraction done.
    Every pair's path must fit the model's `max_length`.
    """
    by_path: dict[int, dict[Path, list[Pair]]] = {}  # by how much is given as a whole
    for pair in dict.fromkeys(pairs):
        given = 0 if model.spec.architecture == "causal" else len(pair.context) - int(model.spec.fills)
        by_path.setdefault(given, {}).setdefault(pair.path, []).append(pair)
    rows = [row for given, paths in by_path.items() for row in pack(list(paths), given)]
    total, done = sum(len(row.tokens) for row in rows), 0
    answers: dict[Pair, tuple[float, bool]] = {}
    for batch in batches(rows, batch_tokens):
        asked: list[Pair] = []
        places: list[int] = []  # indices into the flattened batch, the pairs' predictions one after the other
        for r, row in enumerate(batch):
            offset = r * len(batch[0].tokens)
            for path, indices in row.places.items():
                for pair in by_path[row.given][path]:
                    asked.append(pair)
                    places.extend(offset + i for i in indices[len(pair.context) - 1 :])
        targets = np.fromiter((token for pair in asked for token in pair.continuation), np.int64, len(places))
        needed, which = np.unique(places, return_inverse=True)  # choices of one token share the place they start from
        logprobs, greedy = predict(model, hidden_states(model, batch, needed), which, targets)
        starts = np.cumsum([0] + [len(pair.continuation) for pair in asked[:-1]])
        sums = np.add.reduceat(logprobs, starts)
        all_greedy = np.logical_and.reduceat(greedy, starts)
        answers.update(zip(asked, zip(sums.tolist(), all_greedy.tolist(), strict=True), strict=True))
        done += sum(len(row.tokens) for row in batch)
        if progress is not None:
            progress(done / total)
    return [answers[pair] for pair in pairs]


def hidden_states(model: GPT, batch: Sequence[Row], places: np.ndarray) -> Tensor:
    """The model's hidden states (N, width) at `places` (N) of `batch`, flattened after padding to its first row."""
    device = model.embedding.weight.device
    T = len(batch[0].tokens)
    at = torch.from_numpy(places).to(device)
    tokens = np.zeros((len(batch), T), np.int64)
    for r, row in enumerate(batch):
        tokens[r, : len(row.tokens)] = row.tokens
    prefix = torch.tensor([row.given for row in batch], device=device) if batch[0].given else None
    if batch[0].chain:  # padding is on the right, where no token of the row looks
        return model.hidden(torch.from_numpy(tokens).to(device), at=at, prefix=prefix)
    positions = np.zeros((len(batch), T), np.int64)
    mask = np.zeros((len(batch), 1, T, T), bool)
    for r, row in enumerate(batch):
        positions[r, : len(row.tokens)] = row.positions
        row.write_mask(mask[r, 0])
    mask[:, :, np.arange(T), np.arange(T)] = True  # padding sees itself: a softmax over nothing would be NaN
    tokens_, positions_, mask_ = (torch.from_numpy(part).to(device) for part in (tokens, positions, mask))
    return model.hidden(tokens_, positions_, mask_, at, prefix)


def predict(model: GPT, hidden: Tensor, which: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Log-probabilities in nats, and whether argmax, of `targets` (N), the n-th predicted from `hidden[which[n]]`.

    The softmax is in float32, for sums in float64. A hidden state asked for several targets meets the vocabulary once.
    """
    logprobs, greedy = np.empty(len(which)), np.empty(len(which), bool)
    chunk = max(1, HEAD_ELEMENTS // model.spec.vocab)
    order = np.argsort(which, kind="stable")
    edges = np.searchsorted(which[order], np.arange(0, len(hidden) + chunk, chunk))
    for c, (low, high) in enumerate(pairwise(edges)):
        logits = model.head(hidden[c * chunk : (c + 1) * chunk]).float()
        mine = order[low:high]
        rows = torch.from_numpy(which[mine] - c * chunk).to(hidden.device)
        wanted = torch.from_numpy(targets[mine]).to(hidden.device)
        normaliser = logits.logsumexp(dim=-1)
        logprobs[mine] = (logits[rows, wanted] - normaliser[rows]).double().cpu().numpy()
        greedy[mine] = (logits.argmax(dim=-1)[rows] == wanted).cpu().numpy()
    return logprobs, greedy
