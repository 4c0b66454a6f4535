"""Instructions of a whole warp: shuffles, votes, ldmatrix and the tensor cores' mma.

Fragment layouts: PTX ISA, "Matrix Fragments for mma.m16n8k16 with floating point type" and "ldmatrix". Products are
summed in float64 and rounded once to float32, closer than a tensor core, which keeps fewer bits between.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from benchsuite.cuda_ext.ptx.arithmetic import UnknownInstruction
from benchsuite.cuda_ext.ptx.counters import WARP
from benchsuite.cuda_ext.ptx.memory import SyncFault

if TYPE_CHECKING:
    from benchsuite.cuda_ext.ptx.machine import Machine

Array = NDArray[Any]
Threads = NDArray[np.int64]
Step = Callable[[Threads], None]

LANE = np.arange(WARP)
ROW, COLUMN = LANE // 4, LANE % 4 * 2  # of what a lane holds of an 8 × 8 matrix: this element and its right neighbour


def whole_warps(active: Threads, lane: Array, name: str) -> int:
    """Return how many warps there are. Raises SyncFault unless every lane of each takes part."""
    if len(active) % WARP or not np.array_equal(lane, np.tile(LANE, len(active) // WARP)):
        raise SyncFault(f"{name} needs all 32 lanes of a warp")
    return len(active) // WARP


def require_lanes(machine: Machine, active: Threads, wanted: Array, name: str) -> Array:
    """Raise SyncFault unless every lane in the members' mask takes part; give which threads do."""
    present = np.zeros(machine.pc.shape, np.bool_)
    present[active] = True
    first = active - machine.lane[active]
    for other in range(WARP):
        asked = (wanted >> np.uint32(other)) & np.uint32(1) == 1
        there = first + other
        exists = there < len(present)
        if (asked & ~(exists & present[np.minimum(there, len(present) - 1)])).any():
            raise SyncFault(f"{name} names lane {other}, which does not take part")
    return present


def shuffle(machine: Machine, op: tuple[str, ...], operands: tuple[str, ...]) -> Step:
    if op[1] != "sync" or op[2] not in ("bfly", "down", "up", "idx") or op[-1] != "b32":
        raise UnknownInstruction(".".join(op))
    to, _, taken = operands[0].partition("|")
    source, by, clamp, mask = (machine.reads(name, "u32") for name in operands[1:])
    write, says = machine.writes(to, "u32"), machine.writes(taken, "pred") if taken else None
    everyone = np.zeros(machine.pc.shape, np.uint32)

    def step(active: Threads) -> None:
        lane, first = machine.lane[active], active - machine.lane[active]
        present = require_lanes(machine, active, mask(active), "shfl.sync")
        everyone[active] = source(active)
        c = clamp(active)
        top, segment = (c & 31).astype(np.int64), (c >> 8 & 31).astype(np.int64)
        low, amount = lane & segment, by(active).astype(np.int64)
        high = low | (top & ~segment)
        match op[2]:
            case "up":
                from_lane, inside = lane - amount, lane - amount >= high
            case "down":
                from_lane, inside = lane + amount, lane + amount <= high
            case "bfly":
                from_lane, inside = lane ^ amount, (lane ^ amount) <= high
            case _:
                from_lane = low | (amount & ~segment)
                inside = from_lane <= high
        from_lane = np.where(inside, from_lane, lane)
        if not present[first + from_lane].all():
            raise SyncFault("shfl.sync takes from a lane that does not take part")
        write(active, everyone[first + from_lane])
        if says is not None:
            says(active, inside)

    return step


def vote(machine: Machine, op: tuple[str, ...], operands: tuple[str, ...]) -> Step:
    how, kind = op[-2:]
    if op[1:-2] != ("sync",) or (how, kind) not in (("ballot", "b32"), ("all", "pred"), ("any", "pred")):
        raise UnknownInstruction(".".join(op))
    negated, mask = operands[1].startswith("!"), machine.reads(operands[2], "u32")
    source, write = machine.reads(operands[1].lstrip("!"), "pred"), machine.writes(operands[0], kind)

    def step(active: Threads) -> None:
        wanted = mask(active)
        require_lanes(machine, active, wanted, "vote.sync")
        bits = np.zeros(machine.warps * machine.blocks, np.uint32)
        yes = source(active) != negated
        np.bitwise_or.at(bits, machine.warp[active][yes], np.uint32(1) << machine.lane[active][yes].astype(np.uint32))
        ballot = bits[machine.warp[active]] & wanted
        write(active, {"ballot": ballot, "all": ballot == wanted, "any": ballot != 0}[how])

    return step


def load_matrices(machine: Machine, op: tuple[str, ...], operands: tuple[str, ...]) -> Step:
    """Lane l gives the address of row l % 8 of matrix l / 8; every lane gets two elements of each matrix."""
    count = {"x1": 1, "x2": 2, "x4": 4}.get(op[4] if len(op) > 4 else "", 0)
    rest = [m for m in op[5:] if m != "trans"]
    if op[1:4] != ("sync", "aligned", "m8n8") or not count or rest not in (["shared", "b16"], ["shared::cta", "b16"]):
        raise UnknownInstruction(".".join(op))
    transposed = "trans" in op
    writes = [machine.writes(name, "b32") for name in operands[0].strip("{}").split(",")]
    address = machine.address(operands[1], "shared")

    def step(active: Threads) -> None:
        warps = whole_warps(active, machine.lane[active], "ldmatrix")
        takes = active.reshape(warps, WARP)[:, : 8 * count].ravel()
        at = address(active).reshape(warps, WARP)[:, : 8 * count].ravel()
        rows = machine.shared.load(at, 16, machine.block[takes], machine.thread[takes])
        machine.counters.shared_access("ldmatrix", machine.warp[takes], machine.lane[takes], at, 16)
        matrices = np.ascontiguousarray(rows).view(np.uint16).reshape(warps, count, 8, 8)
        if transposed:
            matrices = matrices.swapaxes(2, 3)
        low, high = matrices[:, :, ROW, COLUMN].astype(np.uint32), matrices[:, :, ROW, COLUMN + 1].astype(np.uint32)
        both = low | high << np.uint32(16)
        for number, write in enumerate(writes):
            write(active, both[:, number].ravel())

    return step


def multiply(machine: Machine, op: tuple[str, ...], operands: tuple[str, ...]) -> Step:
    """d (16, 8) = a (16, 16) b (16, 8) + c in float32."""
    shape, kinds = op[3:6], op[6:]
    if op[1:3] != ("sync", "aligned") or shape != ("m16n8k16", "row", "col"):
        raise UnknownInstruction(".".join(op))
    if kinds not in (("f32", "bf16", "bf16", "f32"), ("f32", "f16", "f16", "f32")):
        raise UnknownInstruction(".".join(op))
    names = [operand.strip("{}").split(",") for operand in operands]
    writes = [machine.writes(name, "f32") for name in names[0]]
    a, b = ([machine.reads(name, "b32") for name in part] for part in names[1:3])
    c = [machine.reads(name, "f32") for name in names[3]]

    def halves(values: Array, warps: int) -> Array:
        """(warps, lane, 2) float64 of the pairs in 32-bit registers."""
        parts = np.ascontiguousarray(values, np.uint32).view(np.uint16).reshape(warps, WARP, 2)
        if kinds[1] == "f16":
            return parts.view(np.float16).astype(np.float64)
        return (parts.astype(np.uint32) << np.uint32(16)).view(np.float32).astype(np.float64)

    def step(active: Threads) -> None:
        warps = whole_warps(active, machine.lane[active], "mma.sync")
        left, right = np.empty((warps, 16, 16)), np.empty((warps, 16, 8))
        for number, read in enumerate(a):
            part, row, column = halves(read(active), warps), ROW + number % 2 * 8, COLUMN + number // 2 * 8
            left[:, row, column], left[:, row, column + 1] = part[..., 0], part[..., 1]
        for number, read in enumerate(b):
            part, row = halves(read(active), warps), COLUMN + number * 8
            right[:, row, ROW], right[:, row + 1, ROW] = part[..., 0], part[..., 1]
        machine.counters.matrix_flops += warps * matrix_flops(op)
        product = left @ right
        for number, (read, write) in enumerate(zip(c, writes, strict=True)):
            mine = product[:, ROW + number // 2 * 8, COLUMN + number % 2]
            write(active, (mine.ravel() + read(active)).astype(np.float32))

    return step


def matrix_flops(op: tuple[str, ...]) -> int:
    """Of one mma, by all its lanes together: two for each element of the product of m × n × k."""
    match = re.fullmatch(r"m(\d+)n(\d+)k(\d+)", op[3])
    return 2 * int(match[1]) * int(match[2]) * int(match[3]) if match else 0
