"""The activations' CUDA kernels, executed: right in every type and size, every byte moved once."""

from __future__ import annotations

import numpy as np
import pytest

from benchsuite.cuda_ext.ptx import MemoryFault, Program, Result, Uninitialised, View
from tests.ptx.kernels import MOST_TYPES, TYPES, Array, close, draw, values

pytestmark = pytest.mark.slow

SHAPES = [(1, 1), (1, 37), (3, 64), (2, 600), (5, 8), (70, 16)]


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def erf(x: Array) -> Array:
    from scipy.special import erf

    return np.asarray(erf(x))


U = 2 * np.sqrt(2 / np.pi)
FUNCTIONS = {
    "Gelu": lambda x: x * sigmoid(U * (x + 0.044715 * x**3)),
    "GeluErf": lambda x: x * 0.5 * (1 + erf(x / np.sqrt(2))),
    "Relu": lambda x: np.maximum(x, 0),
    "Relu2": lambda x: np.maximum(x, 0) ** 2,
    "Silu": lambda x: x * sigmoid(x),
}
SLOPES = {
    "Gelu": lambda x: (s := sigmoid(U * (x + 0.044715 * x**3))) + x * s * (1 - s) * U * (1 + 3 * 0.044715 * x**2),
    "GeluErf": lambda x: 0.5 * (1 + erf(x / np.sqrt(2))) + x * np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi),
    "Relu": lambda x: (x > 0).astype(float),
    "Relu2": lambda x: 2 * np.maximum(x, 0),
    "Silu": lambda x: (s := sigmoid(x)) + x * s * (1 - s),
}


def launch(
    program: Program, kernel: str, function: str, dtype: str, wide: bool, columns: int, arguments: list
) -> Result:
    """With the grid that the launcher would take: packs along x, rows along y."""
    mangled, lanes, _ = TYPES[dtype]
    lanes = lanes if wide else 1
    packs = -(-columns // lanes)
    width = min(256, max(32, -(-packs // 32) * 32))
    rows = arguments[-2]
    name = [f"{kernel}_kernel", f"I{mangled}NS0_{len(function)}{function}ELi{lanes}E"]
    return program.launch(name, (min(2, -(-packs // width)), min(rows, 3)), (width,), arguments)


@pytest.mark.parametrize("dtype", MOST_TYPES)
@pytest.mark.parametrize("function", FUNCTIONS)
def test_forward_and_backward_of_every_kind(activation: Program, function: str, dtype: str) -> None:
    for rows, columns in SHAPES:
        x, grad = draw((rows, columns), dtype), draw((rows, columns), dtype)[::-1].copy()
        out = Uninitialised((rows, columns), x.dtype)
        wide = rows == 1 or columns % TYPES[dtype][1] == 0
        forward = launch(
            activation, "act_forward", function, dtype, wide, columns, [x, columns, None, out, rows, columns]
        )
        close(forward.arrays[3], FUNCTIONS[function](values(x, dtype)), dtype)
        backward = launch(
            activation, "act_backward", function, dtype, wide, columns, [grad, x, columns, None, out, rows, columns]
        )
        close(backward.arrays[4], values(grad, dtype) * SLOPES[function](values(x, dtype)), dtype)
        assert [forward.counters.read("0"), forward.counters.written("3")] == [x.nbytes, x.nbytes]
        assert [backward.counters.read(n) for n in "01"] == [x.nbytes, x.nbytes]
        assert backward.counters.written("4") == x.nbytes
        if columns % 64 == 0:
            assert forward.counters.sector_efficiency == backward.counters.sector_efficiency == 1


@pytest.mark.parametrize("dtype", MOST_TYPES)
@pytest.mark.parametrize("function", ["Silu", "Gelu", "Relu"])
def test_gated_kinds_on_a_packed_projection(activation: Program, function: str, dtype: str) -> None:
    for rows, columns in SHAPES:
        x, grad = draw((rows, 2 * columns), dtype), draw((rows, columns), dtype)
        half = columns * x.itemsize
        gate, up = (values(part, dtype) for part in (x[:, :columns], x[:, columns:]))
        wide = half % 16 == 0  # the second half is aligned
        common = [2 * columns, 2 * columns, None, None]
        out = Uninitialised((rows, columns), x.dtype)
        forward = launch(
            activation, "glu_forward", function, dtype, wide, columns, [x, View(0, half), *common, out, rows, columns]
        )
        close(forward.arrays[6], FUNCTIONS[function](gate) * up, dtype)
        assert forward.counters.read("0") == x.nbytes
        assert forward.counters.written("6") == x.nbytes // 2
        both = Uninitialised(x.shape, x.dtype)
        arguments = [grad, x, View(1, half), *common, both, View(7, half), 2 * columns, rows, columns]
        backward = launch(activation, "glu_backward", function, dtype, wide, columns, arguments)
        want = values(grad, dtype) * np.stack([up * SLOPES[function](gate), FUNCTIONS[function](gate)])
        close(backward.arrays[7][:, :columns], want[0], dtype)
        close(backward.arrays[7][:, columns:], want[1], dtype)
        assert backward.counters.read("0") + backward.counters.read("1") == grad.nbytes + x.nbytes
        assert backward.counters.written("7") == x.nbytes
        if columns % 64 == 0:
            assert forward.counters.sector_efficiency == backward.counters.sector_efficiency == 1


@pytest.mark.parametrize("dtype", TYPES)
def test_biases_strides_and_starts_that_are_not_aligned(activation: Program, dtype: str) -> None:
    base, bias = draw((4, 50), dtype), draw((40,), dtype)
    # Rows of 50 that begin at the third element: nothing is aligned, so the launcher takes single elements.
    shifted, out = base.ravel()[3:].copy(), Uninitialised((4, 40), base.dtype)
    result = launch(activation, "act_forward", "Gelu", dtype, False, 40, [shifted, 50, bias, out, 4, 40])
    want = FUNCTIONS["Gelu"](values(base[:, 3:43], dtype) + values(bias, dtype))
    close(result.arrays[3], want, dtype)
    rows = draw((3, 48), dtype)  # aligned rows, wider than what is read
    result = launch(
        activation, "act_forward", "Gelu", dtype, True, 40, [rows, 48, bias, Uninitialised((3, 40), rows.dtype), 3, 40]
    )
    close(result.arrays[3], FUNCTIONS["Gelu"](values(rows[:, :40], dtype) + values(bias, dtype)), dtype)


def test_a_pack_where_rows_are_not_aligned_would_be_caught(activation: Program) -> None:
    """What the launcher must not do: 16-byte accesses at rows of 37 floats."""
    x = draw((2, 37), "float32")
    arguments = [x, 37, None, Uninitialised((2, 37), x.dtype), 2, 37]
    with pytest.raises(MemoryFault, match="misaligned"):
        launch(activation, "act_forward", "Silu", "float32", True, 37, arguments)


def test_no_kernel_computes_in_float64(
    activation: Program,
    norm: Program,
    softmax: Program,
    rotary: Program,
    cross_entropy: Program,
    attention: Program,
    attention_backward: Program,
) -> None:
    """A wrong overload of exp once did: right in every digit, and a thirtieth of the speed."""
    for program in (activation, norm, softmax, rotary, cross_entropy, attention, attention_backward):
        for kernel in program.kernels.values():
            wide = {i.op for i in kernel.instructions if "f64" in i.op}
            assert wide <= {("ld", "param", "f64"), ("cvt", "rn", "f32", "f64")}, kernel.name
