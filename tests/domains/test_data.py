"""Loaders read the files that their authors publish, and say in one line what is wrong with others."""

from __future__ import annotations

import json
import os
import pickle
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import sparse

from benchsuite.domains import TASKS, click_data, graph_data, scenes, unpickling
from benchsuite.domains import tasks as domain_tasks
from benchsuite.errors import UserError

NODES, WORDS, CLASSES = 12, 6, 2
TRAIN, TEST = 4, (11, 8, 10)  # the test nodes in the file's own order; node 9 is missing there, as some of CiteSeer's


@pytest.fixture
def planetoid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, np.ndarray, np.ndarray]:
    """Eight files of a graph in Planetoid's layout, and the features and labels that they hold, in order of the
    nodes."""
    monkeypatch.setattr(graph_data, "VALIDATION", 3)
    draw = np.random.default_rng(0)
    features = draw.integers(1, 4, size=(NODES, WORDS)).astype(np.float32)
    labels = np.eye(CLASSES)[np.arange(NODES) % CLASSES]
    features[9], labels[9] = 0, 0
    known, listed = slice(0, 8), [8, 10, 11]  # .tx lists the test nodes as the index file does
    order = list(TEST)
    parts: dict[str, Any] = {
        "x": sparse.csr_matrix(features[:TRAIN]),
        "y": labels[:TRAIN],
        "allx": sparse.csr_matrix(features[known]),
        "ally": labels[known],
        "tx": sparse.csr_matrix(features[order]),
        "ty": labels[order],
        "graph": defaultdict(list, {i: [(i + 1) % NODES, i] for i in range(NODES)}),
    }
    assert sorted(order) == listed
    for name, part in parts.items():
        (tmp_path / f"ind.cora.{name}").write_bytes(pickle.dumps(part, protocol=2))
    (tmp_path / "ind.cora.test.index").write_text("\n".join(map(str, TEST)))
    return tmp_path, features, labels


def test_planetoid(planetoid: tuple[Path, np.ndarray, np.ndarray]) -> None:
    folder, features, labels = planetoid
    found = graph_data.load(folder, "cora")
    expected = features / np.maximum(features.sum(1, keepdims=True), 1)
    np.testing.assert_allclose(found.features.numpy(), expected, rtol=1e-6)
    assert found.labels[[*range(9), 10, 11]].tolist() == labels.argmax(1)[[*range(9), 10, 11]].tolist()
    assert found.train.tolist() == [0, 1, 2, 3]
    assert found.validation.tolist() == [4, 5, 6]
    assert found.test.tolist() == [8, 10, 11]
    assert found.edges.shape == (2, 2 * NODES)  # a ring in both directions, its loops left out


def test_npz_is_the_same_graph(planetoid: tuple[Path, np.ndarray, np.ndarray], tmp_path: Path) -> None:
    folder, features, labels = planetoid
    matrix = sparse.csr_matrix(features)
    edges = [(i, (i + 1) % NODES) for i in range(NODES)]
    split = {"train_idx": range(4), "val_idx": [4, 5, 6], "test_idx": [8, 10, 11]}
    rows = {"feat_data": matrix.data, "feat_indices": matrix.indices, "feat_indptr": matrix.indptr}
    other = tmp_path / "npz"
    other.mkdir()
    about = {"shape": matrix.shape, "labels": labels.argmax(1), "edges": edges}
    np.savez(other / "cora.npz", **rows, **about, **{name: list(part) for name, part in split.items()})
    mine, theirs = vars(graph_data.load(other, "cora")), vars(graph_data.load(folder, "cora"))
    for name in mine:
        torch.testing.assert_close(mine[name], theirs[name])


class Hostile:
    def __init__(self, *call: Any) -> None:
        self.call = call

    def __reduce__(self) -> Any:
        return self.call[0], self.call[1:]


@pytest.mark.parametrize(
    "content",
    [
        Hostile(os.system, "touch pwned"),
        Hostile(eval, "1"),
        Hostile(getattr, [], "append"),
        defaultdict(dict, {}),
        Hostile(np.ndarray, (2**40,)),
        {"graph": Hostile(os.getcwd)},
    ],
)
def test_a_pickle_that_calls_something_is_refused_before_it_is_called(
    content: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "ind.cora.graph"
    path.write_bytes(pickle.dumps(content, protocol=2))
    with pytest.raises(UserError, match="no pickle of arrays alone"):
        unpickling.read(path)
    assert [p.name for p in tmp_path.iterdir()] == ["ind.cora.graph"]


@pytest.mark.parametrize("content", [b"", b"not a pickle", b"\x80\x02}q\x00.garbage"[:4], pickle.dumps("x")[:-3]])
def test_a_broken_pickle_is_one_line(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "ind.cora.x"
    path.write_bytes(content)
    with pytest.raises(UserError) as caught:
        unpickling.read(path)
    assert "\n" not in caught.value.message


def test_planetoid_files_that_do_not_fit(planetoid: tuple[Path, np.ndarray, np.ndarray]) -> None:
    folder = planetoid[0]
    (folder / "ind.cora.test.index").write_text("8\n1000000000\n")
    with pytest.raises(UserError, match="do not fit each other"):
        graph_data.load(folder, "cora")
    (folder / "ind.cora.ty").unlink()
    with pytest.raises(UserError, match=r"ind\.cora\.ty cannot be read"):
        graph_data.load(folder, "cora")


def criteo_line(label: int, number: str, category: str) -> list[str]:
    return [str(label), *[number] * click_data.NUMBERS, *[category] * click_data.CATEGORIES]


@pytest.mark.parametrize(("separator", "name", "header"), [("\t", "train.txt", False), (",", "sample.csv", True)])
def test_criteo(separator: str, name: str, header: bool, tmp_path: Path) -> None:
    lines = [criteo_line(i % 2, "100" if i % 2 else "", "05db9164" if i % 3 else f"rare{i}") for i in range(60)]
    head = [["label", *[f"I{i}" for i in range(1, 14)], *[f"C{i}" for i in range(1, 27)]]] if header else []
    (tmp_path / name).write_text("\n".join(separator.join(line) for line in head + lines) + "\n")
    found = click_data.load(tmp_path)
    assert found.ids.shape == (60, 39)
    assert found.clicks.tolist() == [i % 2 for i in range(60)]
    assert [len(part) for part in found.parts.values()] == [48, 6, 6]
    # numbers: two categories and the one of rare values; words: one and that of rare values
    assert found.categories == 13 * 3 + 26 * 2
    assert found.ids[:, 13].unique().tolist() == [39, 40]
    assert found.ids[0, 13] == 39
    assert click_data.load(tmp_path, most=20).ids.shape == (20, 39)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("1\t2\t3", "line 31: a line of Criteo is a label of 0 or 1"),
        ("\t".join(criteo_line(7, "1", "a")), "begins with '7'"),
        ("\t".join(criteo_line(1, "many", "a")), "line 31: could not convert"),
        ("\t".join(criteo_line(1, "inf", "a")), "line 31: cannot convert"),
    ],
)
def test_a_line_that_is_none_of_criteos(line: str, words: str, tmp_path: Path) -> None:
    good = ["\t".join(criteo_line(0, "1", "a"))] * 30
    (tmp_path / "train.txt").write_text("\n".join([*good, line]))
    with pytest.raises(UserError, match=words):
        click_data.load(tmp_path)


def test_the_click_model_has_the_interactions_that_it_says() -> None:
    found = click_data.generate(rows=4000)
    assert found.ceiling is not None
    assert 0.75 < found.ceiling < 1
    assert 0.1 < found.clicks.mean() < 0.5
    assert found.ids.max() < found.categories


def synthetic(folder: Path, **changes: Any) -> Path:
    for part, views in (("train", 2), ("val", 1), ("test", 1)):
        frames = []
        for view in range(views):
            pixels = np.zeros((8, 8, 4), dtype=np.uint8)
            pixels[:4] = (255, 0, 0, 255)  # the lower half is transparent
            (folder / part).mkdir(exist_ok=True)
            Image.fromarray(pixels).save(folder / part / f"r_{view}.png")
            frames.append({"file_path": f"./{part}/r_{view}", "transform_matrix": np.eye(4).tolist()})
        told = {"camera_angle_x": 0.7, "frames": frames} | changes
        (folder / f"transforms_{part}.json").write_text(json.dumps(told))
    return folder


def test_nerf_synthetic(tmp_path: Path) -> None:
    found = scenes.load_synthetic(synthetic(tmp_path), width=4)
    assert found.images.shape == (4, 4, 4, 3)
    assert found.images[0, 0, 0].tolist() == [1, 0, 0]
    assert found.images[0, 3, 0].tolist() == [1, 1, 1]
    assert found.parts == {"train": [0, 1], "validation": [2], "test": [3]}
    origins, directions = found.rays(0)
    torch.testing.assert_close(directions.norm(dim=1), torch.ones(16))
    assert (directions[:, 2] < 0).all()  # a camera looks along its own -z
    assert directions[0, 0] < 0 < directions[0, 1]  # the first pixel is left above
    assert not origins.any()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"camera_angle_x": None}, "camera_angle_x and frames"),
        ({"camera_angle_x": 9.0}, "is no angle"),
        ({"frames": []}, "a part has no views"),
        ({"frames": [{"file_path": "../../x", "transform_matrix": np.eye(4).tolist()}]}, "lies outside"),
        ({"frames": [{"file_path": "x", "transform_matrix": [[1.0]]}]}, "is not 4 x 4 numbers"),
        ({"frames": [{"file_path": "x", "transform_matrix": np.eye(4).tolist()}]}, "not an image that can be read"),
    ],
)
def test_a_scene_that_is_none(changes: dict[str, Any], words: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=words):
        scenes.load_synthetic(synthetic(tmp_path, **changes))


def llff(folder: Path, views: int = 10) -> Path:
    draw = np.random.default_rng(0)
    rows = []
    (folder / "images").mkdir()
    for view in range(views):
        # LLFF's axes: down, right, towards the viewer
        pose = np.array([[0.0, 1, 0], [-1, 0, 0], [0, 0, 1]])
        whole = np.concatenate([pose, draw.normal(size=(3, 1)), [[6.0], [8.0], [10.0]]], 1)
        rows.append([*whole.ravel(), 2.0, 9.0])
        Image.fromarray(np.full((6, 8, 3), 100, dtype=np.uint8)).save(folder / "images" / f"{view:03}.png")
    np.save(folder / "poses_bounds.npy", np.array(rows))
    return folder


def test_llff(tmp_path: Path) -> None:
    found = scenes.load_llff(llff(tmp_path))
    assert found.images.shape == (10, 6, 8, 3)
    assert found.parts == {"train": [2, 3, 4, 5, 6, 7], "validation": [1, 9], "test": [0, 8]}
    assert found.focal == 10.0
    assert not found.white
    torch.testing.assert_close(found.cameras[:, :, :3], torch.eye(3).expand(10, 3, 3), atol=1e-6, rtol=0)
    assert found.cameras[:, :, 3].mean(0).abs().max() < 1e-6
    assert (found.near, found.far) == pytest.approx((0.9 / 0.75, 9 / 1.5))


def test_llff_whose_files_do_not_fit(tmp_path: Path) -> None:
    folder = llff(tmp_path)
    (folder / "images" / "003.png").unlink()
    with pytest.raises(UserError, match=r"has 9 images in .* and 10 poses"):
        scenes.load_llff(folder)
    np.save(folder / "poses_bounds.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(UserError, match="not an array of numbers"):
        scenes.load_llff(folder)


def test_what_data_a_task_reads(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cora needs its data"):
        domain_tasks.load("cora", None)
    with pytest.raises(UserError, match="there is no folder"):
        domain_tasks.load("criteo", str(tmp_path / "absent"))
    with pytest.raises(UserError, match="clicks is generated and reads no data"):
        domain_tasks.load("clicks", str(tmp_path))
    stood_for = {name for task in TASKS.values() for name in task.stands_for}
    assert stood_for == {name for name, task in TASKS.items() if not task.generated}


def test_average_precision_and_auc_of_a_perfect_order() -> None:
    scores, labels = torch.arange(4.0), torch.tensor([0.0, 0.0, 1.0, 1.0])
    assert domain_tasks.average_precision(scores, labels) == 1
    assert click_data.auc(scores, labels) == 1
    assert click_data.auc(torch.zeros(4), labels) == 0.5
