"""A CUDA device that is not there: the operators' own host code, whose launches the interpreter of PTX executes.

    device = Device.load()
    y, = device.call("act", x, None, "gelu")         # x is a CPU tensor; the operator takes it for one on CUDA device 3
    device.launches                                  # what it launched: kernel, grid, block, shared memory

The objects of the library, `ops` and `cuda` as they are, are linked with `runtime.cpp`, whose runtime hands each launch
to this module with the bytes of its parameters. A kernel reaches the memory of the tensors whose pointers were taken,
and nothing else; what the operator allocated is uninitialised until a kernel writes it.
"""

from __future__ import annotations

import ctypes
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from support import operator_cases

from benchsuite.cache import digest, write_atomically
from benchsuite.cuda_ext import build_plan
from benchsuite.cuda_ext.build import build
from benchsuite.cuda_ext.ptx import PTXFault, load
from benchsuite.cuda_ext.ptx.machine import Machine
from benchsuite.cuda_ext.ptx.memory import NOBODY, Buffer, GlobalMemory
from benchsuite.cuda_ext.ptx.parse import Kernel

RUNTIME = Path(__file__).parent / "runtime.cpp"
WRAPPED = (
    "aoti_torch_get_device_type",
    "aoti_torch_get_device_index",
    "aoti_torch_is_contiguous",
    "aoti_torch_empty_strided",
    "torch_get_const_data_ptr",
    "torch_get_mutable_data_ptr",
    "aoti_torch_create_device_guard",
    "aoti_torch_delete_device_guard",
    "aoti_torch_library_init_impl",
    "aoti_torch_library_init_fragment",
)
DEVICE = 3


class _Launch(ctypes.Structure):
    _fields_ = (
        ("kernel", ctypes.c_char_p),
        ("grid", ctypes.c_uint * 3),
        ("block", ctypes.c_uint * 3),
        ("shared", ctypes.c_uint64),
        ("device", ctypes.c_int32),
        ("stream_of", ctypes.c_int32),
        ("arguments", ctypes.POINTER(ctypes.c_void_p)),
    )


_Ints = ctypes.POINTER(ctypes.c_int64)
_OnLaunch = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(_Launch))
_OnPointer = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, _Ints, _Ints, ctypes.c_int64)
_OnNew = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64)


@dataclass(frozen=True)
class Launch:
    """One launch, as the host asked for it."""

    kernel: str
    grid: tuple[int, int, int]
    block: tuple[int, int, int]
    shared: int


def link(objects: list[Path], target: Path) -> None:
    """Link the library's objects with the runtime that records."""
    todo = build_plan.plan()
    link = [option for option in todo.link if option not in ("-lcudart_static", "-Wl,--no-as-needed")]
    wraps = [f"-Wl,--wrap={name}" for name in WRAPPED]
    command = [todo.cxx.path, "-std=c++17", "-fPIC", "-fvisibility=hidden", "-isystem", str(todo.torch.include)]
    done = subprocess.run(
        [*command, str(RUNTIME), *map(str, objects), *wraps, *link, "-o", str(target)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


class Device:
    """The operators of one library, `torch.ops.benchsuite_cuda`."""

    def __init__(self, library: Path) -> None:
        torch.ops.load_library(str(library))
        self._library = ctypes.CDLL(str(library))
        self._hooks = (_OnLaunch(self._launch), _OnPointer(self._pointer), _OnNew(self._new))
        self._library.listen(*self._hooks)
        self._imagining = False
        self._begin()

    @staticmethod
    @cache
    def load() -> Device:
        """The library of this checkout; linked once for these sources, objects and runtime."""
        build()
        todo = build_plan.plan()
        key = digest([todo.key, RUNTIME.read_text(), WRAPPED], 24)
        library = build_plan.kernels_dir("recording") / f"{key}.so"
        if not library.is_file():
            with write_atomically(library) as temporary:
                link([unit.object for unit in todo.units], temporary)
        return Device(library)

    def call(self, operator: str, *arguments: Any, failing: int = -1) -> tuple[Any, ...]:
        """Return the results of an operator, launch number `failing` of which fails.

        Raises what the interpreter found, or the operator's own RuntimeError.
        """
        self._begin()
        self._library.begin(failing, self._imagining)
        try:
            results = getattr(torch.ops.benchsuite_cuda, operator)(*arguments)
        except RuntimeError:
            if self._fault:
                raise self._fault from None
            raise
        assert self._fault is None, f"{operator} does not notice that a launch failed"
        assert self._library.device() == 0, f"{operator} leaves another device current"
        return operator_cases.several(results)

    @contextmanager
    def imagining(self) -> Iterator[None]:
        """Only launch: nothing is executed, and new tensors have no memory, so that any size can be tried."""
        self._imagining = True
        try:
            yield
        finally:
            self._imagining = False

    def _begin(self) -> None:
        self.memory, self.launches, self._fault = GlobalMemory(), [], None
        self._uninitialised: dict[int, int] = {}

    def _new(self, begin: int | None, size: int) -> None:
        if begin:
            self._uninitialised[begin] = size

    def _pointer(self, begin: int | None, dims: int, sizes: Any, strides: Any, item: int) -> None:
        """Make the bytes of a tensor known; tensors that overlap share a buffer."""
        shape = [sizes[d] for d in range(dims)]
        if not begin or 0 in shape or self._imagining:
            return
        steps = [strides[d] * item for d in range(dims)]
        size = sum((n - 1) * step for n, step in zip(shape, steps, strict=True)) + item
        inside = (b for b in self.memory.buffers if b.address <= begin and begin + size <= b.address + b.data.size)
        held = next(inside, None)
        if held is None:
            touching = [b for b in self.memory.buffers if b.address < begin + size and begin < b.address + b.data.size]
            first = min([begin, *(b.address for b in touching)])
            last = max([begin + size, *(b.address + b.data.size for b in touching)])
            data = np.frombuffer((ctypes.c_uint8 * (last - first)).from_address(first), np.uint8)
            held = Buffer(f"tensor {len(self.memory.buffers)}", first, data, np.zeros(last - first, np.bool_))
            for b in touching:
                held.written[b.address - first :][: b.data.size] |= b.written
            self.memory.buffers = [b for b in self.memory.buffers if not any(b is t for t in touching)] + [held]
        if self._uninitialised.get(begin) == size:
            return
        elements = np.lib.stride_tricks.as_strided(
            held.written[begin - held.address :], (*shape, item), (*steps, 1), writeable=True
        )
        elements[...] = True

    def _launch(self, given: Any) -> int:
        launch = given.contents
        try:
            self._run(launch)
        except BaseException as fault:  # which must not unwind through C
            self._fault = fault
            return 0
        return 1

    def _run(self, launch: _Launch) -> None:
        mangled = launch.kernel.decode()
        family = ANONYMOUS.search(mangled)
        assert family is not None, mangled
        name = ANONYMOUS.sub("_", mangled)
        grid, block = tuple(launch.grid), tuple(launch.block)
        self.launches.append(Launch(name, grid, block, launch.shared))
        if launch.device != DEVICE or launch.stream_of != DEVICE:
            raise PTXFault(f"{name} is launched on device {launch.device} and on a stream of {launch.stream_of}")
        if self._imagining:
            return
        kernel = kernels_of(family[1])[name]
        arguments = [
            ctypes.string_at(launch.arguments[number], parameter.size)
            for number, parameter in enumerate(kernel.parameters)
        ]
        for buffer in self.memory.buffers:  # a launch waits for the end of those before it
            buffer.writers[:] = buffer.readers[:] = NOBODY
        Machine(kernel, self.memory, grid, block, arguments, launch.shared).run()


# nvcc makes this of the file and of its command, for an anonymous namespace.
ANONYMOUS = re.compile(r"\d+_GLOBAL__N__[0-9a-f]{8}_\d+_(\w+)_cu_[0-9a-f]{8}")


@cache
def kernels_of(family: str) -> dict[str, Kernel]:
    """The kernels of cuda/FAMILY.cu by their names, without what differs between two compilations."""
    program = load(build_plan.CSRC / "cuda" / f"{family}.cu")
    return {ANONYMOUS.sub("_", name): kernel for name, kernel in program.kernels.items()}
