"""A neural radiance field and volume rendering (Mildenhall et al., arXiv:2003.08934), with one network and samples
spread evenly along the ray; the original samples a second time where the first network found matter."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

DIRECTION_FREQUENCIES = 2
SKIP = 4  # after so many layers the position is read again


def encoded(x: Tensor, frequencies: int) -> Tensor:
    """x, and sin and cos of 2^k x for each k below `frequencies`; (…, 3) to (…, 3 + 6 * frequencies)."""
    scaled = (x[..., None] * 2.0 ** torch.arange(frequencies, device=x.device)).flatten(-2)
    return torch.cat([x, scaled.sin(), scaled.cos()], -1)


class Block(nn.Module):
    """Linear map and ReLU."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.linear(x))


class RadianceField(nn.Module):
    """Points and directions (P, 3) to raw colours and density (P, 4). Every hidden layer is a feedback point."""

    def __init__(self, sizes: Mapping[str, int]) -> None:
        super().__init__()
        width, self.frequencies = sizes["width"], sizes["frequencies"]
        place, direction = 3 + 6 * self.frequencies, 3 + 6 * DIRECTION_FREQUENCIES
        widths = [place, *[width] * sizes["layers"]]
        self.blocks = nn.ModuleList(
            Block(into + (place if number == SKIP else 0), out)
            for number, (into, out) in enumerate(itertools.pairwise(widths))
        )
        self.density, self.features = nn.Linear(width, 1), nn.Linear(width, width)
        self.view = Block(width + direction, width // 2)
        self.colour = nn.Linear(width // 2, 3)
        self.points = (*(f"blocks.{number}" for number in range(sizes["layers"])), "view")

    def forward(self, points: Tensor, directions: Tensor) -> Tensor:
        place = x = encoded(points, self.frequencies)
        for number, block in enumerate(self.blocks):
            x = block(torch.cat([x, place], -1) if number == SKIP else x)
        seen = self.view(torch.cat([self.features(x), encoded(directions, DIRECTION_FREQUENCIES)], -1))
        return torch.cat([self.colour(seen), self.density(x)], -1)


def samples(count: int, near: float, far: float, rays: int, *, jitter: bool) -> Tensor:
    """Distances (rays, count) in equal strata, drawn within each with `jitter`, else in their middle."""
    places = torch.rand(rays, count) if jitter else torch.full((rays, count), 0.5)
    return near + (far - near) * (torch.arange(count) + places) / count


def points_on(origins: Tensor, directions: Tensor, distances: Tensor) -> tuple[Tensor, Tensor]:
    """Points and directions (rays * count, 3) of samples (rays, count)."""
    points = origins[:, None] + distances[..., None] * directions[:, None]
    return points.flatten(0, 1), directions[:, None].expand_as(points).flatten(0, 1)


def render(raw: Tensor, distances: Tensor, *, white: bool) -> Tensor:
    """Colours (rays, 3) of the raw outputs (rays * count, 4) at `distances`: sum_i T_i (1 - exp(-sigma_i delta_i)) c_i,
    T_i = exp(-sum_{j<i} sigma_j delta_j), over white where the scene is."""
    raw = raw.view(*distances.shape, 4)
    gaps = torch.cat(
        [distances[:, 1:] - distances[:, :-1], torch.full_like(distances[:, :1], 1e10 if not white else 0.1)], 1
    )
    thickness = functional.softplus(raw[..., 3] - 1) * gaps
    through = torch.exp(-torch.cat([torch.zeros_like(thickness[:, :1]), thickness[:, :-1].cumsum(1)], 1))
    weights = through * (1 - torch.exp(-thickness))
    colours = (weights[..., None] * raw[..., :3].sigmoid()).sum(1)
    return colours + (1 - weights.sum(1, keepdim=True)) if white else colours
