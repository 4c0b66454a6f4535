"""A device on paper: time, memory, heat and failures as a script says, so that a whole run takes seconds anywhere.

    # fake.yaml: entries that fit a case are laid over one another, the last on top
    - case: "*"
      time_s: [0.003, 0.002]      # of one call each, the last for ever
      spread: 0.01                # relative standard deviation between processes
    - case: "activation/swiglu/*"
      fails: oom

    BENCHSUITE_FAKE_DEVICE=fake.yaml benchsuite run quick --device fake

The name that `case` fits is component/variant/implementation/scope/direction/batch x seq x width. The engine above it
is the real one: it warms up, samples, checks and records what the script gives it.
"""

from __future__ import annotations

import fnmatch
import os
import random
import signal
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from benchsuite.devices import Device, DType, Scope
from benchsuite.errors import UserError
from benchsuite.timing.clock import FakeClock
from benchsuite.timing.monitor import Monitor

if TYPE_CHECKING:
    from torch import Tensor

    from benchsuite.timing.memory import Memory

VARIABLE = "BENCHSUITE_FAKE_DEVICE"


class Entry(BaseModel):
    """The events for the cases that fit `case`; what is not given is left as it was."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    case: str = "*"
    time_s: tuple[float, ...] = Field(default=(), description="seconds of one call each, the last for ever")
    spread: float = Field(default=0.0, ge=0, description="relative standard deviation between processes")
    peak_bytes: int | None = None
    throttled: tuple[str, ...] = ()
    disturbed: tuple[str, ...] = ()
    fails: Literal["oom", "hang", "crash", "error", "wrong"] | None = None


@dataclass(frozen=True)
class Fake(Device):
    """A scripted device. `entry` is what the script says of the case that it was asked about."""

    entry: Entry = field(default_factory=lambda: Entry())

    kind: ClassVar[str] = "fake"
    scripted: ClassVar[bool] = True
    has_float64_kernels: ClassVar[bool] = True
    call_rates: ClassVar[tuple[float, float]] = (5e10, 1e9)

    def dtype(self, scope: Scope) -> DType:
        return "float32"

    def check(self) -> None:
        entries()

    def problem(self) -> str | None:
        return None

    def for_case(self, params: Mapping[str, Any]) -> Fake:
        return replace(self, entry=scripted(params))

    def select(self) -> None:
        """There is nothing."""

    def synchronize(self) -> None:
        """There is nothing to wait for."""

    def clock(self, mode: str) -> FakeClock:
        factor = random.lognormvariate(0.0, self.entry.spread) if self.entry.spread else 1.0
        return FakeClock([x * factor for x in self.entry.time_s or (1e-3,)])

    def subject(self, build: Callable[[], Any]) -> Any:
        """Return what stands in for a benchsuite.measure.subjects.Subject."""
        import torch

        right = torch.ones(1)

        return SimpleNamespace(
            call=self._fail,
            results=lambda: [right + (self.entry.fails == "wrong")],
            reference=lambda: [right.double()],
            held=[],
            clear=lambda: None,
            tokens=1024,
            flops=None,
            bytes_moved=None,
            executed_flops=None,
        )

    def monitor(self, *, shared: int = 0) -> FakeMonitor:
        return FakeMonitor(self.entry)

    def memory(self, call: Callable[[], object], held: Iterable[Tensor]) -> Memory:
        from benchsuite.timing.memory import Memory

        return Memory(self.entry.peak_bytes, None, None)

    def _fail(self) -> None:
        match self.entry.fails:
            case "oom":
                raise MemoryError("the script says so")
            case "hang":
                time.sleep(3600)
            case "crash":
                os.kill(os.getpid(), signal.SIGSEGV)
            case "error":
                raise RuntimeError("the script says so")


class FakeMonitor(Monitor):
    """Has seen what the script says."""

    def __init__(self, entry: Entry) -> None:
        super().__init__()
        self._entry = entry

    def summary(self) -> dict[str, Any]:
        return {"disturbed": list(self._entry.disturbed), "throttled": list(self._entry.throttled)}


def entries() -> list[Entry]:
    """The script that the environment names. Raises UserError where there is none or it is not one."""
    name = os.environ.get(VARIABLE)
    if not name:
        raise UserError(f"--device fake needs a script, and {VARIABLE} is not set", hint=f"{VARIABLE}=script.yaml")
    try:
        return TypeAdapter(list[Entry]).validate_python(yaml.safe_load(Path(name).read_text(encoding="utf-8")) or [])
    except (OSError, yaml.YAMLError, ValidationError) as error:
        raise UserError(f"{VARIABLE}: {name} is no script of a fake device: {error}") from error


def scripted(params: Mapping[str, Any]) -> Entry:
    """Return what the script says of the speed case `params`."""
    shape = params["shape"]
    parts = [params[key] for key in ("component", "variant", "implementation", "scope", "direction")]
    label = "/".join([*parts, f"{shape['batch']}x{shape['seq']}x{shape['width']}"])
    merged: dict[str, Any] = {}
    for entry in entries():
        if fnmatch.fnmatchcase(label, entry.case):
            merged |= entry.model_dump(exclude_unset=True)
    return Entry(**merged)
