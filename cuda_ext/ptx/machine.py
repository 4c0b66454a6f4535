"""Run a kernel: all threads of the grid at once, those at the smallest program counter first.

So threads that part at a branch meet again behind it, as on a GPU. A barrier opens when every thread of its block waits
at it. Each instruction is decoded once, to a closure over the register arrays.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchsuite.cuda_ext.ptx import access, moves, warp
from benchsuite.cuda_ext.ptx.arithmetic import TYPES, UnknownInstruction, operation
from benchsuite.cuda_ext.ptx.counters import WARP, Counters
from benchsuite.cuda_ext.ptx.memory import Copies, GlobalMemory, MemoryFault, PTXFault, SharedMemory, SyncFault
from benchsuite.cuda_ext.ptx.parse import Instruction, Kernel

Array = NDArray[Any]
Step = Callable[[NDArray[np.int64]], None]
RUNNING, WAITING, DONE = 0, 1, 2
# What does more than to compute registers from registers.
ACTS = {"ret", "exit", "trap", "bra", "bar", "barrier", "ld", "st", "cp", "shfl", "vote", "ldmatrix", "mma"}


def _trap(active: NDArray[np.int64]) -> None:
    raise PTXFault("the kernel stops itself")


class Machine:
    """One launch. `arguments` are the values of the parameters, in order, as integers, floats or bytes."""

    def __init__(
        self,
        kernel: Kernel,
        memory: GlobalMemory,
        grid: tuple[int, int, int],
        block: tuple[int, int, int],
        arguments: Sequence[int | float | bytes],
        shared: int = 0,
    ) -> None:
        self.kernel, self.memory, self.counters = kernel, memory, Counters()
        self.blocks, self.size = int(np.prod(grid)), int(np.prod(block))
        if self.size > kernel.max_threads:
            raise PTXFault(
                f"{kernel.name}: a block of {self.size} threads, and it is compiled for {kernel.max_threads}"
            )
        count = self.blocks * self.size
        thread = np.arange(count)
        self.block, self.thread = thread // self.size, thread % self.size
        self.warps = -(-self.size // WARP)
        self.warp = self.block * self.warps + self.thread // WARP
        self.lane = self.thread % WARP
        self.shared = SharedMemory(self.blocks, kernel.shared_bytes + shared)
        self.copies = Copies(count)
        self.pc, self.state = np.zeros(count, np.int64), np.zeros(count, np.int8)
        self.registers = {name: np.zeros(count, TYPES[f"b{_bits(kind)}"] if kind != "pred" else np.bool_)
                          for name, kind in kernel.registers.items()}  # fmt: skip
        self.set = {name: np.zeros(count, np.bool_) for name in kernel.registers}
        self.strict = True  # whether an operand that was never set is a fault, for what is decoded now
        self.special = self._special(grid, block)
        self.parameters, held = {}, b""  # where each begins, and the bytes of all
        for parameter, argument in zip(kernel.parameters, arguments, strict=True):
            self.parameters[parameter.name] = len(held)
            value = _bytes(parameter.type, parameter.size, argument)
            held += value.ljust(-(-len(value) // 16) * 16, b"\0")
        self.held = np.frombuffer(held, np.uint8)
        self.steps = [self._guarded(instruction) for instruction in kernel.instructions]

    def _special(self, grid: tuple[int, int, int], block: tuple[int, int, int]) -> dict[str, Array]:
        found = {"%laneid": self.lane, "%warpid": self.thread // WARP}
        for number, axis in enumerate("xyz"):
            inner, outer = int(np.prod(block[:number])), int(np.prod(grid[:number]))
            found[f"%tid.{axis}"] = self.thread // inner % block[number]
            found[f"%ctaid.{axis}"] = self.block // outer % grid[number]
            found[f"%ntid.{axis}"] = np.full(self.pc.shape, block[number])
            found[f"%nctaid.{axis}"] = np.full(self.pc.shape, grid[number])
        return {name: value.astype(np.uint32) for name, value in found.items()}

    def run(self) -> Counters:
        """Run to the end. Raises PTXFault with kernel, line, block and thread; UnknownInstruction."""
        end = len(self.steps)
        while True:
            running = self.state == RUNNING
            if not running.any():
                if not (self.state == WAITING).any():
                    return self.counters
                self._open_barriers()
                continue
            at = int(self.pc[running].min())
            if at >= end:
                raise PTXFault(f"{self.kernel.name}: runs past its last instruction")
            active = np.flatnonzero(running & (self.pc == at))
            self.pc[active] = at + 1
            instruction = self.kernel.instructions[at]
            try:
                with np.errstate(all="ignore"):
                    self.steps[at](active)
            except (PTXFault, ZeroDivisionError) as fault:
                kind = type(fault) if isinstance(fault, PTXFault) else PTXFault
                first = int(active[0])
                where = f"line {instruction.line} ({instruction}), block {self.block[first]}"
                raise kind(
                    f"{self.kernel.name}, {where}, thread {self.thread[first]} or a later one: {fault}"
                ) from fault

    def _open_barriers(self) -> None:
        for block in np.unique(self.block[self.state == WAITING]):
            mine = self.block == block
            if (self.state[mine] == DONE).any():
                raise SyncFault(
                    f"{self.kernel.name}: block {block} has threads that ended while others wait at a barrier"
                )
            if len(np.unique(self.pc[mine])) > 1:
                raise SyncFault(f"{self.kernel.name}: the threads of block {block} wait at different barriers")
            self.state[mine] = RUNNING
            self.shared.barrier(np.array([block]))

    # --- decoding ---------------------------------------------------------------------------------------------------

    def _guarded(self, instruction: Instruction) -> Step:
        opcode, guard = instruction.op[0], instruction.guard
        name = "ld.param" if instruction.op[:2] == ("ld", "param") else opcode
        predicate = self.reads(guard[0], "pred") if guard else None
        step = self._decode(instruction) if opcode in ACTS else self._computes(instruction)

        def counted(active: NDArray[np.int64]) -> None:
            if predicate is not None and guard is not None:
                active = active[predicate(active) != guard[1]]
            if len(active):
                self.counters.instructions[name] += len(active)
                step(active)

        return counted

    def _computes(self, instruction: Instruction) -> Step:
        """A step from registers to registers. Of what was never set it makes what is not set: the compiler computes
        ahead what it then does not use. Only what such a value decides, addresses or leaves behind is a fault."""
        self.strict = False
        step = self._decode(instruction)
        self.strict = True
        operands = [re.split(r"[|,]", operand.strip("{}!")) for operand in instruction.operands]
        targets = [self.set[name] for name in operands[0] if name in self.set]
        sources = [[self.set[name] for name in names if name in self.set] for names in operands[1:]]
        every = [known for part in sources for known in part]
        chosen = self.registers[operands[3][0]] if instruction.op[0] == "selp" else None

        def computed(active: NDArray[np.int64]) -> None:
            known = np.ones(len(active), np.bool_)
            if chosen is None:
                for source in every:
                    known &= source[active]
            else:
                a, b = (part[0][active] if part else known for part in sources[:2])
                known = np.where(chosen[active], a, b) & sources[2][0][active]
            step(active)
            if not known.all():
                for target in targets:
                    target[active] = known

        return computed

    def _decode(self, instruction: Instruction) -> Step:
        op, operands = instruction.op, instruction.operands
        match op[0]:
            case "ret" | "exit":
                return lambda active: self.state.__setitem__(active, DONE)
            case "trap":
                return _trap
            case "bra":
                target = self.kernel.labels[operands[0]]
                return lambda active: self.pc.__setitem__(active, target)
            case "bar" | "barrier" if op[1:] in (("sync",), ("sync", "aligned")) and operands == ("0",):
                return lambda active: self.state.__setitem__(active, WAITING)
            case "ld" | "st":
                return access.access(self, op, operands)
            case "mov" | "cvta":
                return moves.move(self, op, operands)
            case "cvt":
                return moves.convert(self, op, operands)
            case "setp":
                return moves.compare(self, op, operands)
            case "selp":
                return moves.select(self, op, operands)
            case "cp" if op[1] == "async":
                return access.copy_async(self, op, operands)
            case "shfl":
                return warp.shuffle(self, op, operands)
            case "vote":
                return warp.vote(self, op, operands)
            case "ldmatrix":
                return warp.load_matrices(self, op, operands)
            case "mma":
                return warp.multiply(self, op, operands)
        function, kinds, result = operation(op)
        reads = [self.reads(name, kind) for name, kind in zip(operands[1:], kinds, strict=True)]
        write = self.writes(operands[0], result)
        return lambda active: write(active, function(*(read(active) for read in reads)))

    def reads(self, name: str, kind: str) -> Callable[[NDArray[np.int64]], Array]:
        """The values of an operand, as the type `kind`."""
        dtype = TYPES["b16" if kind == "bf16" else kind]
        if name in self.registers:
            register, known, strict = self.registers[name], self.set[name], self.strict

            def from_register(active: NDArray[np.int64]) -> Array:
                if strict and not known[active].all():
                    raise MemoryFault(f"register {name} is read before it is set")
                values = register[active]
                if values.dtype == dtype or dtype == np.bool_:
                    return values
                if values.dtype.itemsize != dtype.itemsize:  # st.u8 of a wider register, and the like
                    values = values.astype(f"u{dtype.itemsize}")
                return values.view(dtype)

            return from_register
        if name in self.special:
            values = self.special[name]
            return lambda active: values[active].astype(dtype)
        if name in self.kernel.shared or name == self.kernel.dynamic:
            offset = self.kernel.shared[name][0] if name in self.kernel.shared else self.kernel.shared_bytes
            return lambda active: np.full(len(active), offset, dtype)
        constant = self.parameters[name] if name in self.parameters else _constant(name, dtype)
        return lambda active: np.full(len(active), constant, dtype)

    def writes(self, name: str, kind: str) -> Callable[[NDArray[np.int64], Array], None]:
        register, known = self.registers[name], self.set[name]

        def to_register(active: NDArray[np.int64], values: Array) -> None:
            if register.dtype != np.bool_:
                values = np.ascontiguousarray(values)
                if values.dtype.itemsize < register.dtype.itemsize and values.dtype.kind == "i":
                    values = values.astype(f"i{register.dtype.itemsize}")  # ld.s8 into a wider register
                if values.dtype.itemsize == register.dtype.itemsize:
                    values = values.view(register.dtype)
                else:
                    values = values.view(f"u{values.dtype.itemsize}").astype(register.dtype)
            register[active] = values
            known[active] = True

        return to_register

    def address(self, place: str, space: str) -> Callable[[NDArray[np.int64]], NDArray[np.int64]]:
        """The addresses that an operand [register + offset] stands for."""
        name, offset = _place(place)
        register = self.kernel.registers.get(name)
        wide = space in ("global", "param") or (register is not None and _bits(register) == 64)
        base = self.reads(name, "u64" if wide else "u32")
        if wide:
            return lambda active: base(active).astype(np.int64) + offset
        return lambda active: base(active).astype(np.int64) + offset & 0xFFFFFFFF  # 32-bit addresses go round


def _place(text: str) -> tuple[str, int]:
    match = re.fullmatch(r"\[([^+\]]+)(?:\+(-?\w+))?\]", text)
    if match is None:
        raise UnknownInstruction(f"operand {text}")
    return match[1], int(match[2] or 0)


def _bits(kind: str) -> int:
    return int(re.sub(r"\D", "", kind.replace("x2", "")) or 8) * (2 if kind.endswith("x2") else 1)


def _constant(text: str, dtype: np.dtype[Any]) -> Any:
    if match := re.fullmatch(r"0[fF]([0-9a-fA-F]{8})", text):
        return struct.unpack(">f", bytes.fromhex(match[1]))[0]
    if match := re.fullmatch(r"0[dD]([0-9a-fA-F]{16})", text):
        return struct.unpack(">d", bytes.fromhex(match[1]))[0]
    if not re.fullmatch(r"-?(0[xX][0-9a-fA-F]+|\d+)U?", text):
        raise UnknownInstruction(f"operand {text}")
    value = int(text.rstrip("U"), 0) & ((1 << 8 * dtype.itemsize) - 1)
    unsigned = np.array(value, f"u{dtype.itemsize}")
    return bool(value) if dtype == np.bool_ else unsigned.view(dtype)[()] if dtype.kind in "iuf" else value


def _bytes(kind: str, size: int, value: int | float | bytes) -> bytes:
    if isinstance(value, bytes):
        return value.ljust(size, b"\0")
    dtype = TYPES[kind]
    if dtype.kind == "f":
        return np.array(value, dtype).tobytes()
    return (int(value) & ((1 << 8 * size) - 1)).to_bytes(size, "little")
