"""Sample launches of every kernel, as its launcher would make them: what `benchsuite kernels check` executes, and what
`benchsuite kernels predict` counts.

A sample has the rows' true length and few rows; how often it fits into the real work is its `scale`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchsuite.cuda_ext.build_plan import CSRC
from benchsuite.cuda_ext.ptx import Argument, Buffer, Struct, Uninitialised, View, to_bf16

# By type: its mangled name, elements in 16 bytes.
TYPES = {"float32": ("f", 4), "bfloat16": ("13__nv_bfloat16", 8), "float16": ("6__half", 8)}


@dataclass(frozen=True)
class Launch:
    """One kernel of `file` (a .cu of cuda_ext/csrc/cuda, or any path), found by parts of its mangled name.

    `shared` bytes are asked for at launch. Of `shared_by_rows` buffers (weights) every block reads the same bytes.
    """

    file: str
    name: tuple[str, ...]
    grid: tuple[int, ...]
    block: tuple[int, ...]
    arguments: tuple[Argument, ...]
    shared: int = 0
    buffers: Mapping[str, Buffer] = field(default_factory=dict)
    shared_by_rows: tuple[str | int, ...] = ()

    @property
    def path(self) -> Path:
        return CSRC / "cuda" / self.file  # which an absolute file replaces


@dataclass(frozen=True)
class Work:
    """One pass of one operator at one model's shape: samples with how many times each fits into the whole.

    Where a pass grows with the square of the length (`squares`), the two samples are of 1 and of 2 tiles of a head, and
    the scales say how many tiles, and how many pairs of tiles, there are.
    """

    operator: str
    direction: str
    dtype: str
    shape: str
    samples: tuple[Launch, ...]
    scales: tuple[float, ...]
    squares: bool = False


@dataclass(frozen=True)
class Model:
    """A block of a real model: tokens in a batch of `seq`, and what the kernels' shapes depend on."""

    name: str
    batch: int
    seq: int
    width: int
    heads: int
    vocab: int

    @property
    def rows(self) -> int:
        return self.batch * self.seq

    @property
    def head_size(self) -> int:
        return self.width // self.heads


# The blocks of suites/micro.yaml; 1.3B is the original study's, the others GPT-3's and BLOOM's.
MODELS = (
    Model("125m", 8, 2048, 768, 12, 50304),
    Model("1b3", 8, 2048, 2048, 16, 50304),
    Model("13b", 4, 2048, 5120, 40, 50304),
    Model("176b", 2, 2048, 14336, 112, 250880),
)


def _draw(shape: tuple[int, ...], dtype: str) -> NDArray[Any]:
    x = np.random.default_rng(list(shape)).standard_normal(shape).astype(np.float32)
    return to_bf16(x) if dtype == "bfloat16" else x.astype(dtype)


def _empty(shape: tuple[int, ...], dtype: str) -> Uninitialised:
    return Uninitialised(shape, np.uint16 if dtype == "bfloat16" else dtype)


def row_threads(columns: int, lanes: int, packs: int, most: int = 1024) -> int:
    """As rows.cuh has it."""
    return min(most, max(32, -(-columns // (lanes * packs * 32)) * 32))


def works(model: Model, dtype: str) -> Iterator[Work]:
    """Every operator, forward and backward, at the model's shape."""
    yield from _activations(model, dtype)
    yield from _norms(model, dtype)
    yield from _rotary(model, dtype)
    yield from _softmax(model, dtype)
    yield from _attention(model, dtype)
    yield from _cross_entropy(model, dtype)


def _activations(model: Model, dtype: str) -> Iterator[Work]:
    mangled, lanes = TYPES[dtype]
    rows, scale = 2, model.rows / 2

    def launch(kernel: str, function: str, columns: int, *arguments: Argument) -> Launch:
        packs = columns // lanes
        block = min(256, -(-packs // 32) * 32)
        name = (f"{kernel}_kernel", f"I{mangled}NS0_{len(function)}{function}ELi{lanes}E")
        return Launch("activation.cu", name, (-(-packs // block), rows), (block,), (*arguments, rows, columns))

    columns = 4 * model.width
    x, y = _draw((rows, columns), dtype), _empty((rows, columns), dtype)
    for operator, function in (("gelu", "Gelu"), ("relu2", "Relu2")):
        forward = launch("act_forward", function, columns, x, columns, None, y)
        backward = launch("act_backward", function, columns, x, x, columns, None, y)
        yield Work(operator, "forward", dtype, model.name, (forward,), (scale,))
        yield Work(operator, "backward", dtype, model.name, (backward,), (scale,))
    columns = -(-8 * model.width // 3 // 64) * 64  # iso-parameter
    both, half = _draw((rows, 2 * columns), dtype), columns * _draw((1,), dtype).itemsize
    y, grad, d = _empty((rows, columns), dtype), _draw((rows, columns), dtype), _empty((rows, 2 * columns), dtype)
    for operator, function in (("swiglu", "Silu"), ("geglu", "Gelu")):
        strides = (2 * columns, 2 * columns, None, None)
        forward = launch("glu_forward", function, columns, both, View(0, half), *strides, y)
        backward = launch(
            "glu_backward", function, columns, grad, both, View(1, half), *strides, d, View(7, half), 2 * columns
        )
        yield Work(operator, "forward", dtype, model.name, (forward,), (scale,))
        yield Work(operator, "backward", dtype, model.name, (backward,), (scale,))


def _norms(model: Model, dtype: str) -> Iterator[Work]:
    mangled, lanes = TYPES[dtype]
    columns, rows = model.width, 8
    element = list(TYPES).index(dtype)
    x, w = _draw((rows, columns), dtype), _draw((columns,), dtype)
    index = np.arange(rows)[::-1].copy()
    mean, rstd = np.zeros(rows, np.float32), np.ones(rows, np.float32)
    for operator, table in (("layer_norm", False), ("embedding_layer_norm", True)):
        at = View("index") if table else None
        struct = Struct((element, View("x"), None, at, None, columns, 0, rows, columns, rows, 0))
        buffers: dict[str, Buffer] = {"x": x}
        if table:
            buffers["index"] = index
        outputs = (_empty((rows, columns), dtype), *[Uninitialised((rows,), np.float32)] * 2)
        name = (f"norm_forward_kernelI{mangled}Li{lanes}ELb0E",)
        block = (row_threads(columns, lanes, 16 // lanes),)
        forward = Launch("norm.cu", name, (rows,), block, (struct, w, w, 1e-5, *outputs), 0, buffers, (1, 2))
        yield Work(operator, "forward", dtype, model.name, (forward,), (model.rows / rows,))
        out = "f" if table or dtype == "float32" else "S3_"  # the same type again, as the compiler shortens it
        wide = 4 if table else lanes  # packs fill 16 bytes of what is written
        packs, rest = (8 // wide, 0) if columns <= 4096 else (16 // wide, 1)
        name = (f"norm_backward_kernelI{mangled}{out}Li{wide}ELi{packs}ELb{rest}E",)
        dx = Uninitialised((rows, columns), np.float32) if table else _empty((rows, columns), dtype)
        blocks = max(1, min(528, model.rows // 16))
        arguments: tuple[Argument, ...] = (struct, x, w, mean, rstd, dx, Uninitialised((1, 2, columns), np.float32))
        block = (row_threads(columns, wide, packs, 512),)
        backward = Launch("norm.cu", name, (1,), block, arguments, 0, buffers, (2, 6))
        partial = np.zeros((8, 2 * columns), np.float32)
        name = (f"norm_reduce_kernelI{mangled}E",)
        sums = (partial, 8, _empty((columns,), dtype), _empty((columns,), dtype), 2 * columns)
        reduce = Launch("norm.cu", name, (-(-2 * columns // 32),), (32, 8), sums, 0, {}, (2, 3))
        scales = (model.rows / rows, blocks / 8)
        yield Work(operator, "backward", dtype, model.name, (backward, reduce), scales)


def _rotary(model: Model, dtype: str) -> Iterator[Work]:
    mangled, lanes = TYPES[dtype]
    places, H, D = 4, model.heads, model.head_size
    q, angles = _draw((1, places, H, D), dtype), np.linspace(0, 1, places * D // 2, dtype=np.float32)
    buffers: dict[str, Buffer] = {"q": q, "k": q, "a": _empty(q.shape, dtype), "b": _empty(q.shape, dtype)}
    heads = [Struct((View(name), places * H * D, D, H * D)) for name in "qakb"]
    arguments: tuple[Argument, ...] = (*heads, 1, H, places, D, D, np.cos(angles), np.sin(angles), 0, 1.0)
    block = (max(32, min(256, -(-(H * D // lanes) // 32) * 32)),)
    name = (f"rotary_kernelI{mangled}Li{lanes}ELb0E",)
    launch = Launch("rotary.cu", name, (places,), block, arguments, 0, buffers)
    for direction in ("forward", "backward"):  # which turns back
        yield Work("rotary", direction, dtype, model.name, (launch,), (model.rows / places,))


def _softmax(model: Model, dtype: str) -> Iterator[Work]:
    """Without the causal mask: every row sees all keys."""
    mangled, lanes = TYPES[dtype]
    rows, T = 4, model.seq
    s, out = _draw((1, rows, T), dtype), _empty((1, rows, T), dtype)
    block = (row_threads(T, lanes, 16 // lanes),)
    scale = model.batch * model.heads * T / rows
    name = (f"softmax_forward_kernelI{mangled}Li{lanes}E",)
    arguments = (s, np.ones(1, np.float32), 0.1, 0, out, rows, 1, rows, T)
    forward = Launch("softmax.cu", name, (rows,), block, arguments)
    name = (f"softmax_backward_kernelI{mangled}Li{lanes}E",)
    backward = Launch("softmax.cu", name, (rows,), block, (s, s, 0.1, 0, out, rows, rows, T))
    yield Work("alibi_softmax, all keys", "forward", dtype, model.name, (forward,), (scale,))
    yield Work("alibi_softmax, all keys", "backward", dtype, model.name, (backward,), (scale,))


@dataclass(frozen=True)
class _Tiles:
    """The tiles of attention.cu and attention_backward.cu for a type and a head's size: rows that a block owns, keys of
    the forward pass, rows that the backward pass goes over."""

    dtype: str
    D: int

    @property
    def itemsize(self) -> int:
        return 16 // TYPES[self.dtype][1]

    @property
    def size(self) -> int:
        return next(size for size in (32, 64, 96, 128) if size >= self.D)

    @property
    def own(self) -> int:
        return 64 if self.itemsize == 2 else 32

    @property
    def others(self) -> int:
        return (64 if self.size > 64 else 128) // self.itemsize

    def launch(self, tiles: int, sums: str | None, *outputs: str) -> Launch:
        """One head of so many tiles: the forward pass, or the backward pass for the `sums` of its enumeration."""
        T, D = tiles * self.own, self.D
        shape = (1, T, 1, D)
        given: dict[str, Buffer] = {name: _draw(shape, self.dtype) for name in ("q", "k", "v", "dout")}
        given["slopes"] = np.full(1, 0.5, np.float32)
        given |= {name: np.zeros(T, np.float32) for name in ("lse", "delta")}
        given |= {name: _empty(shape, self.dtype) for name in outputs}
        if sums is None:
            given["lse"] = Uninitialised((T,), np.float32)

        def heads(name: str) -> tuple[Any, ...]:
            return View(name) if name in given else None, T * D, D, D

        members = (
            list(TYPES).index(self.dtype), 1, 1, T, T, D, 1, *heads("q"), *heads("k"), *heads("v"), *heads("out"),
            View("lse"), View("slopes"), None, None, 1, D**-0.5,
            *heads("dout"), *heads("dq"), *heads("dk"), *heads("dv"),
        )  # fmt: skip
        arguments: tuple[Argument, ...] = (Struct(members), b"\1" * 8)
        rows, file = 3 * self.own, "attention.cu"
        name: tuple[str, ...] = ("attention_forward_kernel",)
        if sums is not None:
            rows, file = 2 * self.own + 4 * self.others, "attention_backward.cu"
            name = ("attention_backward_kernel", f"4SumsE{sums}E")
            arguments = (*arguments, View("delta"))
        shared = max(rows * (self.size + 16 // self.itemsize) * self.itemsize, self.own * (self.size + 8) * 4)
        name = (*name, f"I{TYPES[self.dtype][0]}Li{self.size}E")
        return Launch(file, name, (tiles,), (self.own * 2,), arguments, shared, given)


def _attention(model: Model, dtype: str) -> Iterator[Work]:
    tile = _Tiles(dtype, model.head_size)
    tiles, heads = -(-model.seq // tile.own), model.batch * model.heads
    scales = (float(heads * tiles), float(heads * tiles * (tiles + 1) / 2))
    samples = tuple(tile.launch(n, None, "out") for n in (1, 2))
    yield Work("attention, ALiBi", "forward", dtype, model.name, samples, scales, squares=True)
    sums = {"0": ("dq",), "3": ("dk", "dv")} if tile.size <= 64 else {"0": ("dq",), "1": ("dk",), "2": ("dv",)}
    samples = tuple(tile.launch(n, kind, *outputs) for kind, outputs in sums.items() for n in (1, 2))
    yield Work("attention, ALiBi", "backward", dtype, model.name, samples, scales, squares=True)


def _cross_entropy(model: Model, dtype: str) -> Iterator[Work]:
    rows, columns = 2, model.vocab
    targets, losses = np.array([3, columns - 1]), Uninitialised((rows,), np.float32)
    arguments = (_draw((rows, columns), dtype), targets, -100, 1.0, 1, losses, rows, columns)
    name = (f"cross_entropy_kernelI{TYPES[dtype][0]}E",)
    launch = Launch("cross_entropy.cu", name, (rows,), (512,), arguments)
    yield Work("cross_entropy rows", "both", dtype, model.name, (launch,), (model.rows / rows,))
