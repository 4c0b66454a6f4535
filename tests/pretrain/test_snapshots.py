"""Snapshots that are damaged, hostile, or laid with links: a training goes on from the newest whole one, and nothing in
them is executed."""

from __future__ import annotations

import dataclasses
import json
import os
import pickle
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from benchsuite.errors import UserError
from benchsuite.model.gpt import GPT
from benchsuite.model.spec import ModelSpec
from benchsuite.pretrain import snapshots as module
from benchsuite.pretrain.snapshots import Snapshots
from benchsuite.pretrain.trainer import train
from benchsuite.records.params import TrainConfig

SPEC = ModelSpec(layers=1, width=16, heads=2, vocab=16, seq=8)
TOKENS = np.random.default_rng(0).integers(0, 16, 640).astype(np.uint16)
CONFIG = TrainConfig(tokens=1_600, batch=8, lr=1e-2)  # 25 steps


class _Stop(Exception):  # noqa: N818
    pass


def stop(done: float) -> None:
    if done > 0.7:
        raise _Stop


@pytest.fixture(scope="module")
def whole() -> GPT:
    return train(SPEC, TOKENS, CONFIG, seed=0)[0]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of an interrupted training, after its steps 10 and 15."""
    folder = tmp_path_factory.mktemp("made") / "snapshots"
    with pytest.raises(_Stop):
        train(SPEC, TOKENS, CONFIG, seed=0, snapshots=Snapshots(folder, 5), progress=stop)
    assert Snapshots(folder, 5).steps() == [10, 15]
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made, tmp_path / "snapshots")
    return tmp_path / "snapshots"


def go_on(folder: Path, *, begin_again: bool = False) -> tuple[GPT, float]:
    """The model, and the fraction done when the training went on."""
    seen: list[float] = []
    model, _ = train(SPEC, TOKENS, CONFIG, seed=0, snapshots=Snapshots(folder, 5, begin_again), progress=seen.append)
    return model, seen[0]


def same(a: GPT, b: GPT) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a.parameters(), b.parameters(), strict=True))


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(data)


def change(path: Path, key: str, value: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), key: value}))


def other_shape(folder: Path) -> None:
    tensors = load_file(folder / "state.safetensors")
    tensors["weight.model.embedding.weight"] = torch.zeros(3, 3)
    save_file(tensors, folder / "state.safetensors")
    change(folder / "state.json", "sha256", module._hash(folder / "state.safetensors"))


DAMAGES: dict[str, Callable[[Path], None]] = {
    "no tensors": lambda folder: (folder / "state.safetensors").unlink(),
    "no state": lambda folder: (folder / "state.json").unlink(),
    "empty tensors": lambda folder: (folder / "state.safetensors").write_bytes(b""),
    "half of the tensors": lambda folder: os.truncate(folder / "state.safetensors", 2000),
    "one bit": lambda folder: flip(folder / "state.safetensors"),
    "no JSON": lambda folder: (folder / "state.json").write_bytes(b"\x80{"),
    "half of the JSON": lambda folder: os.truncate(folder / "state.json", 50),
    "deep JSON": lambda folder: (folder / "state.json").write_text("[" * 100_000),
    "other JSON": lambda folder: (folder / "state.json").write_text("[]"),
    "other steps": lambda folder: change(folder / "state.json", "steps", {"losses": [1], "norms": [1], "time_s": 0}),
    "other scale": lambda folder: change(folder / "state.json", "scaler", {"scale": 1.0}),
    "words for numbers": lambda folder: change(folder / "state.json", "steps", {"losses": "x", "norms": 1}),
    "another model's": other_shape,
    "a folder": lambda folder: ((folder / "state.json").unlink(), (folder / "state.json").mkdir()),  # type: ignore
    "a pipe": lambda folder: ((folder / "state.json").unlink(), os.mkfifo(folder / "state.json")),  # type: ignore
}


@pytest.mark.slow
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_newest_gives_way_to_the_one_before(
    folder: Path, whole: GPT, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    DAMAGES[damage](folder / "step-15")
    model, first = go_on(folder)
    assert first == pytest.approx(11 / 25)
    assert same(model, whole)
    assert re.search(r"damaged snapshot, which is not used: step-15: ", capsys.readouterr().err)


def test_where_none_is_whole_it_is_said_or_it_begins_again(folder: Path, whole: GPT) -> None:
    for name in ("step-10", "step-15"):
        flip(folder / name / "state.safetensors")
    with pytest.raises(UserError, match=r"no snapshot in .* can be read: step-15: .*; step-10: ") as error:
        go_on(folder)
    assert "remove the folder" in error.value.hint
    model, first = go_on(folder, begin_again=True)
    assert first == pytest.approx(1 / 25)
    assert same(model, whole)


class Command:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self.mark}",)


@pytest.mark.slow
def test_nothing_in_a_snapshot_is_executed(folder: Path, whole: GPT, tmp_path: Path) -> None:
    hostile = pickle.dumps(Command(tmp_path / "mark"))
    for step in ("step-15", "step-20"):
        (folder / step).mkdir(exist_ok=True)
        for name in (".metadata", "__0_0.distcp", "state.pt", "state.safetensors", "state.json"):
            (folder / step / name).write_bytes(hostile)
    model, _ = go_on(folder)
    assert same(model, whole)
    assert not (tmp_path / "mark").exists()
    pickle.loads(hostile)
    assert (tmp_path / "mark").exists()


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"{}", b'{"digest": 1, "what": 2}', b"\xff"])
def test_what_does_not_say_what_is_trained_is_refused(folder: Path, data: bytes) -> None:
    (folder / "about.json").write_bytes(data)
    with pytest.raises(UserError, match=r"about\.json does not say of which training"):
        go_on(folder)


def test_names_that_are_no_step_are_left_alone(folder: Path, whole: GPT) -> None:
    for name in ("step-x", "step-", "step-7.partial", "step-1e3", "step-15-old"):
        (folder / name).mkdir()
    assert same(go_on(folder)[0], whole)
    assert (folder / "step-x").exists()


@pytest.mark.parametrize("entry", ["step-15", "step-20", "step-20.partial", "step-10", "about.json"])
def test_no_snapshot_is_written_or_removed_through_a_link(folder: Path, tmp_path: Path, entry: str) -> None:
    victim = tmp_path / "victim"
    shutil.copytree(folder / "step-15", victim)
    (victim / "precious").write_text("precious")
    before = {path.name: path.read_bytes() for path in victim.iterdir()}
    if (folder / entry).is_dir():
        shutil.rmtree(folder / entry)
    (folder / entry).unlink(missing_ok=True)
    (folder / entry).symlink_to(victim if entry.startswith("step") else victim / "nowhere")
    with pytest.raises(UserError, match=f"{entry} is a link to"):
        go_on(folder)
    assert {path.name: path.read_bytes() for path in victim.iterdir()} == before


def test_a_full_disk_is_said(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "save_file", full)
    with pytest.raises(UserError, match=r"no snapshot can be written into .*: No space left on device"):
        go_on(folder)
    assert Snapshots(folder, 5).steps() == [10, 15]


def test_a_training_before_its_first_step_is_kept_too(tmp_path: Path) -> None:
    """float16's scale may refuse the first steps, so that there are no moments yet."""
    model = torch.nn.Linear(2, 2)
    optimizer = torch.optim.AdamW(model.parameters())
    scaler = torch.amp.GradScaler("cpu", enabled=False)
    from benchsuite.pretrain.ranks import Ranks

    kept = Snapshots(tmp_path, 1)
    kept.save(Ranks(), 1, model, optimizer, scaler, {"losses": [1.0], "norms": [float("inf")], "time_s": 1.0})
    other = torch.nn.Linear(2, 2)
    step, steps = kept.restore(Ranks(), other, torch.optim.AdamW(other.parameters()), scaler)
    assert (step, steps["norms"]) == (1, [float("inf")])
    assert torch.equal(other.weight, model.weight)


def test_another_recipe_is_refused(folder: Path) -> None:
    config = dataclasses.replace(CONFIG, lr=1e-3)
    with pytest.raises(UserError, match="another training: config differ"):
        train(SPEC, TOKENS, config, seed=0, snapshots=Snapshots(folder, 5))
