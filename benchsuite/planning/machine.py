"""What of this machine decides what can run."""

from __future__ import annotations

import shutil
from dataclasses import dataclass

from benchsuite import cuda_ext, devices
from benchsuite.hardware import fingerprint


@dataclass(frozen=True)
class Machine:
    """What of this machine decides what can run: usable `cores`, the `device` to measure (or several with commas
    between), a C++ `compiler`'s name, and why there are no kernels of ours (None where there are). `elsewhere`: it is
    another machine, of whose packages nothing is known."""

    cores: int
    device: str = "cpu"
    compiler: str | None = "c++"
    no_kernels: str | None = None
    elsewhere: bool = False

    @classmethod
    def here(cls, device: str = devices.AUTO) -> Machine:
        """This machine. Raises UserError for a device that is not there."""
        device = devices.choose(device).device
        compiler = next((name for name in ("c++", "g++", "clang++") if shutil.which(name)), None)
        return cls(fingerprint.usable_cores(), device, compiler, cuda_ext.unavailable_reason())

    @property
    def devices(self) -> tuple[devices.Device, ...]:
        return devices.several(self.device)
