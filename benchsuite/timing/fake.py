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
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from benchsuite.errors import UserError
from benchsuite.timing.clock import FakeClock

if TYPE_CHECKING:
    from benchsuite.timing.memory import Memory

DEVICE = "fake"
VARIABLE = "BENCHSUITE_FAKE_DEVICE"


class Entry(BaseModel):
    """What happens to the cases that fit `case`; what is not given is left as it was."""

    model_config = ConfigDict(extra="forbid")

    case: str = "*"
    time_s: tuple[float, ...] = Field((), description="seconds of one call each, the last for ever")
    spread: float = Field(0.0, ge=0, description="relative standard deviation between processes")
    peak_bytes: int | None = None
    throttled: tuple[str, ...] = ()
    disturbed: tuple[str, ...] = ()
    fails: Literal["oom", "hang", "crash", "error", "wrong"] | None = None


class Script:
    """What the entries say of one case."""

    def __init__(self, entry: Entry) -> None:
        self.entry = entry

    def clock(self) -> FakeClock:
        factor = random.lognormvariate(0.0, self.entry.spread) if self.entry.spread else 1.0
        return FakeClock([x * factor for x in self.entry.time_s or (1e-3,)])

    def subject(self) -> Any:
        """Stands in for benchsuite.measure.subjects.Subject."""
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

    def memory(self, subject: Any) -> Memory:
        from benchsuite.timing.memory import Memory

        return Memory(self.entry.peak_bytes, None, None)

    def monitor(self, *, shared: int) -> FakeMonitor:
        return FakeMonitor(self.entry)

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


class FakeMonitor:
    """Has seen what the script says."""

    def __init__(self, entry: Entry) -> None:
        self._entry = entry

    def __enter__(self) -> FakeMonitor:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing runs."""

    def summary(self) -> dict[str, Any]:
        return {"disturbed": list(self._entry.disturbed), "throttled": list(self._entry.throttled)}


def is_fake(device: str) -> bool:
    """Whether a device's name is that of one: fake, fake:1."""
    return device.partition(":")[0] == DEVICE


def entries() -> list[Entry]:
    """The script that the environment names. Raises UserError where there is none or it is not one."""
    name = os.environ.get(VARIABLE)
    if not name:
        raise UserError(f"--device fake needs a script, and {VARIABLE} is not set", hint=f"{VARIABLE}=script.yaml")
    try:
        return TypeAdapter(list[Entry]).validate_python(yaml.safe_load(Path(name).read_text(encoding="utf-8")) or [])
    except (OSError, yaml.YAMLError, ValidationError) as error:
        raise UserError(f"{VARIABLE}: {name} is no script of a fake device: {error}") from error


def script(params: dict[str, Any]) -> Script:
    """What the script says of the speed case `params`."""
    shape = params["shape"]
    parts = [params[key] for key in ("component", "variant", "implementation", "scope", "direction")]
    label = "/".join([*parts, f"{shape['batch']}x{shape['seq']}x{shape['width']}"])
    merged: dict[str, Any] = {}
    for entry in entries():
        if fnmatch.fnmatchcase(label, entry.case):
            merged |= entry.model_dump(exclude_unset=True)
    return Script(Entry(**merged))
