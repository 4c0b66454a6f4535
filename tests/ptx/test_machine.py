"""Whole kernels on the interpreter: results, traffic, and each kind of fault, planted by a small change to good PTX."""

from __future__ import annotations

import numpy as np
import pytest

from benchsuite.cuda_ext.ptx import (
    MemoryFault,
    Program,
    PTXFault,
    PTXSyntaxError,
    RaceFault,
    SyncFault,
    Uninitialised,
    UnknownInstruction,
    View,
)
from benchsuite.cuda_ext.ptx.parse import parse

pytestmark = pytest.mark.slow

FLOATS = np.random.default_rng(0).standard_normal(4096).astype(np.float32)


def changed(text: str, old: str, new: str, count: int = 1) -> Program:
    assert text.count(old) >= count, f"{old!r} is not in the PTX"
    return Program(parse(text.replace(old, new, count)))


def body_of(text: str, kernel: str) -> str:
    start = text.index(f".entry {kernel}(")
    return text[start : text.index("\n}", start)]


def planted(text: str, kernel: str, old: str, new: str) -> Program:
    """The program with one change inside one kernel."""
    body = body_of(text, kernel)
    assert body.count(old) >= 1, f"{old!r} is not in {kernel}"
    return Program(parse(text.replace(body, body.replace(old, new, 1))))


@pytest.mark.parametrize(("n", "blocks"), [(1, 1), (100, 1), (128, 1), (300, 3)])
def test_a_copy_moves_each_byte_once(small: Program, n: int, blocks: int) -> None:
    result = small.launch("copy", (blocks,), (128,), [FLOATS[:n], Uninitialised((n,), np.float32), n])
    assert np.array_equal(result.arrays[1], FLOATS[:n])
    assert result.counters.read("0") == result.counters.written("1") == 4 * n
    assert result.counters.sector_efficiency == 1


def test_every_second_element_wastes_half_of_its_sectors(small: Program) -> None:
    result = small.launch("every_second", (1,), (128,), [FLOATS[:256], Uninitialised((128,), np.float32), 128])
    assert np.array_equal(result.arrays[1], FLOATS[:256:2])
    assert result.counters.sector_efficiency == pytest.approx(2 / 3), "reads 1/2, writes 1"


def test_a_reduction_through_shuffles_and_shared_memory(small: Program) -> None:
    result = small.launch("block_sum", (3,), (128,), [FLOATS[:384], Uninitialised((3,), np.float32)])
    want = FLOATS[:384].astype(np.float64).reshape(3, 128).sum(1)
    np.testing.assert_allclose(result.arrays[1], want, rtol=1e-5)


def test_bank_conflicts_are_counted(small: Program) -> None:
    tile = FLOATS[:1024].reshape(32, 32)
    found = {}
    for name in ("transpose_padded", "transpose_conflicting"):
        result = small.launch(name, (1,), (32, 8), [tile, Uninitialised((32, 32), np.float32)])
        assert np.array_equal(result.arrays[1], tile.T)
        found[name] = result.counters.bank_conflicts
    assert found == {"transpose_padded": 0, "transpose_conflicting": 32 * 31}


def test_threads_that_part_meet_again(small: Program) -> None:
    numbers = np.arange(1, 101, dtype=np.int32)
    result = small.launch("branches", (1,), (128,), [numbers, Uninitialised((100,), np.int32), 100])

    def steps(v: int) -> int:
        return 0 if v == 1 else 1 + steps(3 * v + 1 if v % 2 else v // 2)

    assert result.arrays[1].tolist() == [steps(int(v)) for v in numbers]


# --- planted bugs ---------------------------------------------------------------------------------------------------


def test_an_access_past_the_end_is_caught(small: Program) -> None:
    with pytest.raises(MemoryFault, match=r"copy, line \d+ \(ld.global.f32 .*out of bounds.*0 \+ 400 of 400 bytes"):
        small.launch("copy", (1,), (128,), [FLOATS[:100], Uninitialised((128,), np.float32), 128])
    with pytest.raises(MemoryFault, match=r"1 \+ 400 of 400 bytes"):
        small.launch("copy", (1,), (128,), [FLOATS[:128], Uninitialised((100,), np.float32), 128])


def test_a_bound_off_by_one_is_caught(small_ptx: str) -> None:
    program = planted(small_ptx, "copy", "setp.ge.s32", "setp.gt.s32")
    with pytest.raises(MemoryFault, match="out of bounds"):
        program.launch("copy", (1,), (128,), [FLOATS[:100], Uninitialised((100,), np.float32), 100])


def test_a_read_of_what_nobody_wrote_is_caught(small: Program) -> None:
    with pytest.raises(MemoryFault, match="read where nobody wrote, byte 0"):
        small.launch("copy", (1,), (32,), [Uninitialised((8,), np.float32), Uninitialised((8,), np.float32), 8])


def test_a_misaligned_access_is_caught(small: Program) -> None:
    with pytest.raises(MemoryFault, match="misaligned: 4 bytes"):
        small.launch("copy", (1,), (32,), [View(1, 2), FLOATS[:64], 8])


def test_a_missing_barrier_is_a_race(small_ptx: str) -> None:
    program = planted(small_ptx, "block_sum", "bar.sync 	0;", "")
    with pytest.raises(RaceFault, match="reads what another wrote, without a barrier"):
        program.launch("block_sum", (2,), (128,), [FLOATS[:256], Uninitialised((2,), np.float32)])


def test_a_barrier_that_some_threads_never_reach_is_caught(small_ptx: str) -> None:
    body = body_of(small_ptx, "block_sum")
    guard = body[: body.index("bar.sync")].rsplit("@", 1)[1].split()[0]  # the predicate of the partial store
    program = planted(small_ptx, "block_sum", "bar.sync 	0;", f"@{guard} ret;\n\tbar.sync 	0;")
    with pytest.raises(SyncFault, match="ended while others wait at a barrier"):
        program.launch("block_sum", (1,), (128,), [FLOATS[:128], Uninitialised((1,), np.float32)])


def test_a_shuffle_from_a_lane_that_is_not_there_is_caught(small: Program) -> None:
    with pytest.raises(SyncFault, match="names lane 16, which does not take part"):
        small.launch("block_sum", (1,), (16,), [FLOATS[:128], Uninitialised((1,), np.float32)])


def test_a_wrong_lane_gives_a_wrong_sum(small_ptx: str) -> None:
    program = planted(small_ptx, "block_sum", "mov.u32 \t%r7, 16;", "mov.u32 \t%r7, 8;")
    result = program.launch("block_sum", (1,), (128,), [FLOATS[:128], Uninitialised((1,), np.float32)])
    assert abs(result.arrays[1][0] - FLOATS[:128].sum()) > 0.1


def test_a_lost_tail_is_never_written(small: Program) -> None:
    result = small.launch("copy", (1,), (64,), [FLOATS[:65], Uninitialised((65,), np.float32), 65])
    assert result.arrays[1][-1] == 0
    assert result.counters.written("1") == 64 * 4, "the ideal of 65 elements is not met, which a test asserts"


def test_blocks_that_write_the_same_place_are_a_race(small_ptx: str) -> None:
    program = planted(small_ptx, "block_sum", "%ctaid.x", "%nctaid.y")
    with pytest.raises(RaceFault, match="write the same bytes"):
        program.launch("block_sum", (2,), (128,), [FLOATS[:384], Uninitialised((2,), np.float32)])


def test_a_register_that_was_never_set_is_caught(small_ptx: str) -> None:
    program = planted(small_ptx, "copy", "ld.global.f32", "@!%p1 bra $L_over;\n$L_over: @%p1 ld.global.f32")
    with pytest.raises(MemoryFault, match="register %f1 is read before it is set"):
        program.launch("copy", (1,), (32,), [FLOATS[:8], Uninitialised((8,), np.float32), 8])


@pytest.mark.parametrize(
    ("new", "name"),
    [("ld.global.weird.f32", "weird"), ("frobnicate.f32", "frobnicate"), ("ld.const.f32", "ld.const.f32")],
)
def test_what_is_not_known_is_an_error(small_ptx: str, new: str, name: str) -> None:
    program = planted(small_ptx, "copy", "ld.global.f32", new)
    with pytest.raises(UnknownInstruction, match=name):
        program.launch("copy", (1,), (32,), [FLOATS[:8], Uninitialised((8,), np.float32), 8])


def test_a_kernel_is_found_by_parts_of_its_name(small: Program) -> None:
    assert small.find("transpose", "padded").name == "transpose_padded"
    with pytest.raises(LookupError, match="2 kernels have transpose"):
        small.find("transpose")
    with pytest.raises(PTXSyntaxError, match="functions that are not kernels"):
        parse(".visible .func f() { ret; }")


def test_faults_are_of_one_kind() -> None:
    assert {MemoryFault, RaceFault, SyncFault} <= set(PTXFault.__subclasses__())
