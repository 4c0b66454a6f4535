"""Arithmetic instructions: a function of numpy arrays for every opcode and type.

`operation(op)` gives the function and the types of its operands and of its result. Approximate instructions (ex2, lg2,
rcp, rsqrt, sqrt, tanh) are computed exactly and rounded: closer than the hardware, whose errors the CUDA guide gives.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

TYPES: dict[str, np.dtype[Any]] = {
    **{f"{kind}{bits}": np.dtype(f"u{bits // 8}") for kind in "bu" for bits in (8, 16, 32, 64)},
    **{f"s{bits}": np.dtype(f"i{bits // 8}") for bits in (8, 16, 32, 64)},
    "f16": np.dtype("f2"),
    "f32": np.dtype("f4"),
    "f64": np.dtype("f8"),
    "pred": np.dtype("?"),
}
WIDER = {"s16": "s32", "u16": "u32", "s32": "s64", "u32": "u64"}
COMPARE: dict[str, Callable[[Array, Array], Array]] = {
    "eq": np.equal,
    "ne": lambda a, b: (a != b) & ~_unordered(a, b),
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
    "lo": np.less,
    "ls": np.less_equal,
    "hi": np.greater,
    "hs": np.greater_equal,
    "neu": np.not_equal,
    "equ": lambda a, b: (a == b) | _unordered(a, b),
    "ltu": lambda a, b: ~(a >= b),
    "leu": lambda a, b: ~(a > b),
    "gtu": lambda a, b: ~(a <= b),
    "geu": lambda a, b: ~(a < b),
    "num": lambda a, b: ~_unordered(a, b),
    "nan": lambda a, b: _unordered(a, b),
}
# Modifiers that change nothing here: rounding to nearest is numpy's own, and .approx is computed exactly.
HARMLESS = {"rn", "approx", "full", "ftz"}


class UnknownInstruction(NotImplementedError):  # noqa: N818 - the word for it
    """An opcode or a modifier that is not interpreted; never skipped."""


def _unordered(a: Array, b: Array) -> Array:
    return np.isnan(a) | np.isnan(b) if a.dtype.kind == "f" else np.zeros(a.shape, np.bool_)


def _shift(a: Array, by: Array, left: bool) -> Array:
    bits = a.dtype.itemsize * 8
    amount = np.minimum(by.astype(np.uint64), bits - 1).astype(a.dtype)
    moved = a << amount if left else a >> amount
    over = by >= bits
    return np.where(over, (moved >> amount) if a.dtype.kind == "i" and not left else a.dtype.type(0), moved)


def _high(a: Array, b: Array) -> Array:
    wide = a.astype(np.int64 if a.dtype.kind == "i" else np.uint64) * b.astype(
        np.int64 if a.dtype.kind == "i" else np.uint64
    )
    return (wide >> wide.dtype.type(a.dtype.itemsize * 8)).astype(a.dtype)


def _fma(a: Array, b: Array, c: Array) -> Array:
    """Rounded once: the product of two float32 is exact in float64, whose sum is off by less than float32 sees."""
    if a.dtype == np.float32:
        return (a.astype(np.float64) * b.astype(np.float64) + c.astype(np.float64)).astype(np.float32)
    return a * b + c


def _divide(a: Array, b: Array) -> Array:
    if a.dtype.kind == "f":
        return a / b
    if (b == 0).any():
        raise ZeroDivisionError("an integer division by zero")
    if a.dtype.kind == "u":
        return a // b
    unsigned = f"u{a.dtype.itemsize}"  # the magnitude of the smallest number is none of its own type
    quotient = (np.abs(a).view(unsigned) // np.abs(b).view(unsigned)).view(a.dtype)
    return np.where((a < 0) != (b < 0), -quotient, quotient)


def _minimum(a: Array, b: Array) -> Array:
    return np.fmin(a, b) if a.dtype.kind == "f" else np.minimum(a, b)


def _maximum(a: Array, b: Array) -> Array:
    return np.fmax(a, b) if a.dtype.kind == "f" else np.maximum(a, b)


def _bits(a: Array) -> Array:
    """(n, bits) of each number, the lowest first."""
    return np.unpackbits(np.ascontiguousarray(a)[:, None].view(np.uint8), axis=1, bitorder="little")


def _insert(a: Array, b: Array, position: Array, length: Array) -> Array:
    """The lowest `length` bits of a at `position` of b; both go by their lowest eight bits, as the hardware has it."""
    at, bits = np.arange(a.dtype.itemsize * 8)[None, :], _bits(a)
    start, count = (position & 255).astype(np.int64)[:, None], (length & 255).astype(np.int64)[:, None]
    inside = (at >= start) & (at < start + count)
    shifted = np.take_along_axis(bits, np.clip(at - start, 0, bits.shape[1] - 1), 1)
    return np.packbits(np.where(inside, shifted, _bits(b)), axis=1, bitorder="little").view(a.dtype)[:, 0]


def _extract(a: Array, position: Array, length: Array) -> Array:
    """`length` bits of a from `position`, with their sign for signed types; the sign is the highest bit that exists."""
    width = a.dtype.itemsize * 8
    at, bits = np.arange(width)[None, :], _bits(a)
    start, count = (position & 255).astype(np.int64)[:, None], (length & 255).astype(np.int64)[:, None]
    taken = np.take_along_axis(bits, np.clip(at + start, 0, width - 1), 1) * (at + start < width)
    last = np.take_along_axis(bits, np.clip(start + count - 1, 0, width - 1), 1)
    fill = np.where((a.dtype.kind == "i") & (count > 0), last, 0)
    inside = (at < count) & ((at + start < width) | (a.dtype.kind == "u"))
    return np.packbits(np.where(inside, taken, fill).astype(np.uint8), axis=1, bitorder="little").view(a.dtype)[:, 0]


def _permute(a: Array, b: Array, selector: Array) -> Array:
    """Four bytes of the eight of a and b, each by four bits of the selector; the fourth bit repeats the byte's sign."""
    source = np.ascontiguousarray(np.stack([a, b], 1)).view(np.uint8)
    choices = (selector[:, None] >> np.arange(0, 16, 4, dtype=np.uint32)) & np.uint32(15)
    bytes_ = np.take_along_axis(source, (choices & np.uint32(7)).astype(np.int64), 1)
    signed = np.where(bytes_ & 0x80, np.uint8(255), np.uint8(0))
    return np.ascontiguousarray(np.where(choices & np.uint32(8), signed, bytes_)).view(np.uint32)[:, 0]


def _logic(a: Array, b: Array, c: Array, table: Array) -> Array:
    """Any function of three bits, whose results are the bits of `table`."""
    out = np.zeros_like(a)
    for row in range(8):
        x, y, z = (v if row >> place & 1 else ~v for v, place in ((a, 2), (b, 1), (c, 0)))
        out |= np.where(table >> np.uint32(row) & np.uint32(1), x & y & z, np.uint32(0))
    return out


def _exact(function: Callable[[Array], Array]) -> Callable[[Array], Array]:
    return lambda a: function(a.astype(np.float64)).astype(a.dtype)


UNARY: dict[str, Callable[[Array], Array]] = {
    "neg": lambda a: -a,
    "abs": np.abs,
    "not": lambda a: ~a,
    "ex2": _exact(np.exp2),
    "lg2": _exact(np.log2),
    "rcp": _exact(lambda a: 1 / a),
    "rsqrt": _exact(lambda a: 1 / np.sqrt(a)),
    "sqrt": _exact(np.sqrt),
    "tanh": _exact(np.tanh),
}
BINARY: dict[str, Callable[[Array, Array], Array]] = {
    "add": np.add,
    "sub": np.subtract,
    "div": _divide,
    "rem": lambda a, b: a - _divide(a, b) * b,
    "min": _minimum,
    "max": _maximum,
    "and": np.bitwise_and,
    "or": np.bitwise_or,
    "xor": np.bitwise_xor,
    # PTX: the sign of the first operand on the magnitude of the second.
    "copysign": lambda a, b: np.copysign(b, a),
}


def operation(op: tuple[str, ...]) -> tuple[Callable[..., Array], tuple[str, ...], str]:
    """(function, types of the operands, type of the result) of an arithmetic instruction. Raises UnknownInstruction."""
    name, *modifiers, kind = op
    if kind not in TYPES:
        raise UnknownInstruction(".".join(op))
    flags = [m for m in modifiers if m not in HARMLESS]
    match name, flags:
        case (("neg" | "abs" | "not" | "ex2" | "lg2" | "rcp" | "rsqrt" | "sqrt" | "tanh"), []):
            return UNARY[name], (kind,), kind
        case (("add" | "sub" | "div" | "rem" | "min" | "max" | "and" | "or" | "xor" | "copysign"), []):
            return BINARY[name], (kind, kind), kind
        case "mul", ["wide"]:
            wide = TYPES[WIDER[kind]].type
            return lambda a, b: a.astype(wide) * b.astype(wide), (kind, kind), WIDER[kind]
        case "mad", ["wide"]:
            wide = TYPES[WIDER[kind]].type
            return lambda a, b, c: a.astype(wide) * b.astype(wide) + c, (kind, kind, WIDER[kind]), WIDER[kind]
        case "mul", ["lo"]:
            return np.multiply, (kind, kind), kind
        case "mul", [] if kind[0] == "f":
            return np.multiply, (kind, kind), kind
        case "mul", ["hi"] if kind in ("s32", "u32"):
            return _high, (kind, kind), kind
        case "mad", ["lo"]:
            return lambda a, b, c: a * b + c, (kind, kind, kind), kind
        case "fma", []:
            return _fma, (kind, kind, kind), kind
        case "bfi", []:
            return _insert, (kind, kind, "u32", "u32"), kind
        case "bfe", []:
            return _extract, (kind, "u32", "u32"), kind
        case "prmt", [] if kind == "b32":
            return _permute, (kind, kind, "u32"), kind
        case "lop3", [] if kind == "b32":
            return _logic, (kind, kind, kind, "u32"), kind
        case "popc", []:
            return lambda a: _bits(a).sum(1).astype(np.uint32), (kind,), "u32"
        case "clz", []:
            return (
                lambda a: np.argmax(np.pad(_bits(a)[:, ::-1], ((0, 0), (0, 1)), constant_values=1), 1).astype(
                    np.uint32
                ),
                (kind,),
                "u32",
            )
        case "brev", []:
            return (
                lambda a: np.packbits(_bits(a)[:, ::-1], axis=1, bitorder="little").view(a.dtype)[:, 0],
                (kind,),
                kind,
            )
        case "shl", []:
            return lambda a, b: _shift(a, b, True), (kind, "u32"), kind
        case "shr", []:
            return lambda a, b: _shift(a, b, False), (kind, "u32"), kind
    raise UnknownInstruction(".".join(op))
