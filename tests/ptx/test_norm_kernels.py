"""The norms' CUDA kernels, executed: against float64, each row read once, sums in one order."""

from __future__ import annotations

import numpy as np
import pytest

from benchsuite.cuda_ext.launches import row_threads
from benchsuite.cuda_ext.ptx import Buffer, Program, PTXFault, Result, Struct, Uninitialised, View
from tests.ptx.kernels import TYPES, Array, close, draw, values

pytestmark = pytest.mark.slow

EPS = 1e-5
# (rows, columns, whether rows are whole packs): tiny, odd, several warps, more than the registers of a block hold.
SHAPES = [(1, 1, False), (3, 37, False), (2, 64, True), (5, 768, True), (1, 700, False)]


def rows_of(
    x: Array, table: bool = False, second: bool = False, rows: int | None = None, second_rows: int = 0
) -> Struct:
    """NormRows of x (rows, columns), or of rows of a table; with `second` those of another are added to the result."""
    columns, element = x.shape[1], {"float32": 0, "uint16": 1, "float16": 2}[x.dtype.name]
    return Struct(
        (
            element,
            View("x"),
            View("y") if second else None,
            View("index") if table else None,
            View("where") if second else None,
            columns,
            columns if second else 0,
            len(x) if rows is None else rows,
            columns,
            len(x),
            second_rows,
        )
    )


def forward(program: Program, x: Array, dtype: str, wide: bool, w: Array, b: Array | None, **more: Array) -> Result:
    mangled, lanes, _ = TYPES[dtype]
    lanes, second = lanes if wide else 1, "y" in more
    rows = len(more["index"]) if "index" in more else len(x)
    packs = 4 if lanes == 1 else 16 // lanes
    threads = row_threads(x.shape[1], lanes, packs, 1024 if lanes > 1 else 512)
    name = f"norm_forward_kernelI{mangled}Li{lanes}ELb{int(second)}E"
    struct = rows_of(x, "index" in more, second, rows, len(more["y"]) if second else 0)
    outputs = [Uninitialised((rows, x.shape[1]), x.dtype), *[Uninitialised((rows,), np.float32)] * 2]
    return program.launch(name, (min(rows, 3),), (threads,), [struct, w, b, EPS, *outputs], buffers={"x": x, **more})


def exact(x: Array) -> tuple[Array, Array]:
    return (x - x.mean(1, keepdims=True)), 1 / np.sqrt(x.var(1, keepdims=True) + EPS)


@pytest.mark.parametrize("dtype", TYPES)
def test_the_forward_pass_reads_each_row_once(norm: Program, dtype: str) -> None:
    for rows, columns, wide in SHAPES:
        x, w, b = draw((rows, columns), dtype), draw((columns,), dtype), draw((columns,), dtype, 1)
        result = forward(norm, x, dtype, wide, w, b)
        centred, rstd = exact(values(x, dtype))
        close(result.arrays[4], centred * rstd * values(w, dtype) + values(b, dtype), dtype, 2)
        np.testing.assert_allclose(result.arrays[5], values(x, dtype).mean(1), atol=1e-5)
        np.testing.assert_allclose(result.arrays[6], rstd[:, 0], rtol=1e-4)
        assert result.counters.read("x") == result.counters.written("4") == x.nbytes
        if wide:
            assert result.counters.sector_efficiency > 0.9
        assert result.counters.bank_conflicts == 0


def test_the_variance_is_taken_about_the_mean(norm: Program) -> None:
    x = draw((2, 256), "float32") * np.float32(1e-2) + np.float32(1e3)
    result = forward(norm, x, "float32", True, np.ones(256, np.float32), None)
    centred, rstd = exact(x.astype(np.float64))
    np.testing.assert_allclose(
        result.arrays[4], centred * rstd, atol=2e-2
    )  # x itself is rounded to 6e-5, sigma is 2e-2


def test_rows_longer_than_the_registers_are_read_again(norm: Program) -> None:
    x = draw((1, 4100), "float32")[:, 1:]  # unaligned: single elements, 4 of them for each of 512 threads
    result = forward(norm, x.copy(), "float32", False, np.ones(4099, np.float32), None)
    centred, rstd = exact(x.astype(np.float64))
    close(result.arrays[4], centred * rstd, "float32", 2)
    assert x.nbytes < result.counters.read("x") <= 3 * x.nbytes


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize(("columns", "wide"), [(64, True), (37, False), (2560, True), (2100, False)])
def test_rows_of_a_table_are_normalised_and_those_of_another_added(
    norm: Program, dtype: str, columns: int, wide: bool
) -> None:
    table, places = draw((9, columns), dtype), draw((4, columns), dtype, 1)
    index, where, w, b = (
        np.array([3, 0, 8, 3]),
        np.array([2, 0, 1, 3]),
        draw((columns,), dtype, 2),
        draw((columns,), dtype),
    )
    given = {"index": index, "y": places, "where": where}
    centred, rstd = exact(values(table, dtype)[index])
    normalised = centred * rstd * values(w, dtype)
    for bias in (None, b):
        result = forward(norm, table, dtype, wide, w, bias, **given)
        want = normalised + values(places, dtype)[where] + (0 if bias is None else values(b, dtype))
        close(result.arrays[4], want, dtype, 2)
        np.testing.assert_allclose(
            result.arrays[5], values(table, dtype)[index].mean(1), atol=1e-5
        )  # of the words alone
        np.testing.assert_allclose(result.arrays[6], rstd[:, 0], rtol=1e-4)
        assert result.counters.read("y") == places.nbytes  # each row once
        assert result.counters.bank_conflicts == 0
    one = forward(norm, table, dtype, wide, w, None, index=index)
    close(one.arrays[4], normalised, dtype, 2)


@pytest.mark.parametrize("outside", [-1, 9, 2**40])
def test_an_index_outside_its_table_stops_the_kernel_before_it_reads(norm: Program, outside: int) -> None:
    table, w = draw((9, 64), "float32"), draw((64,), "float32", 2)
    with pytest.raises(PTXFault, match=r"trap.*the kernel stops itself"):
        forward(norm, table, "float32", True, w, None, index=np.array([3, outside]))
    with pytest.raises(PTXFault, match=r"trap.*the kernel stops itself"):
        forward(
            norm, table, "float32", True, w, None, index=np.zeros(2, np.int64), y=table, where=np.array([3, outside])
        )


def backward(
    program: Program,
    x: Array,
    dy: Array,
    w: Array,
    dtype: str,
    lanes: int,
    packs: int,
    rest: bool,
    out: str,
    blocks: int,
) -> Result:
    exact_x = values(x, dtype)
    _, rstd = exact(exact_x)
    mean = exact_x.mean(1).astype(np.float32)
    name = f"norm_backward_kernelI{TYPES[dtype][0]}{out}Li{lanes}ELi{packs}ELb{int(rest)}E"
    threads = row_threads(x.shape[1], lanes, packs, 512)
    kind = np.float32 if out == "f" else x.dtype
    outputs: list[Buffer] = [Uninitialised(x.shape, kind), Uninitialised((blocks, 2, x.shape[1]), np.float32)]
    arguments = [rows_of(x), dy, w, mean, rstd[:, 0].astype(np.float32), *outputs]
    return program.launch(name, (blocks,), (threads,), arguments, buffers={"x": x})


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize(("rows", "columns", "blocks"), [(7, 64, 2), (3, 37, 3), (4, 520, 1), (1, 1, 1)])
def test_the_backward_pass(norm: Program, dtype: str, rows: int, columns: int, blocks: int) -> None:
    lanes = TYPES[dtype][1]
    wide = columns % lanes == 0
    x, dy, w = draw((rows, columns), dtype), draw((rows, columns), dtype, 1), draw((columns,), dtype, 2)
    # Rows that fit into registers, and those with a rest (one that is empty here).
    kinds = [(lanes, 8 // lanes, False), (lanes, 16 // lanes, True)] if wide else [(1, 2, True)]
    same = "f" if dtype == "float32" else "S3_"
    launches = [(*kind, same) for kind in kinds]
    if wide:  # float32 gradients, for an embedding's table
        launches += [(4, 2, False, "f"), (4, 4, True, "f")]
    for lanes_, packs, rest, out in launches:
        result = backward(norm, x, dy, w, dtype, lanes_, packs, rest, out, blocks)
        centred, rstd = exact(values(x, dtype))
        h, g = centred * rstd, values(dy, dtype) * values(w, dtype)
        want = (g - g.mean(1, keepdims=True) - h * (g * h).mean(1, keepdims=True)) * rstd
        if columns == 1:
            want = np.zeros_like(want)
        close(result.arrays[5], want, "float32" if out == "f" else dtype, 8)
        partial = result.arrays[6].astype(np.float64).sum(0)
        np.testing.assert_allclose(partial[0], (values(dy, dtype) * h).sum(0), atol=1e-4)
        np.testing.assert_allclose(partial[1], values(dy, dtype).sum(0), atol=1e-4)
        if wide:
            assert result.counters.read("x") == result.counters.read("1") == x.nbytes
        assert result.counters.written("5") == result.arrays[5].nbytes
        if columns % 64 == 0:
            assert result.counters.efficiency("x", "1", "5") == 1
        assert result.counters.bank_conflicts == 0


def test_a_backward_row_longer_than_the_registers(norm: Program) -> None:
    x, dy, w = (draw(shape, "float32", n) for n, shape in enumerate([(3, 2051), (3, 2051), (2051,)]))
    result = backward(norm, x, dy, w, "float32", 1, 2, True, "f", 2)  # 512 threads keep 2 elements each
    centred, rstd = exact(x.astype(np.float64))
    h, g = centred * rstd, dy.astype(np.float64) * w
    close(result.arrays[5], (g - g.mean(1, keepdims=True) - h * (g * h).mean(1, keepdims=True)) * rstd, "float32", 8)
    np.testing.assert_allclose(result.arrays[6].sum(0)[0], (dy * h).sum(0), atol=1e-4)


@pytest.mark.parametrize("dtype", TYPES)
def test_partial_sums_are_added_up(norm: Program, dtype: str) -> None:
    partial = draw((19, 70), "float32")
    dw, db = (Uninitialised((35,), np.uint16 if dtype == "bfloat16" else dtype) for _ in range(2))
    name = f"norm_reduce_kernelI{TYPES[dtype][0]}E"
    result = norm.launch(name, (3,), (32, 8), [partial, 19, dw, db, 70])
    want = partial.astype(np.float64).sum(0)
    close(result.arrays[2], want[:35], dtype, 2)
    close(result.arrays[3], want[35:], dtype, 2)
    assert result.counters.read("0") == partial.nbytes
    assert result.counters.bank_conflicts == 0
