"""Intel's GPUs: timed by the host's clock around synchronised calls, with no monitor and no peaks yet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from benchsuite.devices import Device, Seen
from benchsuite.errors import UserError
from benchsuite.hardware import fingerprint


@dataclass(frozen=True)
class XPU(Device):
    """One of Intel's GPUs."""

    kind: ClassVar[str] = "xpu"

    @classmethod
    def seen(cls) -> Seen:
        if not fingerprint.torch_backends().get("xpu"):
            return Seen()
        import torch

        return Seen(tuple(torch.xpu.get_device_name(number) for number in range(torch.xpu.device_count())))

    def check(self) -> None:
        if self.number >= len(self.seen().models):
            raise UserError(f"--device {self.name}: torch sees no such GPU", hint="`benchsuite doctor` says more")
