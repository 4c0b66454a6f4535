"""Several processes train the model that one would: the same losses and weights, killed and resumed or not."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ranks_app import CONFIG, SPEC, TOKENS

from benchsuite.errors import UserError
from benchsuite.model.gpt import GPT
from benchsuite.pretrain.ranks import Ranks
from benchsuite.pretrain.trainer import TrainLog, train

APP = Path(__file__).with_name("ranks_app.py")


def torchrun(processes: int, *words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}", str(APP)]
    return subprocess.run([*command, *map(str, words)], capture_output=True, text=True, timeout=280)


@pytest.fixture(scope="module")
def alone() -> tuple[GPT, TrainLog]:
    return train(SPEC, TOKENS, CONFIG, seed=0)


def check(found: dict[str, Any], alone: tuple[GPT, TrainLog]) -> None:
    """The same losses, and models that predict the same. (A key's bias has rounding errors for a gradient.)"""
    model, log = alone
    assert [at for at, _ in found["curve"]] == [at for at, _ in log.curve]
    np.testing.assert_allclose([loss for _, loss in found["curve"]], [loss for _, loss in log.curve], atol=2e-5)
    assert found["first"][0] == pytest.approx(log.stability["norm_max"], rel=1e-3)
    theirs = GPT(SPEC)
    for parameter, values in zip(theirs.parameters(), found["weights"], strict=True):
        parameter.data = torch.tensor(values).view(parameter.shape)
    x = torch.from_numpy(TOKENS[:64].astype(np.int64)).view(8, 8)
    torch.testing.assert_close(theirs.eval()(x), model(x), rtol=1e-3, atol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("processes", [2, pytest.param(4, marks=pytest.mark.long)])
def test_processes_agree_with_one(processes: int, tmp_path: Path, alone: tuple[GPT, TrainLog]) -> None:
    done = torchrun(processes, tmp_path / "result.json", "ddp,fsdp")
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads((tmp_path / "result.json").read_text())
    for way in ("ddp", "fsdp"):
        check(found[way], alone)


@pytest.mark.long
def test_a_killed_process_ends_the_others_and_all_go_on(tmp_path: Path, alone: tuple[GPT, TrainLog]) -> None:
    words = (tmp_path / "result.json", "fsdp", tmp_path / "snapshots")
    killed = torchrun(2, *words, 0.5)
    assert killed.returncode != 0
    assert not (tmp_path / "result.json").exists()
    assert list((tmp_path / "snapshots").glob("step-*")), killed.stderr[-3000:]
    resumed = torchrun(2, *words)
    assert resumed.returncode == 0, resumed.stderr[-3000:]
    check(json.loads((tmp_path / "result.json").read_text())["fsdp"], alone)


def test_a_batch_that_cannot_be_shared_is_said() -> None:
    with pytest.raises(UserError, match="batch of 6 sequences cannot be shared by 4 processes"):
        Ranks(0, 4).share([8, 6], None)
