"""Apple's GPU. torch knows one, in the memory of the host, and no counter of its clocks, heat or peaks."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from typing import ClassVar

from benchsuite.devices import Device, Seen
from benchsuite.errors import UserError


@dataclass(frozen=True)
class MPS(Device):
    """The one GPU of an Apple machine."""

    kind: ClassVar[str] = "mps"
    numbered: ClassVar[bool] = False

    @classmethod
    def seen(cls) -> Seen:
        apple = platform.system() == "Darwin" and platform.machine() == "arm64"
        return Seen(("Apple GPU",)) if apple else Seen()

    def check(self) -> None:
        if not self.seen().models:
            raise UserError("--device mps: this is no Apple machine with a GPU", hint="use --device cpu")

    def select(self) -> None:
        """There is one."""

    def synchronize(self) -> None:
        import torch

        torch.mps.synchronize()
