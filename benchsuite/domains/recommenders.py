"""Click-through models in plain torch: DeepFM, Deep & Cross, AutoInt, and the adaptive factorization network.

An impression is `fields` categories, (B, F) int64 in one common numbering; a model returns the logit of a click, (B,
1). Feedback points are the outputs of interaction layers and of the blocks of the perceptron. What leads straight to
the logit (first-order weights, the factorization machine) learns by the true error under every rule.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional


class Perceptron(nn.Module):
    """`layers` blocks of linear map, batch norm, ReLU and dropout; each block's output is a feedback point."""

    def __init__(self, inputs: int, sizes: Mapping[str, int], dropout: float) -> None:
        super().__init__()
        widths = [inputs, *[sizes["width"]] * sizes["layers"]]
        self.blocks = nn.Sequential(
            *(
                nn.Sequential(nn.Linear(into, out), nn.BatchNorm1d(out), nn.ReLU(), nn.Dropout(dropout))
                for into, out in itertools.pairwise(widths)
            )
        )
        self.points = tuple(f"deep.blocks.{number}" for number in range(sizes["layers"]))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.blocks(x)
        return out


class FirstOrder(nn.Module):
    """A weight for each category and a bias."""

    def __init__(self, categories: int) -> None:
        super().__init__()
        self.weights, self.bias = nn.Embedding(categories, 1), nn.Parameter(torch.zeros(1))
        nn.init.zeros_(self.weights.weight)

    def forward(self, ids: Tensor) -> Tensor:
        return self.weights(ids).sum(1) + self.bias


def embedding(categories: int, size: int) -> nn.Embedding:
    table = nn.Embedding(categories, size)
    nn.init.normal_(table.weight, std=0.05)
    return table


class DeepFM(nn.Module):
    """First order, a factorization machine and a perceptron on the same embeddings (arXiv:1703.04247)."""

    def __init__(self, fields: int, categories: int, sizes: Mapping[str, int], dropout: float) -> None:
        super().__init__()
        self.first = FirstOrder(categories)
        self.embedding = embedding(categories, sizes["embedding"])
        self.deep = Perceptron(fields * sizes["embedding"], sizes, dropout)
        self.output = nn.Linear(sizes["width"], 1)
        self.points = self.deep.points

    def forward(self, ids: Tensor) -> Tensor:
        x = self.embedding(ids)
        pairs = 0.5 * (x.sum(1) ** 2 - (x**2).sum(1)).sum(1, keepdim=True)
        out: Tensor = self.first(ids) + pairs + self.output(self.deep(x.flatten(1)))
        return out


class Cross(nn.Module):
    """x_0 (w · x) + b + x."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Linear(size, 1, bias=False), nn.Parameter(torch.zeros(size))

    def forward(self, first: Tensor, x: Tensor) -> Tensor:
        return first * self.weight(x) + self.bias + x


class DeepCross(nn.Module):
    """Cross layers beside a perceptron (arXiv:1708.05123)."""

    def __init__(self, fields: int, categories: int, sizes: Mapping[str, int], dropout: float) -> None:
        super().__init__()
        inputs = fields * sizes["embedding"]
        self.embedding = embedding(categories, sizes["embedding"])
        self.crosses = nn.ModuleList(Cross(inputs) for _ in range(sizes["crosses"]))
        self.deep = Perceptron(inputs, sizes, dropout)
        self.output = nn.Linear(inputs + sizes["width"], 1)
        self.points = (*(f"crosses.{number}" for number in range(sizes["crosses"])), *self.deep.points)

    def forward(self, ids: Tensor) -> Tensor:
        first = x = self.embedding(ids).flatten(1)
        for cross in self.crosses:
            x = cross(first, x)
        out: Tensor = self.output(torch.cat([x, self.deep(first)], 1))
        return out


class FieldAttention(nn.Module):
    """Each field attends to all fields: softmax(Q K^T / sqrt(d)) V, a linear residual, ReLU; (B, F, C) flattened to
    (B, F * attention)."""

    def __init__(self, inputs: int, sizes: Mapping[str, int]) -> None:
        super().__init__()
        self.size, self.heads = sizes["attention"], sizes["heads"]
        self.maps = nn.Linear(inputs, 4 * self.size)

    def forward(self, x: Tensor) -> Tensor:
        batch, fields, _ = x.shape
        query, key, value, residual = self.maps(x).chunk(4, -1)
        q, k, v = (
            part.view(batch, fields, self.heads, self.size // self.heads).transpose(1, 2)
            for part in (query, key, value)
        )
        share = (q @ k.transpose(-2, -1) / math.sqrt(self.size // self.heads)).softmax(-1)
        return functional.relu((share @ v).transpose(1, 2).flatten(2) + residual).flatten(1)


class AutoInt(nn.Module):
    """First order, attention over the fields, and a perceptron (arXiv:1810.11921)."""

    def __init__(self, fields: int, categories: int, sizes: Mapping[str, int], dropout: float) -> None:
        super().__init__()
        self.first = FirstOrder(categories)
        self.embedding = embedding(categories, sizes["embedding"])
        widths = [sizes["embedding"], *[sizes["attention"]] * sizes["attention_layers"]]
        self.attention = nn.ModuleList(FieldAttention(into, sizes) for into in widths[:-1])
        self.deep = Perceptron(fields * sizes["embedding"], sizes, dropout)
        self.output = nn.Linear(fields * sizes["attention"] + sizes["width"], 1)
        layers = (f"attention.{number}" for number in range(sizes["attention_layers"]))
        self.points = (*layers, *self.deep.points)

    def forward(self, ids: Tensor) -> Tensor:
        embedded = x = self.embedding(ids)
        for layer in self.attention:
            x = layer(x).view(*ids.shape, -1)
        joined = torch.cat([x.flatten(1), self.deep(embedded.flatten(1))], 1)
        out: Tensor = self.first(ids) + self.output(joined)
        return out


class Logarithms(nn.Module):
    """Learned products of powers of the fields: exp(W log |x|), normalised; (B, F, C) to (B, logarithms * C)."""

    def __init__(self, fields: int, count: int) -> None:
        super().__init__()
        self.powers = nn.Linear(fields, count)
        self.before, self.after = nn.BatchNorm1d(fields), nn.BatchNorm1d(count)

    def forward(self, x: Tensor) -> Tensor:
        logarithms = self.before(x.abs().clamp(min=1e-4).log())
        return self.after(self.powers(logarithms.transpose(1, 2)).exp().transpose(1, 2)).flatten(1)


class AdaptiveFactorization(nn.Module):
    """First order, and a perceptron on logarithmic neurons (arXiv:1909.03276)."""

    def __init__(self, fields: int, categories: int, sizes: Mapping[str, int], dropout: float) -> None:
        super().__init__()
        self.first = FirstOrder(categories)
        self.embedding = embedding(categories, sizes["embedding"])
        self.logarithms = Logarithms(fields, sizes["logarithms"])
        self.deep = Perceptron(sizes["logarithms"] * sizes["embedding"], sizes, dropout)
        self.output = nn.Linear(sizes["width"], 1)
        self.points = ("logarithms", *self.deep.points)

    def forward(self, ids: Tensor) -> Tensor:
        out: Tensor = self.first(ids) + self.output(self.deep(self.logarithms(self.embedding(ids))))
        return out


Recommender = DeepFM | DeepCross | AutoInt | AdaptiveFactorization
NETWORKS: dict[str, type[Recommender]] = {
    "deepfm": DeepFM,
    "dcn": DeepCross,
    "autoint": AutoInt,
    "afn": AdaptiveFactorization,
}
