"""Report what each CUDA kernel takes of a multiprocessor, as the compiler reports it, and how many of its threads fit
there.

for row in resources(Path("cuda/norm.cu"), ["sm_80", "sm_90"]):
    row.registers, row.spill_stores, row.occupancy
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from benchsuite.cuda_ext import toolchain
from benchsuite.cuda_ext.build_plan import CSRC
from benchsuite.cuda_ext.toolchain import Compiler
from benchsuite.errors import UserError

REGISTERS = 65536  # of a multiprocessor, given out to a warp in units of 256; equal from sm_80 to sm_120
REGISTER_UNIT = 256
RESERVED_SHARED = 1024  # bytes of shared memory that the system keeps of each block's


@dataclass(frozen=True)
class Limits:
    """Of a multiprocessor: resident threads, resident blocks, bytes of shared memory."""

    threads: int
    blocks: int
    shared: int


# CUDA C++ Programming Guide 13.0, "Technical Specifications per Compute Capability".
LIMITS = {
    "sm_80": Limits(2048, 32, 164 * 1024),
    "sm_86": Limits(1536, 16, 100 * 1024),
    "sm_87": Limits(1536, 16, 164 * 1024),
    "sm_89": Limits(1536, 24, 100 * 1024),
    "sm_90": Limits(2048, 32, 228 * 1024),
    "sm_100": Limits(2048, 32, 228 * 1024),
    "sm_103": Limits(2048, 32, 228 * 1024),
    "sm_120": Limits(1536, 24, 100 * 1024),
}


@dataclass(frozen=True)
class Resources:
    """One kernel on one architecture. Bytes; spills and stack for each thread, shared memory (static) for each block.

    `threads` is the largest block, where the kernel states one (__launch_bounds__); `occupancy` is the share of the
    multiprocessor's threads that then fit, None where the block or the architecture's limits are not known. Shared
    memory asked for at launch is not in it.
    """

    kernel: str
    arch: str
    registers: int
    spill_stores: int
    spill_loads: int
    stack: int
    shared: int
    threads: int | None
    occupancy: float | None


def resources(path: Path, archs: list[str]) -> list[Resources]:
    """Compile a .cu or .ptx file for each architecture ("sm_80") and report every kernel in it, sorted by name.

    Raises UserError without nvcc, or with the compiler's first errors.
    """
    nvcc = toolchain.find_nvcc()
    if not isinstance(nvcc, Compiler):
        raise UserError(f"CUDA code cannot be compiled: {nvcc.why}", hint=nvcc.fix)
    with ThreadPoolExecutor(toolchain.cores()) as pool:
        found = pool.map(lambda arch: _compile(path, arch, nvcc), archs)
        rows = [row for arch, (report, ptx) in zip(archs, found, strict=True) for row in parse(report, ptx, arch)]
    return sorted(rows, key=lambda row: (row.kernel, archs.index(row.arch)))


def parse(report: str, ptx: str, arch: str) -> list[Resources]:
    """The kernels in what `ptxas -v` reported; `ptx` is what it compiled."""
    rows = []
    pattern = r"Compiling entry function '([^']+)' for '([^']+)'\n(.*?)(?=ptxas info\s+: Compiling entry|\Z)"
    for name, target, body in re.findall(pattern, report, re.DOTALL):
        if target != arch:
            continue
        spills = re.search(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", body)
        used = re.search(r"Used (\d+) registers", body)
        if spills is None or used is None:
            raise UserError(f"nvcc's report of {name} is not as expected:\n{body}")
        static = re.search(r"(\d+) bytes smem", body)
        shared = int(static[1]) if static else 0
        threads = _largest_block(ptx, name)
        stack, stores, loads = (int(number) for number in spills.groups())
        full = occupancy(int(used[1]), shared, threads, arch) if threads else None
        rows.append(Resources(name, arch, int(used[1]), stores, loads, stack, shared, threads, full))
    return rows


def occupancy(registers: int, shared: int, threads: int, arch: str) -> float | None:
    """The share of a multiprocessor's threads that fit there at once, in blocks of `threads`; None for unknown limits.

    The rule is that of NVIDIA's occupancy calculator: registers are given to warps, four schedulers apart.
    """
    limits = LIMITS.get(arch.rstrip("af"))
    if limits is None:
        return None
    warps = -(-threads // 32)
    for_warp = -(-registers * 32 // REGISTER_UNIT) * REGISTER_UNIT
    by_registers = REGISTERS // 4 // for_warp * 4 // warps if registers else limits.blocks
    by_shared = limits.shared // (shared + RESERVED_SHARED)
    blocks = min(limits.blocks, limits.threads // (warps * 32), by_registers, by_shared)
    return blocks * warps * 32 / limits.threads


def _largest_block(ptx: str, kernel: str) -> int | None:
    start = re.search(rf"\.entry\s+{re.escape(kernel)}\b", ptx)
    if start is None:
        return None
    head = ptx[start.end() : ptx.index("{", start.end())]
    bound = re.search(r"\.(?:max|req)ntid\s+(\d+)(?:,\s*(\d+))?(?:,\s*(\d+))?", head)
    if bound is None:
        return None
    x, y, z = (int(part or 1) for part in bound.groups())
    return x * y * z


def _compile(path: Path, arch: str, nvcc: Compiler) -> tuple[str, str]:
    """Return what ptxas reports, and the PTX."""
    with tempfile.TemporaryDirectory() as folder:
        command = [nvcc.path, "-std=c++17", "-O3", f"-arch={arch}", "-cubin", "-Xptxas=-v", f"-I{CSRC}"]
        command += ["-isystem", nvcc.include, "--keep", "--keep-dir", folder, "-o", f"{folder}/out.cubin", str(path)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            lines = [line for line in done.stderr.splitlines() if "error" in line or "fatal" in line]
            raise UserError(f"{path.name} does not compile for {arch}:\n  " + "\n  ".join(lines[:5]))
        kept = [path] if path.suffix == ".ptx" else list(Path(folder).glob("*.ptx"))
        return done.stdout + done.stderr, "\n".join(file.read_text() for file in kept)
