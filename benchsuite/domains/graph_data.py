"""Citation graphs in Planetoid's files, and stochastic block graphs with features that stand in for them."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor

from benchsuite.domains import unpickling
from benchsuite.errors import UserError

VALIDATION = 500
Array = NDArray[Any]


@dataclass(frozen=True)
class Graph:
    """Features (N, F) with rows that sum to 1, labels (N,), edges (2, E) in both directions without loops, and the
    indices of training, validation and test nodes."""

    features: Tensor
    labels: Tensor
    edges: Tensor
    train: Tensor
    validation: Tensor
    test: Tensor

    @property
    def classes(self) -> int:
        return int(self.labels.max()) + 1


def load(folder: Path, name: str) -> Graph:
    """The graph `name` in `folder`: `name`.npz, or Planetoid's eight files, with the public split (20 training nodes of
    each class, 500 for validation, the test nodes of the file). Raises UserError where a file is missing or broken."""
    if (folder / f"{name}.npz").exists():
        return _from_npz(folder / f"{name}.npz")
    return _from_planetoid(folder, name)


def _from_planetoid(folder: Path, name: str) -> Graph:
    parts = {
        part: unpickling.read(folder / f"ind.{name}.{part}") for part in ("allx", "tx", "ally", "ty", "y", "graph")
    }
    index = folder / f"ind.{name}.test.index"
    try:
        test = np.array([int(line) for line in index.read_text().split()])
        ordered = np.sort(test)
        known = parts["allx"].shape[0]
        if ordered[0] != known or ordered[-1] >= known + 2 * len(test):
            raise ValueError(f"test nodes are {ordered[0]} to {ordered[-1]}, and {known} nodes come before them")
        places = ordered - ordered[0]
        # CiteSeer has test nodes without features or class in its list: rows of zeros stand for them.
        span = ordered[-1] - ordered[0] + 1
        tx = sparse.lil_matrix((span, parts["tx"].shape[1]))
        ty = np.zeros((span, parts["ty"].shape[1]))
        tx[places], ty[places] = parts["tx"], parts["ty"]
        features = sparse.vstack([parts["allx"], tx]).tolil()
        labels = np.vstack([parts["ally"], ty])
        features[test], labels[test] = features[ordered], labels[ordered]
        pairs = np.array([(a, b) for a, others in parts["graph"].items() for b in others])
        train = len(parts["y"])
    except (OSError, ValueError, KeyError, IndexError, AttributeError, TypeError) as error:
        raise UserError(f"{index.parent}: the Planetoid files of {name} do not fit each other: {error}") from error
    return _graph(
        features.toarray(), labels.argmax(1), pairs, np.arange(train), np.arange(train, train + VALIDATION), ordered
    )


def _from_npz(path: Path) -> Graph:
    """The same in an archive of numpy arrays: feat_data, feat_indices, feat_indptr, shape, labels, edges, train_idx,
    val_idx, test_idx."""
    try:
        with np.load(path, allow_pickle=False) as file:
            rows = (file["feat_data"], file["feat_indices"], file["feat_indptr"])
            matrix = sparse.csr_matrix(rows, shape=tuple(file["shape"]))
            matrix.check_format(full_check=True)
            split = (file[f"{part}_idx"] for part in ("train", "val", "test"))
            return _graph(matrix.toarray(), file["labels"], file["edges"], *split)
    except (OSError, ValueError, KeyError, IndexError, TypeError, zipfile.BadZipFile) as error:
        raise UserError(f"{path} is not a graph in numpy arrays: {error}") from error


def _graph(features: Array, labels: Array, pairs: Array, train: Array, validation: Array, test: Array) -> Graph:
    """Rows divided by their sums; each pair an edge in both directions, once. Raises ValueError for what is outside."""
    nodes = len(features)
    if pairs.ndim != 2 or pairs.shape[1] != 2 or len(labels) != nodes:
        raise ValueError(f"{nodes} nodes have {len(labels)} labels and edges of the shape {pairs.shape}")
    for what, indices in (("edges", pairs), ("the split", np.concatenate([train, validation, test]))):
        if indices.size and (indices.min() < 0 or indices.max() >= nodes):
            raise ValueError(f"{what} name nodes outside of the {nodes}")
    both = np.concatenate([pairs, pairs[:, ::-1]])
    both = np.unique(both[both[:, 0] != both[:, 1]], axis=0)
    features = features / np.maximum(features.sum(1, keepdims=True), 1e-12)
    return Graph(
        torch.tensor(features, dtype=torch.float32),
        torch.tensor(np.asarray(labels), dtype=torch.int64),
        torch.tensor(both.T.copy(), dtype=torch.int64),
        *(torch.tensor(np.asarray(part), dtype=torch.int64) for part in (train, validation, test)),
    )


@dataclass(frozen=True)
class Blocks:
    """A stochastic block graph. Of a node's `degree` edges, a share `homophily` goes, on average, to its own class; it
    has `words` of `vocabulary` words, each with the chance `telling` from its class's own part of the vocabulary."""

    classes: int
    nodes: int = 900
    degree: float = 4.0
    homophily: float = 0.8
    vocabulary: int = 300
    words: int = 12
    telling: float = 0.18
    a_class: int = 20  # training nodes of each class, as in Planetoid


LIKE = {
    "blocks-cora": Blocks(classes=7),
    "blocks-citeseer": Blocks(classes=6, degree=2.8, homophily=0.74, telling=0.22),
    "blocks-pubmed": Blocks(classes=3, degree=4.5, homophily=0.75, telling=0.12),
    "block-links": Blocks(classes=7, degree=6.0, homophily=0.9, telling=0.3),
}


def generate(blocks: Blocks, seed: int = 0) -> Graph:
    """A graph of the model. Edges are drawn with replacement, so that a few fall together."""
    draw = np.random.default_rng(seed)
    labels = np.arange(blocks.nodes) % blocks.classes
    draw.shuffle(labels)
    members = [np.flatnonzero(labels == one) for one in range(blocks.classes)]
    sources = draw.integers(blocks.nodes, size=round(blocks.nodes * blocks.degree / 2))
    inside = draw.random(len(sources)) < blocks.homophily
    targets = np.where(
        inside,
        [draw.choice(members[labels[source]]) for source in sources],
        draw.integers(blocks.nodes, size=len(sources)),
    )
    part = blocks.vocabulary // blocks.classes
    own = draw.random((blocks.nodes, blocks.words)) < blocks.telling
    words = np.where(
        own,
        labels[:, None] * part + draw.integers(part, size=own.shape),
        draw.integers(blocks.vocabulary, size=own.shape),
    )
    features = np.zeros((blocks.nodes, blocks.vocabulary))
    np.put_along_axis(features, words, 1.0, 1)
    train = np.concatenate([one[: blocks.a_class] for one in members])
    rest = np.setdiff1d(np.arange(blocks.nodes), train)
    draw.shuffle(rest)
    held = min(VALIDATION, len(rest) // 3)
    return _graph(features, labels, np.stack([sources, targets], 1), train, rest[:held], rest[held:])


@dataclass(frozen=True)
class Links:
    """A graph without a part of its edges, and the pairs to tell apart: held-out edges and as many pairs without one,
    each (2, pairs)."""

    graph: Graph  # with the training edges alone
    validation: tuple[Tensor, Tensor]
    test: tuple[Tensor, Tensor]


def hold_out(graph: Graph, seed: int = 0) -> Links:
    """5% of the edges for validation and 10% for the test, as in graph auto-encoders (Kipf & Welling,
    arXiv:1611.07308)."""
    draw = np.random.default_rng(seed)
    nodes, edges = len(graph.labels), graph.edges.numpy()
    pairs = edges[:, edges[0] < edges[1]]
    pairs = pairs[:, draw.permutation(pairs.shape[1])]
    validation, test = (round(share * pairs.shape[1]) for share in (0.05, 0.10))
    known = {int(a) * nodes + int(b) for a, b in pairs.T}
    absent: set[int] = set()
    while len(absent) < validation + test:
        a, b = sorted(draw.integers(nodes, size=2).tolist())
        if a != b and a * nodes + b not in known:
            absent.add(a * nodes + b)
    none = np.array(list(absent))
    none = np.stack([none // nodes, none % nodes])
    left = pairs[:, validation + test :]

    def tensors(first: int, last: int) -> tuple[Tensor, Tensor]:
        return torch.tensor(pairs[:, first:last]), torch.tensor(none[:, first:last])

    training = Graph(
        graph.features, graph.labels, torch.tensor(np.concatenate([left, left[::-1]], 1)), graph.train,
        graph.validation, graph.test,
    )  # fmt: skip
    return Links(training, tensors(0, validation), tensors(validation, validation + test))
