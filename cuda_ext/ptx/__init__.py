"""The CUDA kernels' PTX, executed on the CPU: a proof that needs no GPU.

    program = load(Path("kernels.cu"))                        # nvcc's PTX, kept in the cache; or a .ptx file
    result = program.launch("swiglu", grid=(4,), block=(128,), arguments=[x, Uninitialised((64,), np.float32), 64])
    result.arrays[1]                                           # what the kernel left in its second argument
    result.counters.sector_efficiency

Arrays are copied in and come back in `arrays`. bfloat16 is uint16 (`to_bf16`, `from_bf16`). Every access is checked:
bounds, alignment, reads of what nobody wrote, races in shared memory between barriers and between blocks, barriers and
shuffles that not all reach. What a GPU would punish raises PTXFault; an instruction that is not interpreted raises
UnknownInstruction and is never skipped.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from benchsuite.cuda_ext.ptx.arithmetic import UnknownInstruction
from benchsuite.cuda_ext.ptx.counters import Counters
from benchsuite.cuda_ext.ptx.machine import Machine
from benchsuite.cuda_ext.ptx.memory import NOBODY, GlobalMemory, MemoryFault, PTXFault, RaceFault, SyncFault
from benchsuite.cuda_ext.ptx.moves import from_bf16, to_bf16
from benchsuite.cuda_ext.ptx.parse import Kernel, PTXSyntaxError, parse

__all__ = [
    "Argument",
    "Buffer",
    "Counters",
    "MemoryFault",
    "PTXFault",
    "PTXSyntaxError",
    "Program",
    "RaceFault",
    "Result",
    "Struct",
    "SyncFault",
    "Uninitialised",
    "UnknownInstruction",
    "View",
    "compile_ptx",
    "from_bf16",
    "load",
    "to_bf16",
]


@dataclass(frozen=True)
class Uninitialised:
    """An output buffer that nobody has written."""

    shape: tuple[int, ...]
    dtype: DTypeLike


@dataclass(frozen=True)
class View:
    """A pointer into a buffer of the launch, or into the array that is argument number so and so, `offset` bytes on."""

    buffer: str | int
    offset: int = 0


@dataclass(frozen=True)
class Struct:
    """An argument passed by value whose members all take 8 bytes: pointers (None is null), integers and float64."""

    members: tuple[View | int | float | None, ...]


Buffer = NDArray[Any] | Uninitialised
Argument = Buffer | View | Struct | int | float | bytes | None


@dataclass(frozen=True)
class Result:
    """The results of a launch: `arrays` by the number of the argument or by the buffer's name, and the counters, whose
    buffers are named "0", "1", … or as they were given. `touched` counts each byte of a buffer once for being read and
    once for being written."""

    arrays: dict[str | int, NDArray[Any]]
    counters: Counters
    touched: dict[str | int, int]


@dataclass(frozen=True)
class Program:
    """The kernels of one PTX module by name."""

    kernels: dict[str, Kernel]

    def find(self, *parts: str) -> Kernel:
        """The one kernel whose (mangled) name contains all `parts`. Raises LookupError that lists the candidates."""
        found = [kernel for name, kernel in self.kernels.items() if all(part in name for part in parts)]
        if len(found) != 1:
            names = [kernel.name for kernel in found] or list(self.kernels)
            shown = ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
            raise LookupError(f"{len(found)} kernels have {' and '.join(parts)} in their names; there are {shown}")
        return found[0]

    def launch(
        self,
        name: str | Sequence[str],
        grid: Sequence[int],
        block: Sequence[int],
        arguments: Sequence[Argument],
        shared: int = 0,
        buffers: Mapping[str, Buffer] | None = None,
    ) -> Result:
        """Run a kernel on a grid of blocks. `None` is a null pointer, `shared` the bytes of dynamic shared memory;
        `buffers` are arrays that views point into."""
        kernel = self.find(*([name] if isinstance(name, str) else name))
        memory = GlobalMemory()
        given: dict[str | int, Buffer] = {name: buffer for name, buffer in (buffers or {}).items()}  # noqa: C416 - widens the key
        given |= {n: a for n, a in enumerate(arguments) if isinstance(a, np.ndarray | Uninitialised)}
        addresses = {key: _put(memory, str(key), buffer) for key, buffer in given.items()}

        def value(number: int, argument: Argument) -> int | float | bytes:
            match argument:
                case np.ndarray() | Uninitialised():
                    return addresses[number]
                case View(buffer, offset):
                    return addresses[buffer] + offset
                case Struct(members):
                    return b"".join(_eight(value(number, member)) for member in members)
                case None:
                    return 0
            return argument

        values = [value(number, argument) for number, argument in enumerate(arguments)]
        counters = Machine(kernel, memory, _three(grid), _three(block), values, shared).run()
        left = {
            key: held.data.view(buffer.dtype).reshape(buffer.shape)
            for (key, buffer), held in zip(given.items(), memory.buffers, strict=True)
        }
        touched = {
            key: int(held.read.sum()) + int((held.writers != NOBODY).sum())
            for key, held in zip(given, memory.buffers, strict=True)
        }
        return Result(left, counters, touched)


def _put(memory: GlobalMemory, name: str, buffer: Buffer) -> int:
    if isinstance(buffer, Uninitialised):
        return memory.put(name, np.zeros(buffer.shape, buffer.dtype), initialised=False)
    return memory.put(name, buffer)


def _eight(value: int | float | bytes) -> bytes:
    return struct.pack("<d", value) if isinstance(value, float) else struct.pack("<q", value)


def _three(sizes: Sequence[int]) -> tuple[int, int, int]:
    x, y, z = [*sizes, 1, 1][:3]
    return x, y, z


def load(path: Path, arch: str = "sm_80") -> Program:
    """The kernels of a .ptx file, or of a .cu file as nvcc compiles it for `arch`."""
    return Program(parse(path.read_text() if path.suffix == ".ptx" else compile_ptx(path, arch)))


def compile_ptx(source: Path, arch: str = "sm_80") -> str:
    """nvcc's PTX of a .cu file, kept with the built kernels by the content of the source, of the headers beside it and
    of the compiler. Raises UserError where there is no nvcc, with the command that installs it, or where it fails."""
    import subprocess

    from benchsuite.cache import digest, write_atomically
    from benchsuite.cuda_ext import toolchain
    from benchsuite.cuda_ext.build_plan import CSRC, kernels_dir
    from benchsuite.errors import UserError

    nvcc = toolchain.find_nvcc()
    if isinstance(nvcc, toolchain.Missing):
        raise UserError(f"PTX needs nvcc: {nvcc.why}", hint=nvcc.fix)
    headers = sorted([*CSRC.glob("*.h"), *CSRC.glob("cuda/*.*h"), *source.parent.glob("*.cuh")])
    texts = [path.read_text() for path in (source, *headers)]
    kept = kernels_dir("ptx") / f"{digest([texts, nvcc.version, arch], 24)}.ptx"
    if not kept.is_file():
        with write_atomically(kept) as temporary:
            command = [
                nvcc.path,
                "-std=c++17",
                "-O3",
                f"-arch={arch}",
                "-ptx",
                f"-I{CSRC}",
                str(source),
                "-o",
                str(temporary),
            ]
            command += [part for folder in nvcc.include for part in ("-isystem", folder)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise UserError(f"nvcc cannot compile {source.name}:\n{done.stderr.strip()}")
    return kept.read_text()
