"""Instructions without arithmetic: moves, conversions, comparisons, choices."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from benchsuite.cuda_ext.ptx.arithmetic import COMPARE, TYPES, UnknownInstruction

if TYPE_CHECKING:
    from benchsuite.cuda_ext.ptx.machine import Machine

Array = NDArray[Any]
Threads = NDArray[np.int64]
Step = Callable[[Threads], None]
CONVERT_FLOATS = {"bf16", "f16", "f32", "f64"}


def move(machine: Machine, op: tuple[str, ...], operands: tuple[str, ...]) -> Step:
    kind, (to, source) = op[-1], operands
    if op[0] == "cvta" and "global" not in op and "shared" not in op:
        raise UnknownInstruction(".".join(op))
    if source.startswith("{"):  # pack: the first is the lowest
        names = source.strip("{}").split(",")
        part = f"u{TYPES[kind].itemsize * 8 // len(names)}"
        reads, write = [machine.reads(name, part) for name in names], machine.writes(to, kind)
        return lambda active: write(
            active, np.ascontiguousarray(np.stack([r(active) for r in reads], 1)).view(TYPES[kind])[:, 0]
        )
    if to.startswith("{"):
        names = to.strip("{}").split(",")
        part = f"u{TYPES[kind].itemsize * 8 // len(names)}"
        read, writes = machine.reads(source, kind), [machine.writes(name, part) for name in names if name != "_"]
        kept = [number for number, name in enumerate(names) if name != "_"]

        def unpack(active: Threads) -> None:
            parts = np.ascontiguousarray(read(active)).view(TYPES[part]).reshape(len(active), -1)
            for number, one in zip(kept, writes, strict=True):
                one(active, parts[:, number])

        return unpack
    read, write = machine.reads(source, kind), machine.writes(to, kind)
    return lambda active: write(active, read(active))


def convert(machine: Machine, op: tuple[str, ...], operands: tuple[str, ...]) -> Step:
    *modifiers, to, source = op[1:]
    how = [m for m in modifiers if m not in ("ftz",)]
    floats = (to in CONVERT_FLOATS, source in CONVERT_FLOATS)
    if to.endswith("x2") and source == "f32" and how == ["rn"]:  # the first operand is the upper half
        one = to.removesuffix("x2")
        upper, lower = (machine.reads(name, "f32") for name in operands[1:])
        write = machine.writes(operands[0], "b32")

        def pack(active: Threads) -> None:
            halves = [_to_bits(read(active), one).astype(np.uint32) for read in (lower, upper)]
            write(active, halves[0] | halves[1] << np.uint32(16))

        return pack
    allowed = {(False, False): ([],), (True, False): (["rn"],), (False, True): (["rzi"], ["rni"], ["rmi"], ["rpi"])}
    allowed[True, True] = ([], ["rn"], ["rzi"], ["rni"], ["rmi"], ["rpi"])
    if how not in allowed[floats]:
        raise UnknownInstruction(".".join(op))
    read, write = machine.reads(operands[1], source), machine.writes(operands[0], "b16" if to == "bf16" else to)
    rounding = {"rzi": np.trunc, "rni": np.rint, "rmi": np.floor, "rpi": np.ceil}.get((how or [""])[0])

    def convert(active: Threads) -> None:
        values = read(active)
        if source == "bf16":
            values = (values.astype(np.uint32) << np.uint32(16)).view(np.float32)
        if rounding is not None:
            values = rounding(values)
        if floats == (False, True):  # out of range goes to the nearest that is in it, NaN to 0
            info = np.iinfo(TYPES[to])
            values = np.nan_to_num(values.astype(np.float64), nan=0.0, posinf=float(info.max), neginf=float(info.min))
            inside = np.clip(values, float(info.min), float(info.max))
            top = inside >= float(info.max)
            values = np.where(top, info.max, np.where(top, 0, inside).astype(TYPES[to]))
        write(active, _to_bits(values, "bf16") if to == "bf16" else values.astype(TYPES[to]))

    return convert


def compare(machine: Machine, op: tuple[str, ...], operands: tuple[str, ...]) -> Step:
    flags = [m for m in op[1:-1] if m != "ftz"]
    kind = op[-1]
    combine = flags[1] if len(flags) == 2 and flags[1] in ("and", "or", "xor") else None
    if flags[0] not in COMPARE or len(flags) > 2 or (len(flags) == 2 and combine is None) or "|" in operands[0]:
        raise UnknownInstruction(".".join(op))
    compare = COMPARE[flags[0]]
    a, b, write = (
        machine.reads(operands[1], kind),
        machine.reads(operands[2], kind),
        machine.writes(operands[0], "pred"),
    )
    if combine is None:
        return lambda active: write(active, compare(a(active), b(active)))
    third = operands[3]
    c, negated = machine.reads(third.lstrip("!"), "pred"), third.startswith("!")
    join = {"and": np.logical_and, "or": np.logical_or, "xor": np.logical_xor}[combine]
    return lambda active: write(active, join(compare(a(active), b(active)), c(active) != negated))


def select(machine: Machine, op: tuple[str, ...], operands: tuple[str, ...]) -> Step:
    if len(op) != 2:
        raise UnknownInstruction(".".join(op))
    a, b = (machine.reads(name, op[1]) for name in operands[1:3])
    predicate, write = machine.reads(operands[3], "pred"), machine.writes(operands[0], op[1])
    return lambda active: write(active, np.where(predicate(active), a(active), b(active)))


def to_bf16(values: Array) -> NDArray[np.uint16]:
    """float32 to the bits of bfloat16, to nearest even; NaN to 0x7fff, as cvt.rn.bf16.f32 gives."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    rounded = (bits + np.uint32(0x7FFF) + (bits >> np.uint32(16) & np.uint32(1))) >> np.uint32(16)
    return np.where(np.isnan(values), np.uint32(0x7FFF), rounded).astype(np.uint16)


def from_bf16(bits: Array) -> NDArray[np.float32]:
    return (np.ascontiguousarray(bits, np.uint16).astype(np.uint32) << np.uint32(16)).view(np.float32)


def _to_bits(values: Array, kind: str) -> NDArray[np.uint16]:
    return to_bf16(values) if kind == "bf16" else values.astype(np.float16).view(np.uint16)
