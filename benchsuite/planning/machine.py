"""What of this machine decides what can run."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchsuite import cuda_ext
from benchsuite.errors import UserError
from benchsuite.hardware import cgroup, fingerprint
from benchsuite.timing import fake

# cuda is also what torch calls an AMD GPU; cuda:1 is the second. fake is a script (benchsuite.timing.fake).
DEVICES = ("cpu", "cuda", "mps", "xpu", fake.DEVICE)
NUMBERED = ("cuda", "xpu", fake.DEVICE)
PRODUCTS = {"avx512_bf16", "amx_tile"}  # what a CPU has whose 16-bit products pay (reports/engine/nano_training.md)


def _memory(device: str) -> int | None:
    """Bytes of a device's memory: the host's own for a CPU, as much as its control group has."""
    kind, _, number = device.partition(":")
    if kind == "cpu":
        limit = cgroup.memory_limit()
        total = int(psutil.virtual_memory().total)
        return total if limit is None else min(limit, total)
    if kind == "cuda" and len(gpus := fingerprint.gpus()) > int(number or 0):
        found: int | None = gpus[int(number or 0)]["memory_bytes"]
        return found
    return None


def _cuda_here() -> bool:
    """Whether a driver shows a GPU: NVIDIA's library, or AMD's device file."""
    return bool(fingerprint.gpus()) or Path("/dev/kfd").exists()


@dataclass(frozen=True)
class Machine:
    """What of this machine decides what can run: usable `cores`, the `device` to measure (or several with commas
    between), a C++ `compiler`'s name, why there are no kernels of ours (None where there are), whether the CPU has
    16-bit `products` that pay, and the memory of the smallest device (None where it is not known)."""

    cores: int
    device: str = "cpu"
    compiler: str | None = "c++"
    no_kernels: str | None = None
    products: bool = False
    memory_bytes: int | None = None

    @classmethod
    def here(cls, device: str = "cpu") -> Machine:
        """This machine. Raises UserError for a device that is not there."""
        names = device.split(",")
        for name in names:
            kind, numbered, number = name.partition(":")
            if kind not in DEVICES or (numbered and not (kind in NUMBERED and number.isdecimal())):
                raise UserError(f"unknown device {name!r}", hint=f"choose from: {', '.join(DEVICES)}")
            if len(names) > 1 and not numbered:
                raise UserError(
                    f"--device {device}: of several devices each has a number", hint="--device cuda:0,cuda:1"
                )
            if kind == "cuda" and not _cuda_here():
                raise UserError("no GPU is visible here", hint="use --device cpu; `benchsuite doctor` says more")
            if kind == fake.DEVICE:
                fake.entries()
        if len(set(names)) < len(names):
            raise UserError(f"--device {device} names a device twice")
        compiler = next((name for name in ("c++", "g++", "clang++") if shutil.which(name)), None)
        products = set(fingerprint.cpu_flags()) >= PRODUCTS
        memory = min((found for name in names if (found := _memory(name)) is not None), default=None)
        return cls(fingerprint.usable_cores(), device, compiler, cuda_ext.unavailable_reason(), products, memory)

    @property
    def devices(self) -> list[str]:
        return self.device.split(",")
