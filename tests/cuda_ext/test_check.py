"""`benchsuite kernels check` and `predict`: a user's kernels executed, and what counts say of an absent GPU."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from benchsuite.cuda_ext import check, launches, predict
from benchsuite.cuda_ext.predict import Counts
from benchsuite.errors import UserError
from benchsuite.hardware.peaks import devices
from tests.ptx.conftest import needs_nvcc

pytestmark = pytest.mark.slow

MINE = """extern "C" __global__ void twice(const float* x, float* y, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) y[i] = 2 * x[i];
}
extern "C" __global__ void waits(float* y) { __nanosleep(100); y[0] = 1; }
"""
LAUNCHES = """import numpy as np
from benchsuite.cuda_ext.launches import Launch
from benchsuite.cuda_ext.ptx import Uninitialised

x = np.ones(100, np.float32)
LAUNCHES = [Launch("mine.cu", ("twice",), (1,), (128,), (x, Uninitialised((100,), np.float32), {n}))]
"""


def run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchsuite", "kernels", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    needs_nvcc()
    (tmp_path / "mine.cu").write_text(MINE)
    return tmp_path


def test_a_users_kernel_is_compiled_and_executed(mine: Path) -> None:
    (mine / "launches.py").write_text(LAUNCHES.format(n=100))
    done = run("check", "mine.cu", "--launches", "launches.py", "--archs", "sm_90", "--json", "-o", "out", cwd=mine)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert [(row["name"], row["arch"]) for row in document["kernels"]] == [("twice", "sm_90"), ("waits", "sm_90")]
    (executed,) = document["executed"]
    assert (executed["moved"], executed["touched"], executed["sectors"], executed["fault"]) == (800, 800, 1.0, None)
    assert json.loads((mine / "out" / "check.json").read_text()) == document
    assert "| twice | no fault | 800 B | 1.00x | 100% | 0 |" in (mine / "out" / "check.md").read_text()


def test_a_fault_is_named_with_its_line_and_exits_with_5(mine: Path) -> None:
    (mine / "launches.py").write_text(LAUNCHES.format(n=128))
    done = run("check", "mine.cu", "--launches", "launches.py", "--archs", "sm_90", cwd=mine)
    assert done.returncode == 5
    assert "twice: line" in done.stderr
    assert "out of bounds: 4 bytes" in done.stderr


def test_what_is_not_interpreted_is_said_and_exits_with_5(mine: Path) -> None:
    text = LAUNCHES.replace('("twice",)', '("waits",)').replace("(x, Uninitialised((100,), np.float32), {n})", "(x,)")
    (mine / "launches.py").write_text(text)
    done = run("check", "mine.cu", "--launches", "launches.py", "--archs", "sm_90", cwd=mine)
    assert done.returncode == 5
    assert "waits: not interpreted: nanosleep" in done.stderr


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("LAUNCHES = 3", "has no LAUNCHES"),
        ("1 / 0", "ZeroDivisionError"),
        (LAUNCHES.replace("mine.cu", "gone.cu").format(n=1), "gone.cu is not there"),
        (LAUNCHES.replace('"twice"', '"thrice"').format(n=1), "0 kernels have thrice"),
    ],
)
def test_a_file_of_launches_that_is_wrong_is_told(mine: Path, text: str, message: str) -> None:
    (mine / "launches.py").write_text(text)
    with pytest.raises(UserError, match=message):
        list(check.run(check.launches_of(mine / "launches.py")))


def test_two_samples_foretell_a_third(tmp_path: Path) -> None:
    """Attention grows with the square of the length; 1 and 2 tiles give the counts of 4 tiles to the instruction."""
    needs_nvcc()
    model = launches.Model("test", 1, 4 * 64, 32, 1, 100)
    forward = next(w for w in launches.works(model, "bfloat16") if w.operator.startswith("attention"))
    found = predict.count(forward)
    direct, _ = predict.counts_of(
        *(lambda x: (x, predict.execute(x)))(launches._Tiles("bfloat16", 32).launch(4, None, "out"))
    )
    assert found.flops == direct.flops
    assert found.bytes == pytest.approx(direct.bytes, rel=1e-3)  # one slope for all tiles, not one for each
    assert found.instructions == pytest.approx(direct.instructions, rel=0.02)  # rescaling, masks and loops' ends


def test_rows_scale_and_shared_weights_do_not() -> None:
    needs_nvcc()
    model = launches.Model("test", 1, 64, 256, 4, 100)
    work = next(w for w in launches.works(model, "float32") if w.operator == "layer_norm")
    found = predict.count(work)
    assert found.bytes == 64 * 256 * 4 * 2 + 64 * 8 + 2 * 256 * 4  # x and y, two statistics a row, weight and bias
    doubled = predict.count(replace(work, scales=(work.scales[0] * 2,)))
    assert doubled.instructions == 2 * found.instructions


@pytest.mark.parametrize(
    ("counts", "bound", "time_s", "fraction"),
    [
        (Counts(2.039e12, 0, 0), "memory", 1.0, 1.0),
        (Counts(2.039e11, 312e12, 0), "tensor cores", 1.0, 1.0),
        (Counts(2.039e11, 0, 4 * 108 * 1410e6), "issue", 1.0, 0.1),
    ],
)
def test_the_slowest_resource_binds(counts: Counts, bound: str, time_s: float, fraction: float) -> None:
    found = predict.predict(counts, devices()["NVIDIA A100-SXM4-80GB"], "bfloat16")
    assert (found.bound, found.time_s, found.fraction) == (bound, pytest.approx(time_s), pytest.approx(fraction))


def test_predictions_are_called_predictions(tmp_path: Path) -> None:
    needs_nvcc()
    done = run("predict", "--device", "Abacus", cwd=tmp_path)
    assert done.returncode == 2
    assert "choose from: NVIDIA A100-SXM4-40GB" in done.stderr
    for option, value in (("--dtype", "int3"), ("--model", "7t")):
        assert run("predict", option, value, cwd=tmp_path).returncode == 2
    done = run("predict", "--model", "125m", "--dtype", "float16", "-o", "out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "predicted, not measured" in " ".join(done.stdout.split())
    assert "**Predicted, not measured.**" in (tmp_path / "out" / "predicted.md").read_text()
    rows = json.loads((tmp_path / "out" / "predicted.json").read_text())["rows"]
    assert {row["device"] for row in rows} == {"NVIDIA A100-SXM4-80GB", "NVIDIA H100 80GB HBM3"}
    assert all(0 < row["fraction"] <= 1 and row["time_s"] > 0 for row in rows)
