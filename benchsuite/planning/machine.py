"""The properties of this machine that decide what can run."""

from __future__ import annotations

import shutil
from dataclasses import dataclass

from benchsuite import cuda_ext, devices
from benchsuite.hardware import fingerprint

PRODUCTS = {"avx512_bf16", "amx_tile"}  # what a CPU has whose 16-bit products pay (reports/engine/nano_training.md)


@dataclass(frozen=True)
class Machine:
    """The properties of this machine that decide what can run: usable `cores`, the `device` to measure (or several with
    commas between), a C++ `compiler`'s name, why there are no `fused` kernels (None if there are), and whether the CPU
    has 16-bit `products` that pay. `elsewhere` is the name of the GPU where it is another machine's, of whose packages
    nothing is known."""

    cores: int
    device: str = "cpu"
    compiler: str | None = "c++"
    no_kernels: str | None = None
    elsewhere: str | None = None
    products: bool = False

    @classmethod
    def here(cls, device: str = devices.AUTO) -> Machine:
        """This machine. Raises UserError for a device that is not there."""
        device = devices.choose(device).device
        compiler = next((name for name in ("c++", "g++", "clang++") if shutil.which(name)), None)
        products = set(fingerprint.cpu_flags()) >= PRODUCTS
        no_kernels = cuda_ext.unavailable_reason()
        return cls(fingerprint.usable_cores(), device, compiler, no_kernels, products=products)

    @property
    def devices(self) -> tuple[devices.Device, ...]:
        return devices.several(self.device)
