"""Loads, stores, parameters and asynchronous copies, each access counted."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from benchsuite.cuda_ext.ptx.arithmetic import TYPES, UnknownInstruction
from benchsuite.cuda_ext.ptx.memory import MemoryFault

if TYPE_CHECKING:
    from benchsuite.cuda_ext.ptx.machine import Machine

Threads = NDArray[np.int64]
Step = Callable[[Threads], None]
CACHE_HINTS = {"nc", "ca", "cg", "cs", "cv", "lu", "wb", "wt", "global", "shared", "param", "L1::no_allocate"}


def access(machine: Machine, op: tuple[str, ...], operands: tuple[str, ...]) -> Step:
    kind, loads = op[-1], op[0] == "ld"
    width = next((int(m[1:]) for m in op if re.fullmatch(r"v[24]", m)), 1)
    unknown = [m for m in op[1:-1] if m not in CACHE_HINTS and not re.fullmatch(r"v[24]|L2::\w+", m)]
    space = next((m for m in op if m in ("global", "shared", "param")), None)
    if unknown or space is None or kind not in TYPES:
        raise UnknownInstruction(".".join(op))
    size = TYPES[kind].itemsize
    place, values = (operands[1], operands[0]) if loads else operands
    names = values.strip("{}").split(",")
    if len(names) != width:
        raise UnknownInstruction(f"{'.'.join(op)} {place}")
    if space == "param":
        return _parameter(machine, place, kind, names)
    address = machine.address(place, space)

    def step(active: Threads) -> None:
        addresses = address(active)
        block, warps = machine.block[active], machine.warp[active]
        total = size * width
        if loads:
            if space == "global":
                raw, moved = machine.memory.load(addresses, total, block)
            else:
                raw, moved = machine.shared.load(addresses, total, block, machine.thread[active]), []
            parts = np.ascontiguousarray(raw).view(TYPES[kind])
            for number, write in enumerate(writes):
                write(active, parts[:, number])
        else:
            raw = np.stack([np.ascontiguousarray(read(active)) for read in reads], 1).view(np.uint8)
            raw = raw.reshape(len(active), total)
            if space == "global":
                moved = machine.memory.store(addresses, raw, block)
            else:
                machine.shared.store(addresses, raw, block, machine.thread[active])
                moved = []
        for buffer, inside in moved:
            how = "read" if loads else "write"
            machine.counters.global_access(buffer.name, how, warps[inside], addresses[inside], total)
        if space == "shared":
            machine.counters.shared_access(".".join(op), warps, machine.lane[active], addresses, total)

    writes = [machine.writes(name, kind) for name in names] if loads else []
    reads = [] if loads else [machine.reads(name, kind) for name in names]
    return step


def copy_async(machine: Machine, op: tuple[str, ...], operands: tuple[str, ...]) -> Step:
    """A copy from global to shared memory that is not there before the thread has waited for it."""
    match op[2:]:
        case ["commit_group"]:
            return lambda active: machine.copies.commit(active)
        case ["wait_all"]:
            return lambda active: machine.shared.arrived(machine.copies.all_of(active))
        case ["wait_group"]:
            return lambda active: machine.shared.arrived(machine.copies.all_but(active, int(operands[0])))
    if op[2:] not in (("cg", "shared", "global"), ("ca", "shared", "global")):
        raise UnknownInstruction(".".join(op))
    to, source, size = machine.address(operands[0], "shared"), machine.address(operands[1], "global"), int(operands[2])
    taken = machine.reads(operands[3], "u32") if len(operands) > 3 else None

    def step(active: Threads) -> None:
        values = np.zeros((len(active), size), np.uint8)  # what is not taken is filled with zeros
        bytes_ = np.full(len(active), size) if taken is None else taken(active).astype(np.int64)
        if not np.isin(bytes_, (0, size)).all():
            raise UnknownInstruction("cp.async of a part of its bytes")
        full = bytes_ == size
        if full.any():
            some = active[full]
            values[full], moved = machine.memory.load(source(some), size, machine.block[some])
            for buffer, inside in moved:
                addresses = source(some)[inside]
                machine.counters.global_access(buffer.name, "read", machine.warp[some][inside], addresses, size)
        machine.shared.store(to(active), values, machine.block[active], machine.thread[active])
        machine.shared.expect(to(active), size, machine.block[active], machine.copies.issue(active))
        machine.counters.shared_access("cp.async", machine.warp[active], machine.lane[active], to(active), size)

    return step


def _parameter(machine: Machine, place: str, kind: str, names: list[str]) -> Step:
    address, size = machine.address(place, "param"), TYPES[kind].itemsize
    writes = [machine.writes(register, kind) for register in names]

    def step(active: Threads) -> None:
        at = address(active)[:, None] + np.arange(size * len(names))
        if (at >= len(machine.held)).any():
            raise MemoryFault("out of bounds of the parameters")
        values = np.ascontiguousarray(machine.held[at]).view(TYPES[kind])
        for number, write in enumerate(writes):
            write(active, values[:, number])

    return step
