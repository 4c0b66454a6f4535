"""The small kernels' PTX, compiled once; without nvcc these tests say what to install."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchsuite.cuda_ext import toolchain
from benchsuite.cuda_ext.plan import CSRC
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


@pytest.fixture(scope="session")
def activation() -> Program:
    needs_nvcc()
    return load(CSRC / "cuda" / "activation.cu")


@pytest.fixture(scope="session")
def norm() -> Program:
    needs_nvcc()
    return load(CSRC / "cuda" / "norm.cu")


@pytest.fixture(scope="session")
def softmax() -> Program:
    needs_nvcc()
    return load(CSRC / "cuda" / "softmax.cu")


@pytest.fixture(scope="session")
def rotary() -> Program:
    needs_nvcc()
    return load(CSRC / "cuda" / "rotary.cu")


@pytest.fixture(scope="session")
def cross_entropy() -> Program:
    needs_nvcc()
    return load(CSRC / "cuda" / "cross_entropy.cu")


@pytest.fixture(scope="session")
def attention() -> Program:
    needs_nvcc()
    return load(CSRC / "cuda" / "attention.cu")


@pytest.fixture(scope="session")
def attention_backward() -> Program:
    needs_nvcc()
    return load(CSRC / "cuda" / "attention_backward.cu")
