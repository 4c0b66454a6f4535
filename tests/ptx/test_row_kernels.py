"""The CUDA kernels of softmax, rotary and cross-entropy, executed: against float64, and the bytes they move."""

from __future__ import annotations

import numpy as np
import pytest

from benchsuite.cuda_ext.launches import row_threads
from benchsuite.cuda_ext.ptx import Program, Struct, Uninitialised, View
from tests.ptx.kernels import TYPES, Array, close, draw, rounded_up, stored, values

pytestmark = pytest.mark.slow

H = 3
SLOPES = np.array([0.5, 0.25, 0.125], np.float32)
# (queries, keys, causal): single, odd, one past a pack, keys before the first query, several warps.
SOFTMAX = [(1, 1, True), (5, 5, True), (3, 16, True), (4, 20, False), (2, 37, True), (2, 264, True)]


def softmax_exact(s: Array, scale: float, slopes: Array | None, causal: bool) -> Array:
    heads, Tq, Tk = s.shape
    distance = np.arange(Tk)[None, :] - (Tk - Tq + np.arange(Tq))[:, None]
    s = s * scale + (0 if slopes is None else slopes[np.arange(heads) % H, None, None] * distance)
    s = np.where((distance > 0) & causal, -np.inf, s)
    p = np.exp(s - s.max(-1, keepdims=True))
    return np.asarray(p / p.sum(-1, keepdims=True))


def seen_bytes(Tq: int, Tk: int, causal: bool, lanes: int, size: int) -> int:
    """Of one head: what the rows see, rounded up to packs."""
    return sum(min(Tk, rounded_up(Tk - Tq + q + 1 if causal else Tk, lanes)) for q in range(Tq)) * size


@pytest.mark.parametrize("dtype", TYPES)
def test_softmax_and_its_gradient(softmax: Program, dtype: str) -> None:
    mangled, lanes, _ = TYPES[dtype]
    for Tq, Tk, causal in SOFTMAX:
        s, grad = draw((2 * H, Tq, Tk), dtype), draw((2 * H, Tq, Tk), dtype, 1)
        n, rows = lanes if Tk % lanes == 0 else 1, 2 * H * Tq
        grid, block = (min(rows, 4),), (row_threads(Tk, n, 16 // n if n > 1 else 4),)
        out = Uninitialised(s.shape, s.dtype)
        for slopes in (SLOPES, None):
            arguments = [s, slopes, 0.3, int(causal), out, rows, H, Tq, Tk]
            result = softmax.launch(f"softmax_forward_kernelI{mangled}Li{n}E", grid, block, arguments)
            close(result.arrays[4], softmax_exact(values(s, dtype), 0.3, slopes, causal), dtype)
            assert result.counters.read("0") == 2 * H * seen_bytes(Tq, Tk, causal, n, s.itemsize)
            assert result.counters.written("4") == s.nbytes
            assert result.counters.bank_conflicts == 0
        p = result.arrays[4]
        arguments = [grad, p, 0.3, int(causal), out, rows, Tq, Tk]
        result = softmax.launch(f"softmax_backward_kernelI{mangled}Li{n}E", grid, block, arguments)
        g, y = values(grad, dtype), values(p, dtype)
        close(result.arrays[4], (g - (g * y).sum(-1, keepdims=True)) * y * 0.3, dtype)
        assert result.counters.read("0") == 2 * H * seen_bytes(Tq, Tk, causal, n, s.itemsize)
        assert result.counters.written("4") == s.nbytes


def test_softmax_of_a_row_longer_than_the_registers(softmax: Program) -> None:
    s = draw((1, 1, 4099), "float32")
    arguments = [s, SLOPES, 1.0, 0, Uninitialised(s.shape, s.dtype), 1, H, 1, 4099]
    result = softmax.launch("softmax_forward_kernelIfLi1E", (1,), (1024,), arguments)
    close(result.arrays[4], softmax_exact(s.astype(np.float64), 1.0, SLOPES, False), "float32")


# --- rotary -----------------------------------------------------------------------------------------------------------


def turned(x: Array, cos: Array, sin: Array, interleaved: bool) -> Array:
    R = 2 * cos.shape[-1]
    left, right = (x[..., 0:R:2], x[..., 1:R:2]) if interleaved else (x[..., : R // 2], x[..., R // 2 : R])
    out = x.copy()
    a, b = left * cos - right * sin, right * cos + left * sin
    if interleaved:
        out[..., 0:R:2], out[..., 1:R:2] = a, b
    else:
        out[..., : R // 2], out[..., R // 2 : R] = a, b
    return out


def heads(name: str, shape: tuple[int, ...], size: int, offset: int = 0) -> Struct:
    """Heads of (B, T, H, D)."""
    _, T, H, D = shape
    return Struct((View(name, offset * size), T * H * D, D, H * D))


@pytest.mark.parametrize("interleaved", [False, True])
@pytest.mark.parametrize("dtype", TYPES)
def test_rotary_of_q_and_k_in_one_launch(rotary: Program, dtype: str, interleaved: bool) -> None:
    mangled, lanes, _ = TYPES[dtype]
    for B, T, heads_, D, R in [
        (2, 3, 3, 32, 32),
        (1, 1, 2, 64, 64),
        (1, 2, 1, 64, 32),
        (1, 3, 2, 6, 6),
        (1, 1, 1, 10, 4),
    ]:
        q, k = draw((B, T, heads_, D), dtype), draw((B, T, heads_, D), dtype, 1)
        angles = np.random.default_rng(0).standard_normal((T, R // 2)).astype(np.float32)
        cos, sin = np.cos(angles), np.sin(angles)
        wide = (R if interleaved else R // 2) % lanes == 0 and D % lanes == 0
        n = lanes if wide else 1
        buffers = {"q": q, "k": k, "a": Uninitialised(q.shape, q.dtype), "b": Uninitialised(q.shape, q.dtype)}
        shapes = [heads(name, q.shape, q.itemsize) for name in "qakb"]
        arguments = [*shapes, B, heads_, T, D, R, cos, sin, 0, 1.0]
        name = f"rotary_kernelI{mangled}Li{n}ELb{int(interleaved)}E"
        result = rotary.launch(name, (min(B * T, 4),), (64,), arguments, buffers=buffers)
        for got, x in (("a", q), ("b", k)):
            want = turned(values(x, dtype), cos[:, None, :].astype(float), sin[:, None, :].astype(float), interleaved)
            close(result.arrays[got], want, dtype)
        assert [result.counters.read(x) for x in "qk"] == [result.counters.written(x) for x in "ab"] == [q.nbytes] * 2
        if wide and R == D:
            assert (
                result.counters.efficiency(*"qkab") > 0.9
            )  # cosines and sines come from the L1 cache after the first head
        places = [heads(name, q.shape, q.itemsize) for name in "qqkk"]
        inside = rotary.launch(name, (2,), (32,), [*places, *arguments[4:]], buffers={"q": q, "k": k})
        np.testing.assert_array_equal(inside.arrays["q"], result.arrays["a"])
        np.testing.assert_array_equal(inside.arrays["k"], result.arrays["b"])


# --- cross-entropy --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("columns", [1, 5, 64, 1031])
def test_cross_entropy_rows(cross_entropy: Program, dtype: str, columns: int) -> None:
    logits, rows = draw((5, columns), dtype), 5
    targets = np.array([0, columns - 1, -100, columns // 2, columns - 1])
    for gradient in (False, True):
        arguments = [logits, targets, -100, 0.25, int(gradient), Uninitialised((rows,), np.float32), rows, columns]
        result = cross_entropy.launch(f"cross_entropy_kernelI{TYPES[dtype][0]}E", (2,), (64,), arguments)
        x = values(logits, dtype)
        logs = x - x.max(1, keepdims=True)
        logs -= np.log(np.exp(logs).sum(1, keepdims=True))
        counted = targets != -100
        at = np.where(counted, targets, 0)
        want = np.where(counted, -logs[np.arange(rows), at], 0)
        np.testing.assert_allclose(result.arrays[5], want, atol=2e-5)
        if not gradient:
            np.testing.assert_array_equal(result.arrays[0], logits)
            assert logits.nbytes * 4 // 5 <= result.counters.read("0") <= logits.nbytes + 4 * 64 * logits.itemsize
            continue
        slope = np.exp(logs)
        slope[np.arange(rows), at] -= 1
        close(result.arrays[0], slope * 0.25 * counted[:, None], dtype)
        assert result.counters.written("0") == logits.nbytes


@pytest.mark.parametrize("dtype", TYPES)
def test_classes_of_minus_infinity_have_no_share(cross_entropy: Program, dtype: str) -> None:
    logits = draw((2, 1031), dtype)
    hidden = np.arange(1031) < 700  # all that some threads see
    logits[:, hidden] = stored(np.array(-np.inf, np.float32), dtype)
    targets = np.array([900, 1030])
    arguments = [logits, targets, -100, 1.0, 1, Uninitialised((2,), np.float32), 2, 1031]
    result = cross_entropy.launch(f"cross_entropy_kernelI{TYPES[dtype][0]}E", (2,), (64,), arguments)
    x = values(logits, dtype)
    logs = x - x.max(1, keepdims=True)
    logs -= np.log(np.exp(logs).sum(1, keepdims=True))
    np.testing.assert_allclose(result.arrays[5], -logs[[0, 1], targets], atol=2e-5)
    want = np.exp(logs)
    want[[0, 1], targets] -= 1
    close(result.arrays[0], want, dtype)


def test_a_target_that_is_no_class_gives_nan_and_touches_nothing_else(cross_entropy: Program) -> None:
    logits, losses = draw((2, 8), "float32"), Uninitialised((2,), np.float32)
    arguments = [logits, np.array([8, 3]), -100, 1.0, 0, losses, 2, 8]
    result = cross_entropy.launch("cross_entropy_kernelIfE", (1,), (32,), arguments)
    assert np.isnan(result.arrays[5]).tolist() == [True, False]
