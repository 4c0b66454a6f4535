"""The operators as they run on a GPU: their own host code, and the kernels that it launches, by the interpreter of PTX.

Right is what the same operator gives on the CPU in float64, which `tests/cuda_ext` compares with torch. Every launch
must be on the tensors' device and on its current stream, be one that CUDA takes, and touch the operator's own tensors.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from support import operator_cases

from benchsuite import cuda_ext
from benchsuite.cuda_ext.ptx import PTXFault
from tests.cuda_ext import test_arguments
from tests.ptx.conftest import needs_nvcc
from tests.ptx.device import Device

pytestmark = pytest.mark.slow

CPU_ONLY = ("embedding", "embedding_backward", "embedding_layer_norm_backward")
NOT_FOR_CUDA = ("linear", "linear_backward", "rounded_cross_entropy", "adamw_")  # the dispatcher has none to call
IN_PYTHON = ("linear_cross_entropy",)
ON_CUDA = [name for name in test_arguments.NAMES if name not in (*CPU_ONLY, *NOT_FOR_CUDA, *IN_PYTHON)]


@pytest.fixture(scope="session")
def device() -> Device:
    needs_nvcc()
    cuda_ext.load()
    return Device.load()


# One place chooses between float16 and bfloat16 for all; tests/ptx runs every kernel in both, tests/gpu every launch.
CASES = [
    pytest.param(family, dtype, id=f"{family.__name__}-{dtype}")
    for family in operator_cases.FAMILIES
    for dtype in operator_cases.TYPES
    if dtype != torch.float16 or family is operator_cases.activations
]


@pytest.mark.parametrize(("family", "dtype"), CASES)
def test_the_launched_kernels_give_what_the_operator_gives_in_float64(
    device: Device, family: Any, dtype: torch.dtype
) -> None:
    for name, *arguments in family(operator_cases.draws(dtype)):
        operator_cases.compare(name, arguments, device.call)
        assert device.launches, name


# --- what no result shows ---------------------------------------------------------------------------------------------


def test_in_place_and_beside_what_is_not_its_own(device: Device) -> None:
    qkv = torch.randn(2, 3, 3, 2, 16)
    before = qkv.clone()
    q, k, _ = (part.transpose(1, 2) for part in qkv.unbind(2))
    cos, sin = torch.ones(1, 3, 8), torch.zeros(1, 3, 8)
    device.call("rotary_", q, k, cos, sin, False, 1.0)  # turned by nothing
    assert torch.equal(qkv, before)
    device.call("rotary_", q, k, cos, sin + 1, False, 1.0)
    assert not torch.equal(qkv[:, :, :2], before[:, :, :2])
    assert torch.equal(qkv[:, :, 2], before[:, :, 2])


@pytest.mark.parametrize("name", ON_CUDA)
def test_a_launch_that_fails_is_an_error_of_the_operator(device: Device, name: str) -> None:
    arguments = test_arguments.given(name)
    with device.imagining():
        device.call(name, *arguments)
        assert device.launches
        for failing in range(len(device.launches)):
            with pytest.raises(RuntimeError, match="benchsuite: invalid argument"):
                device.call(name, *arguments, failing=failing)
            assert len(device.launches) == failing


@pytest.mark.parametrize("name", CPU_ONLY)
def test_what_is_the_cpu_s_alone_says_so(device: Device, name: str) -> None:
    with pytest.raises(RuntimeError, match="works on the CPU only"):
        device.call(name, *test_arguments.given(name))


def test_a_token_outside_its_table_stops_the_kernel(device: Device) -> None:
    w = torch.ones(8)
    for token in (-1, 5):
        with pytest.raises(PTXFault, match="stops itself"):
            device.call("embedding_layer_norm", torch.tensor([0, token]), torch.randn(5, 8), None, None, w, w, 1e-5)


def test_types_and_sizes_that_cuda_has_no_kernel_for_are_refused(device: Device) -> None:
    with pytest.raises(RuntimeError, match="float64 works on the CPU only"):
        device.call("act", torch.randn(2, 2, dtype=torch.float64), None, "gelu")
    q = torch.randn(1, 1, 2, 136)
    with pytest.raises(RuntimeError, match="head sizes above 128"):
        device.call("attention", q, q, q, None, None, None, True, 1.0)
    long = torch.zeros(1).expand(1, 1, 1, 2**30 + 1)
    with device.imagining(), pytest.raises(RuntimeError, match="too long for CUDA"):
        device.call("alibi_softmax", long, None, 1.0, False)


def test_sizes_that_no_memory_has_are_launched_within_cuda_s_limits(device: Device) -> None:
    """Only the launch is looked at: more rows, and more elements, than a grid has blocks, or than 32 bits hold."""
    row, angles = torch.zeros(64).bfloat16(), torch.zeros(1, 1, 32)
    with device.imagining():
        for name, *arguments in (
            ("act", row[:4].expand(3 * 2**30, 4), None, "gelu"),
            ("act", row.expand(3 * 2**30, 64), row, "gelu"),
            ("act_backward", row.expand(2**17, 64), row.expand(2**17, 64), row, "gelu"),
            ("glu", row.expand(3 * 2**30, 64), None, "swiglu"),
            ("layer_norm", row.expand(3 * 2**30, 64), row, row, 1e-5),
            ("rotary", *[row.expand(2**10, 2, 2**21, 64)] * 2, *[angles.expand(1, 2**21, 32)] * 2, False, 1.0),
            ("attention", *[row.expand(2**10, 2**4, 2**16, 64)] * 3, None, None, None, True, 1.0),
        ):  # fmt: skip
            device.call(name, *arguments)
            assert len(device.launches) == 1
        for heads in (2**20, 2**27):
            q = row.expand(heads, 64, 64 * 64, 64)
            with pytest.raises(RuntimeError, match=r"attention: more than 2\^31 - 1 blocks"):
                device.call("attention", q, q, q, None, None, None, True, 1.0)
            assert not device.launches
