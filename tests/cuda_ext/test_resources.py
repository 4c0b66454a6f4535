"""What the compiler reports of CUDA kernels, and what follows for occupancy."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchsuite.cuda_ext import toolchain
from benchsuite.cuda_ext.build import build
from benchsuite.cuda_ext.build_plan import plan
from benchsuite.cuda_ext.resources import Resources, occupancy, parse, resources
from benchsuite.errors import UserError

pytestmark = pytest.mark.slow

needs_nvcc = pytest.mark.skipif(
    isinstance(toolchain.find_nvcc(), toolchain.Missing), reason="no nvcc for torch's CUDA version"
)

REPORT = """ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function 'scale' for 'sm_80'
ptxas info    : Function properties for scale
    16 bytes stack frame, 12 bytes spill stores, 20 bytes spill loads
ptxas info    : Used 40 registers, used 1 barriers, 1024 bytes smem, 364 bytes cmem[0]
ptxas info    : Compile time = 1.0 ms
ptxas info    : Compiling entry function 'plain' for 'sm_80'
ptxas info    : Function properties for plain
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 8 registers, used 0 barriers, 360 bytes cmem[0]
"""
PTX = """
.visible .entry scale_more(
  .param .u64 p0
)
.maxntid 32
{ ret; }
.visible .entry scale(
  .param .u64 p0
)
.maxntid 16, 16, 1
.minnctapersm 2
{ ret; }
.visible .entry plain() { ret; }
"""
KERNELS = """
extern "C" __global__ void __launch_bounds__(256) good(float* x) {
  __shared__ float s[256];
  s[threadIdx.x] = x[threadIdx.x];
  __syncthreads();
  x[threadIdx.x] = s[threadIdx.x ^ 1];
}
extern "C" __global__ void __launch_bounds__(1024, 2) spills(float* x) {
  float v[96];
  for (int i = 0; i < 96; i++) v[i] = x[i * 1024 + threadIdx.x];
  __syncthreads();
  for (int i = 0; i < 96; i++) x[i * 1024 + threadIdx.x] = v[95 - i] * v[(i * 7) % 96];
}
"""


def test_the_report_is_read_with_spills_and_the_block_of_the_right_kernel() -> None:
    scale, plain = parse(REPORT, PTX, "sm_80")
    assert scale == Resources("scale", "sm_80", 40, 12, 20, 16, 1024, 256, 0.75)
    assert plain == Resources("plain", "sm_80", 8, 0, 0, 0, 0, None, None)
    assert parse(REPORT, PTX, "sm_90") == []
    with pytest.raises(UserError, match="report of scale is not as expected"):
        parse(REPORT.replace("Used", "Takes"), PTX, "sm_80")


# By NVIDIA's occupancy calculator.
@pytest.mark.parametrize(
    ("registers", "shared", "threads", "arch", "wanted"),
    [
        (32, 0, 1024, "sm_80", 1.0),
        (33, 0, 1024, "sm_80", 0.5),  # 1280 registers for a warp: 48 warps, one block of 32
        (128, 0, 256, "sm_80", 0.25),
        (168, 0, 128, "sm_90", 0.1875),
        (255, 0, 128, "sm_80", 0.125),
        (16, 0, 32, "sm_80", 0.5),  # 32 blocks at most
        (88, 0, 32, "sm_80", 0.3125),  # 2816 registers for a warp: 23 would fit, but warps come in fours
        (81, 0, 32, "sm_80", 0.3125),  # 81 registers count as 88
        (32, 32 * 1024, 256, "sm_80", 0.5),  # five blocks of 32 KiB would fit, without the system's 1 KiB each
        (32, 40 * 1024, 256, "sm_80", 0.5),
        (32, 40 * 1024, 256, "sm_90", 0.625),
        (32, 0, 1024, "sm_89", 2 / 3),
        (255, 0, 1024, "sm_80", 0.0),  # cannot be launched
        (32, 0, 256, "sm_75", None),
    ],
)
def test_occupancy(registers: int, shared: int, threads: int, arch: str, wanted: float | None) -> None:
    assert occupancy(registers, shared, threads, arch) == (None if wanted is None else pytest.approx(wanted))


@needs_nvcc
def test_check_compiles_a_users_file_and_shows_what_spills(tmp_path: Path) -> None:
    file = tmp_path / "kernels.cu"
    file.write_text(KERNELS)
    command = [sys.executable, "-m", "benchsuite", "kernels", "check", str(file), "--archs", "sm_80,sm_100"]
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert [(row["kernel"], row["arch"]) for row in found["kernels"]] == [
        ("good", "sm_80"),
        ("good", "sm_100"),
        ("spills", "sm_80"),
        ("spills", "sm_100"),
    ]
    good, spills = found["kernels"][0], found["kernels"][2]
    assert (good["shared"], good["threads"], good["spill_loads"], good["occupancy"]) == (1024, 256, 0, 1.0)
    assert spills["spill_loads"] > 0
    assert found["spilling"] == len([row for row in found["kernels"] if row["spill_loads"]])
    table = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "spills" in table
    assert "100%" in table


@needs_nvcc
def test_a_file_that_is_wrong_is_told_with_the_compilers_words(tmp_path: Path) -> None:
    file = tmp_path / "broken.cu"
    file.write_text("__global__ void k() { wrong; }\n")
    with pytest.raises(UserError, match=r"broken\.cu does not compile for sm_80:\n.*\"wrong\" is undefined"):
        resources(file, ["sm_80"])
    command = [sys.executable, "-m", "benchsuite", "kernels", "check", str(tmp_path / "no.txt")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "no.txt is not a .cu or .ptx file" in done.stderr


@needs_nvcc
@pytest.mark.long
def test_ours_spill_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    archs = "8.0;9.0;10.0"
    for name in ("BENCHSUITE_KERNELS", "BENCHSUITE_KERNELS_ONLY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TORCH_CUDA_ARCH_LIST", archs)
    build()
    names = {f"sm_{arch.replace('.', '')}" for arch in archs.split(";")}
    logs = [unit.log.read_text() for unit in plan().units if unit.source.suffix == ".cu"]
    rows = [row for log in logs for arch in names for row in parse(log, "", arch)]
    assert {row.arch for row in rows} == names
    assert [row for row in rows if row.spill_stores or row.spill_loads] == []
