"""Apple's GPU. torch knows one, in the memory of the host, and no counter of its clocks, heat or peaks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from benchsuite.devices import Device


@dataclass(frozen=True)
class MPS(Device):
    """The one GPU of an Apple machine."""

    kind: ClassVar[str] = "mps"
    numbered: ClassVar[bool] = False

    def select(self) -> None:
        """There is one."""

    def synchronize(self) -> None:
        import torch

        torch.mps.synchronize()
