"""Intel's GPUs: timed by the host's clock around synchronised calls, with no monitor and no peaks yet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from benchsuite.devices import Device


@dataclass(frozen=True)
class XPU(Device):
    """One of Intel's GPUs."""

    kind: ClassVar[str] = "xpu"
