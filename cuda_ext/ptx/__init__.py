"""The CUDA kernels' PTX, executed on the CPU: a proof that needs no GPU.

    program = load(Path("kernels.cu"))                        # nvcc's PTX, kept in the cache; or a .ptx file
    result = program.launch("swiglu", grid=(4,), block=(128,), arguments=[x, Uninitialised((64,), np.float32), 64])
    result.arrays[1]                                           # what the kernel left in its second argument
    result.counters.sector_efficiency

Arrays are copied in and come back in `arrays`. bfloat16 is uint16 (`to_bf16`, `from_bf16`). Every access is checked:
bounds, alignment, reads of what nobody wrote, races in shared memory between barriers and between blocks, barriers and
shuffles that not all reach. What a GPU would punish raises PTXFault; an instruction that is not interpreted raises
UnknownInstruction and is never skipped. Not interpreted yet: tensor cores (mma, ldmatrix), cp.async, atomics, votes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from benchsuite.cuda_ext.ptx.arithmetic import UnknownInstruction
from benchsuite.cuda_ext.ptx.counters import Counters
from benchsuite.cuda_ext.ptx.machine import Machine, from_bf16, to_bf16
from benchsuite.cuda_ext.ptx.memory import GlobalMemory, MemoryFault, PTXFault, RaceFault, SyncFault
from benchsuite.cuda_ext.ptx.parse import Kernel, PTXSyntaxError, parse

__all__ = [
    "Counters",
    "MemoryFault",
    "PTXFault",
    "PTXSyntaxError",
    "Program",
    "RaceFault",
    "Result",
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
    """A pointer into the array that is argument number `argument`, so many bytes from its start."""

    argument: int
    offset: int


Argument = NDArray[Any] | Uninitialised | View | int | float | bytes | None


@dataclass(frozen=True)
class Result:
    """What a launch left: `arrays` by the number of the argument, and the counters (buffers are named "0", "1", …)."""

    arrays: dict[int, NDArray[Any]]
    counters: Counters


@dataclass(frozen=True)
class Program:
    """The kernels of one PTX module by name."""

    kernels: dict[str, Kernel]

    def find(self, *parts: str) -> Kernel:
        """The one kernel whose (mangled) name contains all `parts`. Raises LookupError that lists the candidates."""
        found = [kernel for name, kernel in self.kernels.items() if all(part in name for part in parts)]
        if len(found) != 1:
            names = [kernel.name for kernel in found] or list(self.kernels)
            raise LookupError(f"{len(found)} kernels have {' and '.join(parts)} in their names; there are {names}")
        return found[0]

    def launch(
        self,
        name: str | Sequence[str],
        grid: Sequence[int],
        block: Sequence[int],
        arguments: Sequence[Argument],
        shared: int = 0,
    ) -> Result:
        """Runs a kernel on a grid of blocks. `None` is a null pointer, `shared` the bytes of dynamic shared memory."""
        kernel = self.find(*([name] if isinstance(name, str) else name))
        memory, addresses, values = GlobalMemory(), {}, []
        shapes: dict[int, tuple[tuple[int, ...], Any]] = {}
        for number, argument in enumerate(arguments):
            if isinstance(argument, Uninitialised):
                empty = np.zeros(argument.shape, argument.dtype)
                addresses[number] = memory.put(str(number), empty, initialised=False)
                shapes[number] = argument.shape, argument.dtype
            elif isinstance(argument, np.ndarray):
                addresses[number] = memory.put(str(number), argument)
                shapes[number] = argument.shape, argument.dtype
        for number, argument in enumerate(arguments):
            if number in addresses:
                values.append(addresses[number])
            elif isinstance(argument, View):
                values.append(addresses[argument.argument] + argument.offset)
            else:
                values.append(0 if argument is None else argument)
        machine = Machine(kernel, memory, _three(grid), _three(block), values, shared)
        counters = machine.run()
        left = {
            number: buffer.data.view(shapes[number][1]).reshape(shapes[number][0])
            for number, buffer in zip(addresses, memory.buffers, strict=True)
        }
        return Result(left, counters)


def _three(sizes: Sequence[int]) -> tuple[int, int, int]:
    x, y, z = [*sizes, 1, 1][:3]
    return x, y, z


def load(path: Path, arch: str = "sm_80") -> Program:
    """The kernels of a .ptx file, or of a .cu file as nvcc compiles it for `arch`."""
    return Program(parse(path.read_text() if path.suffix == ".ptx" else compile_ptx(path, arch)))


def compile_ptx(source: Path, arch: str = "sm_80") -> str:
    """nvcc's PTX of a .cu file, kept in the cache by the content of the source, of the headers beside it and of the
    compiler. Raises UserError where there is no nvcc, with the command that installs it, or where it fails."""
    import subprocess

    from benchsuite.cache import cache_dir, digest, write_atomically
    from benchsuite.cuda_ext import toolchain
    from benchsuite.cuda_ext.plan import CSRC
    from benchsuite.errors import UserError

    nvcc = toolchain.find_nvcc()
    if isinstance(nvcc, toolchain.Missing):
        raise UserError(f"PTX needs nvcc: {nvcc.why}", hint=nvcc.fix)
    headers = sorted([*CSRC.glob("*.h"), *CSRC.glob("cuda/*.*h"), *source.parent.glob("*.cuh")])
    texts = [path.read_text() for path in (source, *headers)]
    kept = cache_dir("ptx") / f"{digest([texts, nvcc.version, arch], 24)}.ptx"
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
