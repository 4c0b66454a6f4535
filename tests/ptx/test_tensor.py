"""What a warp does together: tensor cores, matrix loads, asynchronous copies, votes, and what goes wrong with them."""

from __future__ import annotations

import numpy as np
import pytest

from benchsuite.cuda_ext.ptx import Program, RaceFault, SyncFault, Uninitialised, compile_ptx, from_bf16, to_bf16
from benchsuite.cuda_ext.ptx.parse import parse
from tests.ptx.conftest import KERNELS, needs_nvcc
from tests.ptx.test_machine import planted

pytestmark = pytest.mark.slow

RANDOM = np.random.default_rng(0)
A, B = RANDOM.standard_normal((3, 16, 16)).astype(np.float32), RANDOM.standard_normal((3, 16, 8)).astype(np.float32)


@pytest.fixture(scope="session")
def tensor_ptx() -> str:
    needs_nvcc()
    return compile_ptx(KERNELS / "tensor.cu")


def product(program: Program, kind: str = "bf16") -> tuple[np.ndarray, np.ndarray]:
    """What three blocks of a warp find, and what is right."""
    if kind == "bf16":
        a, b = to_bf16(A), to_bf16(B)
        want = from_bf16(a).reshape(A.shape).astype(float) @ from_bf16(b).reshape(B.shape)
    else:
        a, b = A.astype(np.float16), B.astype(np.float16)
        want = a.astype(float) @ b.astype(float)
    result = program.launch(f"product_{kind}", (3,), (32,), [a, b, Uninitialised((3, 16, 8), np.float32)])
    assert result.counters.conflicts["ldmatrix"] == 0
    assert result.counters.conflicts["cp.async"] == 3 * 4, "two rows of 16 bytes, 48 apart, meet in each quarter"
    assert result.counters.instructions["mma"] == 3 * 32
    return result.arrays[2], want


@pytest.mark.parametrize("kind", ["bf16", "f16"])
def test_a_product_of_every_block(tensor_ptx: str, kind: str) -> None:
    got, want = product(Program(parse(tensor_ptx)), kind)
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)


def registers_of(tensor_ptx: str, opcode: str) -> list[str]:
    line = next(line for line in tensor_ptx.splitlines() if line.strip().startswith(opcode))
    return [name.strip() for name in line.split("{")[2 if opcode.startswith("mma") else 1].split("}")[0].split(",")]


def test_a_swapped_fragment_register_is_seen(tensor_ptx: str) -> None:
    names = registers_of(tensor_ptx, "mma.sync.aligned.m16n8k16.row.col.f32.bf16")
    swapped = ", ".join([names[1], names[0], *names[2:]])
    line = next(line for line in tensor_ptx.splitlines() if "f32.bf16.bf16.f32" in line)
    text = tensor_ptx.replace(line, line.replace(line.split("{")[2].split("}")[0], swapped))
    got, want = product(Program(parse(text)))
    assert np.abs(got - want).max() > 0.1


def test_a_matrix_loaded_as_it_lies_and_not_transposed_is_seen(tensor_ptx: str) -> None:
    got, want = product(planted(tensor_ptx, "product_bf16", ".x2.trans.", ".x2."))
    assert np.abs(got - want).max() > 0.1


def test_copies_that_nobody_waited_for_are_a_race(tensor_ptx: str) -> None:
    with pytest.raises(RaceFault, match=r"product_bf16.*ldmatrix.*was not waited for"):
        product(planted(tensor_ptx, "product_bf16", "cp.async.wait_group 0;", ""))


def test_a_missing_barrier_after_copies_is_a_race(tensor_ptx: str) -> None:
    with pytest.raises(RaceFault, match="without a barrier between"):
        product(planted(tensor_ptx, "product_bf16", "bar.sync 	0;", ""))


def test_a_tensor_core_without_all_lanes_is_caught(tensor_ptx: str) -> None:
    program = Program(parse(tensor_ptx))
    arguments = [to_bf16(A), to_bf16(B), Uninitialised((3, 16, 8), np.float32)]
    with pytest.raises(SyncFault, match="ldmatrix needs all 32 lanes"):
        program.launch("product_bf16", (1,), (24,), arguments)


def test_groups_of_copies_arrive_one_after_the_other(tensor_ptx: str) -> None:
    x = np.arange(256, dtype=np.uint32).reshape(64, 4)
    arguments = [x, Uninitialised(x.shape, x.dtype)]
    result = Program(parse(tensor_ptx)).launch("groups", (1,), (32,), arguments)
    np.testing.assert_array_equal(result.arrays[1], x)
    with pytest.raises(RaceFault, match="was not waited for"):
        planted(tensor_ptx, "groups", "wait_group 1", "wait_group 2").launch("groups", (1,), (32,), arguments)
    with pytest.raises(RaceFault, match="was not waited for"):
        planted(tensor_ptx, "groups", "cp.async.wait_all;", "").launch("groups", (1,), (32,), arguments)


def test_votes(tensor_ptx: str) -> None:
    x = RANDOM.integers(-5, 5, 32).astype(np.int32)
    program = Program(parse(tensor_ptx))
    result = program.launch("votes", (1,), (32,), [x, Uninitialised((32,), np.uint32)])
    ballot = sum(1 << lane for lane in range(32) if x[lane] > 0) ^ 1 << 30
    assert (result.arrays[1] == np.uint32(ballot)).all()
    with pytest.raises(SyncFault, match=r"vote.sync names lane 16"):
        program.launch("votes", (1,), (16,), [x, Uninitialised((32,), np.uint32)])
