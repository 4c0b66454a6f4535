"""The attention's CUDA kernels, executed: tensor cores, asynchronous copies and all, against float64."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from benchsuite.cuda_ext.ptx import Program, Result, Struct, Uninitialised, View
from tests.ptx.kernels import MOST_TYPES, TYPES, Array, close, draw, rounded_up, values

pytestmark = pytest.mark.slow

SIZES = {"float32": 32, "bfloat16": 64, "float16": 64}  # queries, or keys, of a block
KEYS = {"float32": 32, "bfloat16": 64, "float16": 64}  # of a tile of the forward pass
DQ, DK, DV, BOTH = range(4)


# Shared accesses of the loops over tiles; those of the epilogue's stage may conflict.
HOT = ("ldmatrix", "cp.async", "st.shared.v4.b32", "st.shared.v2.b32", "ld.shared.v4.f32")


def no_conflicts(result: Result, dtype: str) -> None:
    hot = HOT if dtype == "float32" else HOT[:-1]
    assert {op: result.counters.conflicts[op] for op in hot} == dict.fromkeys(hot, 0)


@dataclass(frozen=True)
class Problem:
    """(batch, heads, queries, keys, channels), and what the scores depend on."""

    shape: tuple[int, int, int, int, int]
    causal: bool = True
    alibi: bool = False
    rotary: bool = False
    group: int = 1  # heads of queries that share one of keys and values

    @property
    def head_size(self) -> int:
        return next(size for size in (32, 64, 96, 128) if self.shape[4] <= size)


PROBLEMS = [
    Problem((1, 1, 1, 1, 8)),
    Problem((1, 3, 5, 5, 32), alibi=True),
    Problem((1, 1, 70, 70, 64), alibi=True),  # more than a block, and more than a tile of keys
    Problem((1, 2, 3, 67, 24), rotary=True),  # the queries are the last places; channels beyond 24 are zeros
    Problem((2, 1, 9, 33, 20), causal=False, alibi=True, rotary=True),  # 20 channels are no whole packs of 16 bits
    Problem((1, 1, 17, 17, 80), rotary=True),
    Problem((1, 1, 12, 40, 128), alibi=True, rotary=True),
    Problem((2, 4, 5, 19, 32), rotary=True, group=2),
    Problem((1, 3, 33, 33, 24), causal=False, alibi=True, group=3),
]
NAMES = [
    f"{p.shape}{'' if p.causal else '-all'}{'-alibi' * p.alibi}{'-rotary' * p.rotary}{f'-by {p.group}' * (p.group > 1)}"
    for p in PROBLEMS
]


class Case:
    """A problem in a type: buffers, the arguments' struct, and the exact results."""

    def __init__(self, problem: Problem, dtype: str) -> None:
        self.problem, self.dtype = problem, dtype
        B, H, Tq, Tk, D = problem.shape
        # (B, T, H, D), as a projection leaves them
        self.q, self.dout = draw((B, Tq, H, D), dtype, 1), draw((B, Tq, H, D), dtype, 2)
        shared = H // problem.group
        self.k, self.v = draw((B, Tk, shared, D), dtype, 3), draw((B, Tk, shared, D), dtype, 4)
        self.scale = D**-0.5 / 2
        self.slopes = np.array([0.5, 0.25, 0.125][:H], np.float32) if problem.alibi else None
        angles = np.arange(Tk)[:, None] * 100.0 ** -(np.arange(D // 2) / max(1, D // 2))
        self.cos, self.sin = np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)
        self._solve()

    def _turn(self, x: Array, places: slice, sign: int) -> Array:
        if not self.problem.rotary:
            return x
        half = x.shape[-1] // 2
        cos, sin = self.cos[places].astype(float)[:, None], sign * self.sin[places].astype(float)[:, None]
        left, right = x[..., :half], x[..., half:]
        return np.concatenate([left * cos - right * sin, right * cos + left * sin], -1)

    def _solve(self) -> None:
        _, _, Tq, Tk, _ = self.problem.shape
        last = slice(Tk - Tq, Tk)
        q, k = self._turn(values(self.q, self.dtype), last, 1), self._turn(values(self.k, self.dtype), slice(None), 1)
        v, g = values(self.v, self.dtype), values(self.dout, self.dtype)
        k, v = (np.repeat(x, self.problem.group, axis=2) for x in (k, v))
        distance = np.arange(Tk)[None, :] - np.arange(Tk - Tq, Tk)[:, None]
        scores = np.einsum("bihd,bjhd->bhij", q, k) * self.scale
        if self.slopes is not None:
            scores = scores + self.slopes.astype(float)[None, :, None, None] * distance
        if self.problem.causal:
            scores = np.where(distance > 0, -np.inf, scores)
        most = scores.max(-1, keepdims=True)
        self.lse = (most + np.log(np.exp(scores - most).sum(-1, keepdims=True)))[..., 0]
        p = np.exp(scores - self.lse[..., None])
        self.out = np.einsum("bhij,bjhd->bihd", p, v)
        self.delta = np.einsum("bihd,bihd->bhi", self.out, g)
        ds = p * (np.einsum("bihd,bjhd->bhij", g, v) - self.delta[..., None]) * self.scale
        self.dq = self._turn(np.einsum("bhij,bjhd->bihd", ds, k), last, -1)
        self.dk = self._turn(np.einsum("bhij,bihd->bjhd", ds, q), slice(None), -1)
        self.dv = np.einsum("bhij,bihd->bjhd", p, g)

    def launch(self, program: Program, kernel: str, tiles: int, rows: int, shared: int, **buffers: Any) -> Result:
        B, H, Tq, Tk, D = self.problem.shape
        given = {"q": self.q, "k": self.k, "v": self.v, "dout": self.dout, **buffers}

        def heads(name: str) -> tuple[Any, ...]:
            T = Tk if name in ("k", "v", "dk", "dv") else Tq
            count = H // self.problem.group if name in ("k", "v") else H
            return View(name) if name in given else None, T * count * D, D, count * D

        position: list[Any] = [None, None, None]
        for number, (there, name) in enumerate(
            [(self.problem.alibi, "slopes"), (self.problem.rotary, "cos"), (self.problem.rotary, "sin")]
        ):
            if there:
                given[name] = getattr(self, name)
                position[number] = View(name)
        members = (
            list(TYPES).index(self.dtype), B, H, Tq, Tk, D, self.problem.group,
            *heads("q"), *heads("k"), *heads("v"), *heads("out"),
            View("lse") if "lse" in given else None, *position, int(self.problem.causal), self.scale,
            *heads("dout"), *heads("dq"), *heads("dk"), *heads("dv"),
        )  # fmt: skip
        wide = D % TYPES[self.dtype][1] == 0
        arguments: list[Any] = [Struct(members), bytes([wide] * 8)]
        if "delta" in kernel:
            arguments = [Struct(members), View("delta")]
        elif "backward" in kernel:
            arguments.append(View("delta"))
        return program.launch(kernel, (B * H * tiles,), (rows * 2,), arguments, shared, buffers=given)


def shared_rows(case: Case, rows: int) -> int:
    """Bytes of so many rows of a tile, 16 bytes apart, or of the stage that takes their place."""
    size, head_size = case.q.itemsize, case.problem.head_size
    return max(rows * (head_size + 16 // size) * size, SIZES[case.dtype] * (head_size + 8) * 4)


def forward(program: Program, case: Case) -> Result:
    B, H, Tq, _, D = case.problem.shape
    own, dtype = SIZES[case.dtype], case.dtype
    outputs = {"out": Uninitialised((B, Tq, H, D), case.q.dtype), "lse": Uninitialised((B, H, Tq), np.float32)}
    name = f"attention_forward_kernelI{TYPES[dtype][0]}Li{case.problem.head_size}E"
    return case.launch(program, name, -(-Tq // own), own, shared_rows(case, own + 2 * KEYS[dtype]), **outputs)


def backward(program: Program, case: Case, sums: int) -> Result:
    B, H, Tq, Tk, D = case.problem.shape
    own, size = SIZES[case.dtype], case.problem.head_size
    others = (64 if size > 64 else 128) // case.q.itemsize
    names = {DQ: ["dq"], DK: ["dk"], DV: ["dv"], BOTH: ["dk", "dv"]}[sums]
    outputs = {name: Uninitialised((B, Tq if name == "dq" else Tk, H, D), case.q.dtype) for name in names}
    name = f"attention_backward_kernelI{TYPES[case.dtype][0]}Li{size}E"
    kernel = next(k for k in program.kernels if name in k and f"4SumsE{sums}E" in k)
    known = {"lse": case.lse.astype(np.float32), "delta": case.delta.astype(np.float32)}
    tiles = -(-(Tq if sums == DQ else Tk) // own)
    return case.launch(program, kernel, tiles, own, shared_rows(case, 2 * own + 4 * others), **known, **outputs)


def tile_bytes(case: Case, own: int, others: int, tensors: int, keys: bool = False) -> int:
    """Of the rows that the blocks of one side go over, each tile read once by each block that sees it."""
    B, H, Tq, Tk, D = case.problem.shape
    total = 0
    for first in range(0, Tk if keys else Tq, own):
        if keys:
            begin = max(0, first - (Tk - Tq)) // others * others if case.problem.causal else 0
            total += Tq - min(begin, Tq)
        else:
            last = min(Tk, Tk - Tq + min(first + own, rounded_up(Tq, own))) if case.problem.causal else Tk
            total += min(Tk, rounded_up(last, others))
    return total * tensors * B * H * D * case.q.itemsize


@pytest.mark.parametrize("dtype", MOST_TYPES)
@pytest.mark.parametrize("problem", PROBLEMS, ids=NAMES)
def test_the_forward_pass(attention: Program, problem: Problem, dtype: str) -> None:
    case = Case(problem, dtype)
    result = forward(attention, case)
    close(result.arrays["out"], case.out, dtype, 4)
    np.testing.assert_allclose(
        result.arrays["lse"], case.lse, atol=2e-2 if dtype == "bfloat16" and problem.rotary else 4e-3
    )
    counters = result.counters
    assert counters.read("q") == case.q.nbytes
    assert counters.written("out") == case.q.nbytes
    assert counters.read("k") == counters.read("v") == tile_bytes(case, SIZES[dtype], KEYS[dtype], 1)
    no_conflicts(result, dtype)
    if problem.shape[4] % 32 == 0:
        assert counters.efficiency("q", "k", "v", "out") >= 0.9


@pytest.mark.parametrize("dtype", MOST_TYPES)
@pytest.mark.parametrize("problem", PROBLEMS, ids=NAMES)
def test_the_backward_pass(attention_backward: Program, problem: Problem, dtype: str) -> None:
    case = Case(problem, dtype)
    for sums in (DQ, BOTH) if problem.head_size <= 64 else (DQ, DK, DV):
        result = backward(attention_backward, case, sums)
        for name in {"dq", "dk", "dv"} & set(result.arrays):
            close(result.arrays[name], getattr(case, name), dtype, 6)
            assert result.counters.written(name) == result.arrays[name].nbytes
        own, times = (("k", "v"), problem.group) if sums != DQ else (("q", "dout"), 1)
        assert [result.counters.read(name) for name in own] == [getattr(case, name).nbytes * times for name in own]
        no_conflicts(result, dtype)
        if problem.shape[4] % 32 == 0:
            assert result.counters.efficiency("q", "k", "v", "dout") >= 0.9


@pytest.mark.parametrize("dtype", TYPES)
def test_delta(attention_backward: Program, dtype: str) -> None:
    case = Case(PROBLEMS[1], dtype)
    out = case.dout[..., ::-1].copy()
    result = case.launch(attention_backward, f"attention_delta_kernelI{TYPES[dtype][0]}E", 1, 64, 0, out=out,
                         delta=Uninitialised(case.delta.shape, np.float32))  # fmt: skip
    want = np.einsum("bihd,bihd->bhi", values(out, dtype), values(case.dout, dtype))
    np.testing.assert_allclose(result.arrays["delta"], want, atol=1e-4)
