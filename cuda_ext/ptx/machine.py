"""Runs a kernel: all threads of the grid at once, those at the smallest program counter first.

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

from benchsuite.cuda_ext.ptx import warp
from benchsuite.cuda_ext.ptx.arithmetic import COMPARE, TYPES, UnknownInstruction, operation
from benchsuite.cuda_ext.ptx.counters import WARP, Counters
from benchsuite.cuda_ext.ptx.memory import Copies, GlobalMemory, MemoryFault, PTXFault, SharedMemory, SyncFault
from benchsuite.cuda_ext.ptx.parse import Instruction, Kernel

Array = NDArray[Any]
Step = Callable[[NDArray[np.int64]], None]
RUNNING, WAITING, DONE = 0, 1, 2
CACHE_HINTS = {"nc", "ca", "cg", "cs", "cv", "lu", "wb", "wt", "global", "shared", "param", "L1::no_allocate"}
# What does more than to compute registers from registers.
ACTS = {"ret", "exit", "bra", "bar", "barrier", "ld", "st", "cp", "shfl", "vote", "ldmatrix", "mma"}
CONVERT_FLOATS = {"bf16", "f16", "f32", "f64"}


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
        """Runs to the end. Raises PTXFault with kernel, line, block and thread; UnknownInstruction."""
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
            case "bra":
                target = self.kernel.labels[operands[0]]
                return lambda active: self.pc.__setitem__(active, target)
            case "bar" | "barrier" if op[1:] in (("sync",), ("sync", "aligned")) and operands == ("0",):
                return lambda active: self.state.__setitem__(active, WAITING)
            case "ld" | "st":
                return self._access(op, operands)
            case "mov" | "cvta":
                return self._move(op, operands)
            case "cvt":
                return self._convert(op, operands)
            case "setp":
                return self._compare(op, operands)
            case "selp":
                return self._select(op, operands)
            case "cp" if op[1] == "async":
                return self._copy_async(op, operands)
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

    # --- memory -----------------------------------------------------------------------------------------------------

    def _access(self, op: tuple[str, ...], operands: tuple[str, ...]) -> Step:
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
            return self._parameter(place, kind, names)
        address = self.address(place, space)

        def step(active: NDArray[np.int64]) -> None:
            addresses = address(active)
            block, warps = self.block[active], self.warp[active]
            total = size * width
            if loads:
                if space == "global":
                    raw, moved = self.memory.load(addresses, total, block)
                else:
                    raw, moved = self.shared.load(addresses, total, block, self.thread[active]), []
                parts = np.ascontiguousarray(raw).view(TYPES[kind])
                for number, write in enumerate(writes):
                    write(active, parts[:, number])
            else:
                raw = np.stack([np.ascontiguousarray(read(active)) for read in reads], 1).view(np.uint8)
                raw = raw.reshape(len(active), total)
                if space == "global":
                    moved = self.memory.store(addresses, raw, block)
                else:
                    self.shared.store(addresses, raw, block, self.thread[active])
                    moved = []
            for buffer, inside in moved:
                how = "read" if loads else "write"
                self.counters.global_access(buffer.name, how, warps[inside], addresses[inside], total)
            if space == "shared":
                self.counters.shared_access(".".join(op), warps, self.lane[active], addresses, total)

        writes = [self.writes(name, kind) for name in names] if loads else []
        reads = [] if loads else [self.reads(name, kind) for name in names]
        return step

    def address(self, place: str, space: str) -> Callable[[NDArray[np.int64]], NDArray[np.int64]]:
        """The addresses that an operand [register + offset] stands for."""
        name, offset = _place(place)
        register = self.kernel.registers.get(name)
        wide = space in ("global", "param") or (register is not None and _bits(register) == 64)
        base = self.reads(name, "u64" if wide else "u32")
        if wide:
            return lambda active: base(active).astype(np.int64) + offset
        return lambda active: base(active).astype(np.int64) + offset & 0xFFFFFFFF  # 32-bit addresses go round

    def _copy_async(self, op: tuple[str, ...], operands: tuple[str, ...]) -> Step:
        """A copy from global to shared memory that is not there before the thread has waited for it."""
        match op[2:]:
            case ["commit_group"]:
                return lambda active: self.copies.commit(active)
            case ["wait_all"]:
                return lambda active: self.shared.arrived(self.copies.all_of(active))
            case ["wait_group"]:
                return lambda active: self.shared.arrived(self.copies.all_but(active, int(operands[0])))
        if op[2:] not in (("cg", "shared", "global"), ("ca", "shared", "global")):
            raise UnknownInstruction(".".join(op))
        to, source, size = self.address(operands[0], "shared"), self.address(operands[1], "global"), int(operands[2])
        taken = self.reads(operands[3], "u32") if len(operands) > 3 else None

        def step(active: NDArray[np.int64]) -> None:
            values = np.zeros((len(active), size), np.uint8)  # what is not taken is filled with zeros
            bytes_ = np.full(len(active), size) if taken is None else taken(active).astype(np.int64)
            if not np.isin(bytes_, (0, size)).all():
                raise UnknownInstruction("cp.async of a part of its bytes")
            full = bytes_ == size
            if full.any():
                some = active[full]
                values[full], moved = self.memory.load(source(some), size, self.block[some])
                for buffer, inside in moved:
                    addresses = source(some)[inside]
                    self.counters.global_access(buffer.name, "read", self.warp[some][inside], addresses, size)
            self.shared.store(to(active), values, self.block[active], self.thread[active])
            self.shared.expect(to(active), size, self.block[active], self.copies.issue(active))
            self.counters.shared_access("cp.async", self.warp[active], self.lane[active], to(active), size)

        return step

    def _parameter(self, place: str, kind: str, names: list[str]) -> Step:
        address, size = self.address(place, "param"), TYPES[kind].itemsize
        writes = [self.writes(register, kind) for register in names]

        def step(active: NDArray[np.int64]) -> None:
            at = address(active)[:, None] + np.arange(size * len(names))
            if (at >= len(self.held)).any():
                raise MemoryFault("out of bounds of the parameters")
            values = np.ascontiguousarray(self.held[at]).view(TYPES[kind])
            for number, write in enumerate(writes):
                write(active, values[:, number])

        return step

    # --- moving, converting, choosing ---------------------------------------------------------------------------------

    def _move(self, op: tuple[str, ...], operands: tuple[str, ...]) -> Step:
        kind, (to, source) = op[-1], operands
        if op[0] == "cvta" and "global" not in op and "shared" not in op:
            raise UnknownInstruction(".".join(op))
        if source.startswith("{"):  # pack: the first is the lowest
            names = source.strip("{}").split(",")
            part = f"u{TYPES[kind].itemsize * 8 // len(names)}"
            reads, write = [self.reads(name, part) for name in names], self.writes(to, kind)
            return lambda active: write(
                active, np.ascontiguousarray(np.stack([r(active) for r in reads], 1)).view(TYPES[kind])[:, 0]
            )
        if to.startswith("{"):
            names = to.strip("{}").split(",")
            part = f"u{TYPES[kind].itemsize * 8 // len(names)}"
            read, writes = self.reads(source, kind), [self.writes(name, part) for name in names if name != "_"]
            kept = [number for number, name in enumerate(names) if name != "_"]

            def unpack(active: NDArray[np.int64]) -> None:
                parts = np.ascontiguousarray(read(active)).view(TYPES[part]).reshape(len(active), -1)
                for number, one in zip(kept, writes, strict=True):
                    one(active, parts[:, number])

            return unpack
        read, write = self.reads(source, kind), self.writes(to, kind)
        return lambda active: write(active, read(active))

    def _convert(self, op: tuple[str, ...], operands: tuple[str, ...]) -> Step:
        *modifiers, to, source = op[1:]
        how = [m for m in modifiers if m not in ("ftz",)]
        floats = (to in CONVERT_FLOATS, source in CONVERT_FLOATS)
        if to.endswith("x2") and source == "f32" and how == ["rn"]:  # the first operand is the upper half
            one = to.removesuffix("x2")
            upper, lower = (self.reads(name, "f32") for name in operands[1:])
            write = self.writes(operands[0], "b32")

            def pack(active: NDArray[np.int64]) -> None:
                halves = [_to_bits(read(active), one).astype(np.uint32) for read in (lower, upper)]
                write(active, halves[0] | halves[1] << np.uint32(16))

            return pack
        allowed = {(False, False): ([],), (True, False): (["rn"],), (False, True): (["rzi"], ["rni"], ["rmi"], ["rpi"])}
        allowed[True, True] = ([], ["rn"], ["rzi"], ["rni"], ["rmi"], ["rpi"])
        if how not in allowed[floats]:
            raise UnknownInstruction(".".join(op))
        read, write = self.reads(operands[1], source), self.writes(operands[0], "b16" if to == "bf16" else to)
        rounding = {"rzi": np.trunc, "rni": np.rint, "rmi": np.floor, "rpi": np.ceil}.get((how or [""])[0])

        def convert(active: NDArray[np.int64]) -> None:
            values = read(active)
            if source == "bf16":
                values = (values.astype(np.uint32) << np.uint32(16)).view(np.float32)
            if rounding is not None:
                values = rounding(values)
            if floats == (False, True):  # out of range goes to the nearest that is in it, NaN to 0
                info = np.iinfo(TYPES[to])
                values = np.nan_to_num(
                    values.astype(np.float64), nan=0.0, posinf=float(info.max), neginf=float(info.min)
                )
                inside = np.clip(values, float(info.min), float(info.max))
                top = inside >= float(info.max)
                values = np.where(top, info.max, np.where(top, 0, inside).astype(TYPES[to]))
            write(active, _to_bits(values, "bf16") if to == "bf16" else values.astype(TYPES[to]))

        return convert

    def _compare(self, op: tuple[str, ...], operands: tuple[str, ...]) -> Step:
        flags = [m for m in op[1:-1] if m != "ftz"]
        kind = op[-1]
        combine = flags[1] if len(flags) == 2 and flags[1] in ("and", "or", "xor") else None
        if flags[0] not in COMPARE or len(flags) > 2 or (len(flags) == 2 and combine is None) or "|" in operands[0]:
            raise UnknownInstruction(".".join(op))
        compare = COMPARE[flags[0]]
        a, b, write = self.reads(operands[1], kind), self.reads(operands[2], kind), self.writes(operands[0], "pred")
        if combine is None:
            return lambda active: write(active, compare(a(active), b(active)))
        third = operands[3]
        c, negated = self.reads(third.lstrip("!"), "pred"), third.startswith("!")
        join = {"and": np.logical_and, "or": np.logical_or, "xor": np.logical_xor}[combine]
        return lambda active: write(active, join(compare(a(active), b(active)), c(active) != negated))

    def _select(self, op: tuple[str, ...], operands: tuple[str, ...]) -> Step:
        if len(op) != 2:
            raise UnknownInstruction(".".join(op))
        a, b = (self.reads(name, op[1]) for name in operands[1:3])
        predicate, write = self.reads(operands[3], "pred"), self.writes(operands[0], op[1])
        return lambda active: write(active, np.where(predicate(active), a(active), b(active)))


def _place(text: str) -> tuple[str, int]:
    match = re.fullmatch(r"\[([^+\]]+)(?:\+(-?\w+))?\]", text)
    if match is None:
        raise UnknownInstruction(f"operand {text}")
    return match[1], int(match[2] or 0)


def to_bf16(values: Array) -> NDArray[np.uint16]:
    """float32 to the bits of bfloat16, to nearest even; NaN to 0x7fff, as cvt.rn.bf16.f32 gives."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    rounded = (bits + np.uint32(0x7FFF) + (bits >> np.uint32(16) & np.uint32(1))) >> np.uint32(16)
    return np.where(np.isnan(values), np.uint32(0x7FFF), rounded).astype(np.uint16)


def from_bf16(bits: Array) -> NDArray[np.float32]:
    return (np.ascontiguousarray(bits, np.uint16).astype(np.uint32) << np.uint32(16)).view(np.float32)


def _to_bits(values: Array, kind: str) -> NDArray[np.uint16]:
    return to_bf16(values) if kind == "bf16" else values.astype(np.float16).view(np.uint16)


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
