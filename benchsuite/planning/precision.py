"""The type in which a case computes, where its suite leaves that to the machine. No torch here.

`auto` is what computes fastest here for all models of a suite alike, so that none is compared with another in another
type. A training in bfloat16 is one in mixed precision: products in bfloat16, weights, gradients and optimizer in
float32.
"""

from __future__ import annotations

from typing import Literal

from benchsuite import components
from benchsuite.devices import AUTO, Device
from benchsuite.planning.machine import Machine
from benchsuite.suite.schema import Precision, Suite


def of_layer(asked: str | None, device: Device) -> str:
    """Return the type of a layer: the device's own where none is asked for, or `auto`."""
    return device.dtype("layer") if asked in (None, AUTO) else str(asked)


def of_training(asked: Precision | Literal["auto"], device: Device, machine: Machine, suite: Suite) -> Precision:
    """Return the precision of a training step, and of the trainings of `suite`.

    `auto` is the device's own. On a CPU it is bfloat16 where `faster_in_bfloat16` and every model of the suite
    is computed by our kernels: torch's own gain nothing there (reports/precision).
    """
    if asked != "auto":
        return asked
    faster = device.is_host and not device.scripted and faster_in_bfloat16(machine) and _fused(suite)
    return "bfloat16" if faster else device.dtype("step")


def faster_in_bfloat16(machine: Machine) -> bool:
    """Return whether a training step by our kernels is faster in mixed precision on this CPU, which its flags tell: it
    has AMX, and our kernels run. With AVX512-BF16 alone they run, too, and how fast has not been measured."""
    return machine.products and machine.no_kernels is None


def _fused(suite: Suite) -> bool:
    if suite.quality is None or suite.quality.train.implementation not in ("best", "fused"):
        return False
    named = [(name, getattr(suite.baseline, name)) for name in components.COMPONENTS]
    named += [
        (name, variant)
        for name, variants in suite.quality.variants.items()
        if name in components.COMPONENTS
        for variant in variants
    ]
    return all("fused" in components.get(*one).implementations for one in named)
