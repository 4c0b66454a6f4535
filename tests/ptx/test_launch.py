"""What the host refuses before it launches: it needs no GPU to do so."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from benchsuite.cuda_ext import toolchain
from benchsuite.cuda_ext.build_plan import CSRC
from tests.ptx.conftest import needs_nvcc

pytestmark = pytest.mark.slow

PROGRAM = """
#include <cstdio>
#include "cuda/attention_launch.cuh"
using namespace benchsuite;
__global__ void nothing(AttentionArgs) {}
int main() {
  AttentionArgs a{};
  for (int64_t heads : {int64_t(1) << 20, int64_t(1) << 31, (int64_t(1) << 32) + 1}) {
    a.B = heads, a.H = 1;
    try {
      cuda::launch(nothing, a, 1, 32, 0, nullptr);
      std::puts("launched");
    } catch (const std::exception& error) {
      std::puts(error.what());
    }
  }
}
"""


def test_more_blocks_than_a_grid_has_are_refused_and_do_not_wrap(tmp_path: Path) -> None:
    needs_nvcc()
    nvcc = toolchain.find_nvcc()
    assert not isinstance(nvcc, toolchain.Missing)
    source, program = tmp_path / "launch.cu", tmp_path / "launch"
    source.write_text(PROGRAM)
    command = [nvcc.path, "-std=c++17", "-arch=sm_80", "-cudart=static", f"-I{CSRC}", str(source), "-o", str(program)]
    command += [part for folder in nvcc.include for part in ("-isystem", folder)]
    command += [f"-L{nvcc.library}"]
    subprocess.run(command, check=True, capture_output=True)
    small, *large = subprocess.run([program], capture_output=True, text=True, check=True).stdout.splitlines()
    assert "2^31" not in small  # launched, or there is no GPU
    assert len(large) == 2
    assert all("attention: more than 2^31 - 1 blocks" in line for line in large)
