"""The small kernels' PTX, compiled once; without nvcc these tests say what to install."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchsuite.cuda_ext import toolchain
from benchsuite.cuda_ext.build_plan import CSRC
from benchsuite.cuda_ext.ptx import Program, compile_ptx, load
from benchsuite.cuda_ext.ptx.parse import parse

KERNELS = Path(__file__).parent / "sources"


def needs_nvcc() -> None:
    nvcc = toolchain.find_nvcc()
    if isinstance(nvcc, toolchain.Missing):
        pytest.skip(f"{nvcc.why}: {nvcc.fix}")


@pytest.fixture(scope="session")
def small_ptx() -> str:
    needs_nvcc()
    return compile_ptx(KERNELS / "small.cu")


@pytest.fixture(scope="session")
def small(small_ptx: str) -> Program:
    return Program(parse(small_ptx))


def _of_benchsuite(name: str) -> Any:
    """A fixture: the program of cuda/NAME.cu."""

    @pytest.fixture(scope="session", name=name)
    def program() -> Program:
        needs_nvcc()
        return load(CSRC / "cuda" / f"{name}.cu")

    return program


globals().update({path.stem: _of_benchsuite(path.stem) for path in (CSRC / "cuda").glob("*.cu")})
