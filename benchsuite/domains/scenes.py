"""Views of a scene with their cameras: the files of NeRF-Synthetic and LLFF, and ray-traced scenes that stand in for
them.

A camera is a (3, 4) matrix from its own axes (x right, y up, z towards the viewer) and origin to the world's.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from torch import Tensor
from torch.nn.functional import normalize

from benchsuite.errors import UserError

Array = NDArray[Any]
HELD_OUT = 8  # every eighth view of an LLFF scene is a test view
MOST_PIXELS = 100_000_000  # of one image


@dataclass(frozen=True)
class Views:
    """Images (V, H, W, 3) from 0 to 1, cameras (V, 3, 4), the focal length in pixels, the distances along a ray between
    which the scene lies, and the numbers of the views of each part. `white` scenes have a white background."""

    images: Tensor
    cameras: Tensor
    focal: float
    near: float
    far: float
    parts: dict[str, list[int]]
    white: bool = True

    def rays(self, view: int) -> tuple[Tensor, Tensor]:
        """Origins and unit directions of the rays through all pixels of a view: (H * W, 3) each, row by row."""
        return rays(self.cameras[view], self.focal, *self.images.shape[1:3])


def rays(camera: Tensor, focal: float, height: int, width: int) -> tuple[Tensor, Tensor]:
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    own = torch.stack([(x - width / 2) / focal, (height / 2 - y) / focal, -torch.ones_like(x)], -1)
    directions = normalize(own @ camera[:, :3].T, dim=-1).reshape(-1, 3)
    return camera[:, 3].expand_as(directions), directions


def load_synthetic(folder: Path, width: int | None = None) -> Views:
    """A scene of NeRF-Synthetic: transforms_{train,val,test}.json and PNG images, laid on white, at `width` pixels
    where it is given. Raises UserError where a file is missing or broken."""
    images: list[NDArray[np.float32]] = []
    cameras: list[NDArray[np.float32]] = []
    parts: dict[str, list[int]] = {}
    angle = None
    for part, name in (("train", "train"), ("validation", "val"), ("test", "test")):
        path = folder / f"transforms_{name}.json"
        told = _json(path)
        try:
            angle = float(told["camera_angle_x"])
            frames = [(str(f["file_path"]), np.array(f["transform_matrix"], dtype=np.float32)) for f in told["frames"]]
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(
                f"{path}: camera_angle_x and frames with file_path and transform_matrix are needed"
            ) from error
        parts[part] = list(range(len(cameras), len(cameras) + len(frames)))
        for file, matrix in frames:
            if matrix.shape != (4, 4) or not np.isfinite(matrix).all():
                raise UserError(f"{path}: the transform_matrix of {file} is not 4 x 4 numbers")
            image = (folder / file).with_suffix(".png")
            if not image.resolve().is_relative_to(folder.resolve()):
                raise UserError(f"{path}: {file} lies outside of {folder}")
            images.append(_image(image, width))
            cameras.append(matrix[:3])
    if not all(parts.values()) or angle is None or not 0 < angle < math.pi:
        raise UserError(f"{folder}: a part has no views, or its camera_angle_x is no angle")
    stacked = _stacked(images, folder)
    focal = 0.5 * stacked.shape[2] / math.tan(0.5 * angle)
    return Views(stacked, torch.from_numpy(np.stack(cameras)), focal, 2.0, 6.0, parts)


def load_llff(folder: Path, width: int | None = None) -> Views:
    """A scene of LLFF: poses_bounds.npy, and images in images_8, images_4 or images, in the order of their names.
    Depths are scaled so that the nearest is at 4/3 and cameras are centred, as NeRF's code does; rays stay in Euclidean
    space. Raises UserError where a file is missing or broken."""
    path = folder / "poses_bounds.npy"
    try:
        told = np.load(path, allow_pickle=False).astype(np.float64)
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"{path} is not an array of numbers that can be read: {error}") from error
    if told.ndim != 2 or told.shape[1] != 17 or not np.isfinite(told).all():
        raise UserError(
            f"{path}: poses and bounds are 17 finite numbers a view, not an array of the shape {told.shape}"
        )
    inside = next((folder / name for name in ("images_8", "images_4", "images") if (folder / name).is_dir()), None)
    files = sorted(p for p in inside.iterdir() if p.suffix.lower() in (".png", ".jpg", ".jpeg")) if inside else []
    if len(files) != len(told) or len(files) < 3:
        raise UserError(f"{folder} has {len(files)} images in images_8, images_4 or images, and {len(told)} poses")
    images = _stacked([_image(file, width) for file in files], folder)
    matrices = told[:, :15].reshape(-1, 3, 5)
    bounds = told[:, 15:]
    if bounds.min() <= 0:
        raise UserError(f"{path}: the nearest depth is {bounds.min():g}, and must be above 0")
    scale = 1 / (0.75 * bounds.min())
    cameras = np.concatenate([matrices[:, :, 1:2], -matrices[:, :, :1], matrices[:, :, 2:4]], 2)
    cameras[:, :, 3] *= scale
    focal = float(matrices[0, 2, 4] * images.shape[2] / matrices[0, 1, 4])
    test = list(range(0, len(files), HELD_OUT))
    validation = [number + 1 for number in test if number + 1 < len(files)]
    train = [number for number in range(len(files)) if number not in {*test, *validation}]
    parts = {"train": train, "validation": validation, "test": test}
    near, far = 0.9 * bounds.min() * scale, bounds.max() * scale
    return Views(images, torch.tensor(_centred(cameras), dtype=torch.float32), focal, near, far, parts, white=False)


def _centred(cameras: Array) -> Array:
    """Cameras with their mean pose as the world's axes and origin."""

    def unit(x: Array) -> Array:
        return np.asarray(x / np.linalg.norm(x))

    z, up = unit(cameras[:, :, 2].sum(0)), cameras[:, :, 1].sum(0)
    x = unit(np.cross(up, z))
    axes = np.stack([x, np.cross(z, x), z], 1)
    shifted = cameras.copy()
    shifted[:, :, 3] -= cameras[:, :, 3].mean(0)
    return np.asarray(axes.T @ shifted)


def _json(path: Path) -> dict[str, Any]:
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is not JSON: {error}") from error
    if not isinstance(told, dict):
        raise UserError(f"{path} is not a JSON object")
    return told


def _image(path: Path, width: int | None) -> Array:
    """(H, W, 3) from 0 to 1, transparent parts white."""
    try:
        with Image.open(path) as file:
            if file.width * file.height > MOST_PIXELS:
                raise UserError(f"{path} has {file.width} x {file.height} pixels, too many")
            size = (width, round(file.height * width / file.width)) if width else file.size
            pixels = np.asarray(file.convert("RGBA").resize(size, Image.Resampling.BOX), dtype=np.float32) / 255
    except (OSError, UnidentifiedImageError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise UserError(f"{path} is not an image that can be read: {error}") from error
    return pixels[..., :3] * pixels[..., 3:] + (1 - pixels[..., 3:])


def _stacked(images: list[Array], folder: Path) -> Tensor:
    if len({image.shape for image in images}) != 1:
        raise UserError(f"{folder}: its images differ in size")
    return torch.from_numpy(np.stack(images))


def generate(*, front: bool = False, size: int = 40, views: tuple[int, int, int] = (24, 2, 4), seed: int = 0) -> Views:
    """A scene of a checkered floor and five shaded balls, seen from a half sphere, or, with `front`, from a window of a
    plane before a wall."""
    draw = np.random.default_rng(seed)
    cameras = []
    for _ in range(sum(views)):
        if front:
            place = np.array([draw.uniform(-0.7, 0.7), draw.uniform(0.2, 1.2), 3.4])
        else:
            around, above = draw.uniform(0, 2 * math.pi), draw.uniform(0.25, 1.1)
            place = 3.6 * np.array(
                [math.cos(above) * math.sin(around), math.sin(above), math.cos(above) * math.cos(around)]
            )
        cameras.append(_looking(place, np.array([0.0, 0.25, 0.0])))
    stacked = torch.tensor(np.stack(cameras), dtype=torch.float32)
    focal = 1.35 * size
    images = torch.stack([_traced(*rays(c, focal, size, size), front).view(size, size, 3) for c in stacked])
    ends = np.cumsum((0, *views))
    parts = {name: list(range(*ends[i : i + 2])) for i, name in enumerate(("train", "validation", "test"))}
    return Views(images, stacked, focal, 1.5, 6.5 if front else 5.5, parts)


BALLS = torch.tensor(
    [  # centre, radius, colour
        [0.0, 0.45, 0.0, 0.45, 0.85, 0.25, 0.2],
        [0.8, 0.28, 0.3, 0.28, 0.2, 0.45, 0.85],
        [-0.7, 0.3, 0.5, 0.3, 0.95, 0.75, 0.2],
        [-0.3, 0.2, -0.8, 0.2, 0.3, 0.7, 0.35],
        [0.5, 0.22, -0.7, 0.22, 0.6, 0.3, 0.7],
    ]
)
LIGHT = normalize(torch.tensor([0.5, 1.0, 0.6]), dim=0)


def _traced(origins: Tensor, directions: Tensor, front: bool) -> Tensor:
    """Colours of rays, (N, 3): the nearest of the balls, a square of floor, and, in front of the camera, a wall."""
    colours = torch.ones_like(directions)
    nearest = torch.full((len(origins),), torch.inf)

    def hit(distance: Tensor, where: Tensor, colour: Tensor, normal: Tensor) -> None:
        closer = where & (distance > 1e-3) & (distance < nearest)
        shade = 0.35 + 0.65 * (normal @ LIGHT).clamp(min=0)
        nearest[closer] = distance[closer]
        colours[closer] = (colour * shade[:, None])[closer]

    up = torch.tensor([0.0, 1.0, 0.0]).expand_as(directions)
    floor = -origins[:, 1] / directions[:, 1]
    at = origins + floor[:, None] * directions
    checker = ((at[:, 0] * 2).floor() + (at[:, 2] * 2).floor()).remainder(2)
    grey = (0.45 + 0.45 * checker)[:, None].expand(-1, 3)
    hit(floor, (at[:, 0].abs() < 1.25) & (at[:, 2].abs() < 1.25), grey, up)
    if front:
        wall = (-1.5 - origins[:, 2]) / directions[:, 2]
        at = origins + wall[:, None] * directions
        stripes = 0.5 + 0.4 * (4 * at[:, :1]).sin() * torch.tensor([1.0, 0.3, -0.6])
        hit(wall, at[:, 1].abs() < 3, stripes, torch.tensor([0.0, 0.5, 0.87]).expand_as(directions))
    for ball in BALLS:
        towards = origins - ball[:3]
        half = (towards * directions).sum(1)
        inside = half**2 - (towards**2).sum(1) + ball[3] ** 2
        distance = -half - inside.clamp(min=0).sqrt()
        normal = normalize(origins + distance[:, None] * directions - ball[:3], dim=1)
        hit(distance, inside > 0, ball[4:].expand_as(directions), normal)
    return colours.clamp(0, 1)


def _looking(place: Array, target: Array) -> Array:
    """The camera at `place` that looks at `target`, y up."""
    z = (place - target) / np.linalg.norm(place - target)
    x = np.cross([0.0, 1.0, 0.0], z)
    x /= np.linalg.norm(x)
    return np.stack([x, np.cross(z, x), z, place], 1)
