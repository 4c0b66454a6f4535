"""Tasks as the training loop sees them: a model for an architecture, the loss of a batch, a score on a part of the
data.

Every score is the larger the better. The data and its parts are the same for every seed; the seed draws weights,
batches and dropout.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from benchsuite.domains import TASKS, click_data, graph_data, graph_nets, nerf, recommenders, scenes
from benchsuite.domains.recipes import Recipe
from benchsuite.errors import UserError

EVALUATED = 8192  # impressions, or rays, at once


class Learnable(Protocol):
    """`batches` yields without end. `loss` calls the model once; what the model returns, one row
    an example, is where a rule reads the error. `scores` has the task's metric first; `about` tells what a guess
    scores, and what the best model could where that is known."""

    def model(self, architecture: str, recipe: Recipe) -> nn.Module: ...

    def batches(self, recipe: Recipe) -> Iterator[Any]: ...

    def loss(self, model: nn.Module, batch: Any) -> Tensor: ...

    def scores(self, model: nn.Module, part: str) -> dict[str, float]: ...

    def about(self) -> dict[str, float]: ...


def load(name: str, data: str | None, *, most: int | None = None) -> Learnable:
    """The task `name`, its data read from the folder `data`, or generated where the task is a stand-in. `most` limits
    impressions, or the width of views in pixels. Raises UserError where the data is missing or broken."""
    task = TASKS[name]
    if task.generated:
        if data is not None:
            raise UserError(f"{name} is generated and reads no data", hint=f"of a folder: {', '.join(task.stands_for)}")
        match task.domain:
            case "views":
                return ViewSynthesis(scenes.generate(front=name == "scene-front"))
            case "clicks":
                return ClickThrough(click_data.generate())
            case "nodes":
                return NodeClassification(graph_data.generate(graph_data.LIKE[name]))
            case "links":
                return LinkPrediction(graph_data.hold_out(graph_data.generate(graph_data.LIKE[name])))
    if data is None:
        raise UserError(f"{name} needs its data", hint=f"data: a folder with {task.files}")
    folder = Path(data)
    if not folder.exists():
        raise UserError(f"{name}: there is no folder {data}", hint=f"it should hold {task.files}")
    match task.domain:
        case "views":
            return ViewSynthesis((scenes.load_llff if name == "llff" else scenes.load_synthetic)(folder, most))
        case "clicks":
            return ClickThrough(click_data.load(folder, most))
        case "nodes":
            return NodeClassification(graph_data.load(folder, name))
        case "links":
            return LinkPrediction(graph_data.hold_out(graph_data.load(folder, name.removesuffix("-links"))))


class NodeClassification:
    """The class of each test node from a few labelled ones: cross-entropy, accuracy."""

    def __init__(self, graph: graph_data.Graph) -> None:
        self.graph, self.features = graph, graph.features.to_sparse().coalesce()

    def model(self, architecture: str, recipe: Recipe) -> nn.Module:
        outputs = self.graph.classes
        return graph_nets.build(architecture, self.graph.features.shape[1], outputs, recipe.sizes, recipe.dropout)

    def batches(self, recipe: Recipe) -> Iterator[Tensor]:
        while True:
            yield self.graph.train

    def loss(self, model: nn.Module, batch: Tensor) -> Tensor:
        logits = model(self.features.to(_dtype(model)), self.graph.edges)
        return functional.cross_entropy(logits[batch], self.graph.labels[batch])

    def scores(self, model: nn.Module, part: str) -> dict[str, float]:
        nodes = self.graph.validation if part == "validation" else self.graph.test
        guesses = model(self.features, self.graph.edges)[nodes].argmax(1)
        return {"accuracy": float((guesses == self.graph.labels[nodes]).float().mean())}

    def about(self) -> dict[str, float]:
        counts = torch.bincount(self.graph.labels[self.graph.test])
        return {"chance": float(counts.max() / counts.sum())}


class LinkPrediction:
    """A graph auto-encoder: codes z whose products tell edges from other pairs (arXiv:1611.07308)."""

    def __init__(self, links: graph_data.Links) -> None:
        self.links, self.features = links, links.graph.features.to_sparse().coalesce()

    def model(self, architecture: str, recipe: Recipe) -> nn.Module:
        inputs = self.links.graph.features.shape[1]
        return graph_nets.build(architecture, inputs, recipe.sizes["latent"], recipe.sizes, recipe.dropout)

    def batches(self, recipe: Recipe) -> Iterator[Tensor]:
        """As many random pairs as there are edges, of which hardly any is one."""
        nodes, edges = len(self.links.graph.labels), self.links.graph.edges
        while True:
            yield torch.randint(nodes, edges.shape)

    def loss(self, model: nn.Module, batch: Tensor) -> Tensor:
        graph = self.links.graph
        codes = model(self.features.to(_dtype(model)), graph.edges)
        logits = torch.cat([_products(codes, graph.edges), _products(codes, batch)])
        labels = torch.cat([torch.ones(graph.edges.shape[1]), torch.zeros(batch.shape[1])]).to(logits.dtype)
        return functional.binary_cross_entropy_with_logits(logits, labels)

    def scores(self, model: nn.Module, part: str) -> dict[str, float]:
        codes = model(self.features, self.links.graph.edges)
        present, absent = self.links.validation if part == "validation" else self.links.test
        logits = torch.cat([_products(codes, present), _products(codes, absent)])
        labels = torch.cat([torch.ones(present.shape[1]), torch.zeros(absent.shape[1])])
        return {"AUC": click_data.auc(logits, labels), "AP": average_precision(logits, labels)}

    def about(self) -> dict[str, float]:
        return {"chance": 0.5}


class ClickThrough:
    """Predict whether an impression is clicked: binary cross-entropy, AUC, log loss."""

    def __init__(self, clicks: click_data.Clicks) -> None:
        self.data = clicks

    def model(self, architecture: str, recipe: Recipe) -> nn.Module:
        kind = recommenders.NETWORKS[architecture]
        return kind(self.data.ids.shape[1], self.data.categories, recipe.sizes, recipe.dropout)

    def batches(self, recipe: Recipe) -> Iterator[Tensor]:
        rows = self.data.parts["train"]
        size = min(recipe.batch, len(rows))
        while True:
            order = rows[torch.randperm(len(rows))]
            yield from order[: len(rows) // size * size].split(size)

    def loss(self, model: nn.Module, batch: Tensor) -> Tensor:
        logits = model(self.data.ids[batch])
        clicks = self.data.clicks[batch].to(logits.dtype)
        return functional.binary_cross_entropy_with_logits(logits[:, 0], clicks)

    def scores(self, model: nn.Module, part: str) -> dict[str, float]:
        rows = self.data.parts[part]
        logits = torch.cat([model(self.data.ids[some])[:, 0] for some in rows.split(EVALUATED)])
        loss = functional.binary_cross_entropy_with_logits(logits, self.data.clicks[rows])
        return {"AUC": click_data.auc(logits, self.data.clicks[rows]), "log_loss": float(loss)}

    def about(self) -> dict[str, float]:
        return {"chance": 0.5, **({"ceiling": self.data.ceiling} if self.data.ceiling else {})}


class ViewSynthesis:
    """The colours of unseen views: mean squared error, PSNR."""

    def __init__(self, views: scenes.Views) -> None:
        self.views = views
        rays = [views.rays(view) for view in views.parts["train"]]
        self.origins, self.directions = (torch.cat(part) for part in zip(*rays, strict=True))
        self.colours = views.images[views.parts["train"]].reshape(-1, 3)
        self.count = 0

    def model(self, architecture: str, recipe: Recipe) -> nn.Module:
        self.count = recipe.sizes["samples"]
        return nerf.RadianceField(recipe.sizes)

    def batches(self, recipe: Recipe) -> Iterator[tuple[Tensor, Tensor]]:
        while True:
            rays = torch.randint(len(self.colours), (recipe.batch,))
            yield rays, nerf.samples(self.count, self.views.near, self.views.far, len(rays), jitter=True)

    def loss(self, model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        rays, distances = batch
        distances = distances.to(_dtype(model))
        origins, directions = (x[rays].to(distances.dtype) for x in (self.origins, self.directions))
        points = nerf.points_on(origins, directions, distances)
        raw = model(*points)
        colours = nerf.render(raw, distances, white=self.views.white)
        return functional.mse_loss(colours, self.colours[rays].to(colours.dtype))

    def seen(self, model: nn.Module, view: int) -> Tensor:
        """The view as the model renders it, (H, W, 3)."""
        parts = []
        for origins, directions in zip(*(x.split(EVALUATED) for x in self.views.rays(view)), strict=True):
            distances = nerf.samples(self.count, self.views.near, self.views.far, len(origins), jitter=False)
            raw = model(*nerf.points_on(origins, directions, distances))
            parts.append(nerf.render(raw, distances, white=self.views.white))
        return torch.cat(parts).view(self.views.images.shape[1:])

    def scores(self, model: nn.Module, part: str) -> dict[str, float]:
        errors = [
            float(functional.mse_loss(self.seen(model, view), self.views.images[view]))
            for view in self.views.parts[part]
        ]
        return {"PSNR": float(np.mean([-10 * np.log10(max(error, 1e-10)) for error in errors]))}

    def about(self) -> dict[str, float]:
        """The PSNR of views that all have the mean colour of the training views."""
        mean = self.colours.mean(0)
        errors = [float(((self.views.images[view] - mean) ** 2).mean()) for view in self.views.parts["test"]]
        return {"chance": float(np.mean([-10 * np.log10(error) for error in errors]))}

    def pictures(self, model: nn.Module) -> dict[str, str]:
        """The first test view and what the model renders, as PNG in base64."""
        view = self.views.parts["test"][0]
        return {"truth": png(self.views.images[view]), "rendered": png(self.seen(model, view))}


def png(image: Tensor) -> str:
    from PIL import Image

    pixels = (image.clamp(0, 1) * 255).round().to(torch.uint8).numpy()
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", optimize=True)
    return base64.b64encode(file.getvalue()).decode()


def average_precision(scores: Tensor, labels: Tensor) -> float:
    """Sum over thresholds of precision times the gain of recall.

    >>> round(average_precision(torch.tensor([0.1, 0.4, 0.35, 0.8]), torch.tensor([0.0, 0.0, 1.0, 1.0])), 4)
    0.8333
    """
    hits = labels[scores.argsort(descending=True, stable=True)]
    precision = hits.cumsum(0) / torch.arange(1, len(hits) + 1)
    return float((precision * hits).sum() / hits.sum())


def _products(codes: Tensor, pairs: Tensor) -> Tensor:
    return (graph_nets.at(codes, pairs[0]) * graph_nets.at(codes, pairs[1])).sum(1)


def _dtype(model: nn.Module) -> torch.dtype:
    return next(model.parameters()).dtype
