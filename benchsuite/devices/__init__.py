"""One object for each kind of device: what it is called, what it computes best in, and how time, memory and state are
measured on it.

    devices.choose("auto").device           # "cuda", or "cpu" where there is no accelerator
    device = devices.named("cuda:1")        # UserError for a name that is none
    device.check()                          # UserError where there is no such device here
    device.clock("event-cold").time_calls(call, 10)

A kind is one file of this package: a subclass of `Device`, whose `kind` is the name of the file and of torch's device
type. Plans ask devices too, so a file here imports torch inside its methods only.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeVar

from benchsuite.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

    from benchsuite.hardware.roofline import Distance, Peaks
    from benchsuite.records.params import Params, TrainingParams
    from benchsuite.timing.clock import Clock
    from benchsuite.timing.memory import Memory
    from benchsuite.timing.monitor import Monitor

AUTO = "auto"
Scope = Literal["layer", "step", "operator"]
DType = Literal["float32", "bfloat16", "float16"]
Built = TypeVar("Built")


@dataclass(frozen=True)
class Seen:
    """The devices of one kind that are here, as far as can be told without torch: the model of each that torch can use;
    where there is one that it cannot use, why, and what would fix it. `driver` describes their driver."""

    models: tuple[str, ...] = ()
    driver: str | None = None
    why_not: str | None = None
    fix: str | None = None


@dataclass(frozen=True)
class Choice:
    """The device, or several with commas between, that `asked` stands for, and why, for a reader."""

    asked: str
    device: str
    why: str

    def __str__(self) -> str:
        return f"device: {self.device}, {self.why}"


@dataclass(frozen=True)
class Device:
    """A device by the `name` that torch gives it, such as `cpu` or `cuda:1`. What a subclass does not say is that of an
    accelerator of which nothing is known but what `torch.accelerator` offers."""

    name: str

    kind: ClassVar[str]
    numbered: ClassVar[bool] = True  # there may be several, as cuda:0 and cuda:1
    modes: ClassVar[tuple[str, ...]] = ("wall",)  # of timing, the default first; devices/cuda.py explains them
    is_host: ClassVar[bool] = False  # computes on the host's cores, in the host's memory, as its threads
    scripted: ClassVar[bool] = False  # nothing is computed: times, memory and failures are written down
    has_float64_kernels: ClassVar[bool] = False  # of the custom operators
    sanitized: ClassVar[bool] = False  # NVIDIA's compute-sanitizer can watch the custom operators
    block_s: ClassVar[float | None] = 0.005  # the shortest block of calls that is timed; None: the sampler's own
    launch_s: ClassVar[float] = 8e-6  # what the host takes to start one operator of a model
    call_rates: ClassVar[tuple[float, float]] = (5e13, 1e12)  # FLOP/s, bytes/s: enough to tell what is far too large
    evaluation_tokens: ClassVar[int] = 16_384  # in one forward pass of an evaluation
    process_group: ClassVar[str] = "gloo"  # the backend of torch.distributed for several of them
    lock: ClassVar[str | None] = None  # the name of the lock that all of the kind share; None: one for each number

    @property
    def number(self) -> int:
        """Its index among those of its kind."""
        return int(self.name.partition(":")[2] or 0)

    @property
    def lock_name(self) -> str:
        """The name of the lock that a measurement on it holds (`benchsuite.locks`)."""
        return self.lock or f"{self.kind}-{self.number}"

    def dtype(self, scope: Scope) -> DType:
        """The type that `auto` stands for: layers and operators compute in it, steps and trainings their products,
        while weights and optimizer stay float32."""
        return "bfloat16"

    @classmethod
    def seen(cls) -> Seen:
        """Return what there is of this kind."""
        return Seen()

    def check(self) -> None:
        """Raise UserError where there is no such device here, as far as can be told without torch."""

    def model(self) -> str | None:
        """Return the name that its maker gives it; None where it cannot be told without torch."""
        return None

    def sustained_flop_per_s(self, dtype: str) -> float:
        """Return the FLOP/s that a training may reach, of a CPU on one core: a guess, for estimates before anything has
        run."""
        return self.call_rates[0]

    def capacity_bytes(self) -> int | None:
        """Return the size of its memory; None where it is not known."""
        return None

    def problem(self) -> str | None:
        """Return why torch cannot compute on it in this process; None where it can."""
        import torch

        found = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
        return None if found is not None and found.type == self.kind else f"torch sees no device {self.name!r} here"

    def for_case(self, params: Params) -> Device:
        """The device as the case `params` meets it."""
        return self

    def for_rank(self, rank: int) -> Device:
        """The device of one process among several on this machine."""
        return self

    def select(self) -> None:
        """Make it torch's current device."""
        import torch

        torch.accelerator.set_device_index(self.number)

    def synchronize(self) -> None:
        """Wait until it has done all that it was asked to."""
        import torch

        torch.accelerator.synchronize(self.number)

    def check_mode(self, mode: str, key: str = "") -> None:
        """Raise UserError for a timing mode that it has not; `key` is where the mode was asked for."""
        if mode not in self.modes:
            raise UserError(
                f"{f'{key}: ' if key else ''}{self.name} has no timing mode {mode!r}",
                hint=f"choose from: {', '.join(self.modes)}",
            )

    def clock(self, mode: str) -> Clock:
        """Make it the current device and return its clock in `mode`. Raises UserError for a mode that it has not."""
        from benchsuite.timing.clock import WallClock

        self.check_mode(mode)
        self.select()
        return WallClock(self.synchronize)

    def subject(self, build: Callable[[], Built]) -> Built:
        """Return what is timed on it: what `build` makes."""
        return build()

    def trained(self, params: TrainingParams, seed: int, train: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Return the result of a training: what `train` gives."""
        return train()

    def monitor(self, *, shared: int = 0) -> Monitor:
        """Return what watches it, and the host, while a case is timed beside `shared` other processes of the round."""
        from benchsuite.timing.monitor import Monitor

        return Monitor(shared=shared)

    def memory(self, call: Callable[[], object], held: Iterable[Tensor]) -> Memory:
        """Call once, and return what that allocates beside the tensors that are `held`."""
        from benchsuite.timing.memory import measure_memory

        return measure_memory(call, held)

    def published(self, dtype: str) -> Peaks | None:
        """Return its maker's peaks for products in `dtype`; None where they are not known."""
        return None

    def impossible(
        self, time_s: float, flops: int | None, distance: Distance | None, *, dtype: str, mode: str, threads: int
    ) -> str | None:
        """Return why a call cannot have taken `time_s`; None where it can."""
        return None

    def __str__(self) -> str:
        return self.name


@cache
def kinds() -> dict[str, type[Device]]:
    """Return all kinds of devices by name: the CPU, then accelerators, then what only tests use."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
    found = {kind.kind: kind for kind in Device.__subclasses__()}
    return dict(sorted(found.items(), key=lambda item: (not item[1].is_host, item[1].scripted, item[0])))


@cache
def named(name: str) -> Device:
    """Return the device of that name. Raises UserError for a name that is none."""
    kind, numbered, number = name.partition(":")
    known = kinds()
    if kind not in known or (numbered and not (known[kind].numbered and number.isdecimal())):
        raise UserError(f"unknown device {name!r}", hint=f"choose from: {', '.join(known)}")
    return known[kind](name)


def of(params: Params) -> Device:
    """Return the device of a case's parameters."""
    return named(params.device)


def several(names: str) -> tuple[Device, ...]:
    """Return the devices of `names`, such as `cpu` or `cuda:0,cuda:1`. Raises UserError where a name is none, has no
    number beside others, or stands there twice."""
    parts = names.split(",")
    found = tuple(map(named, parts))
    if len(parts) > 1 and (bare := [part for part in parts if ":" not in part]):
        kind = next((device.kind for device in found if device.numbered), "cuda")
        raise UserError(
            f"--device {names}: of several devices each has a number, and {bare[0]} has none",
            hint=f"--device {kind}:0,{kind}:1",
        )
    if len(set(parts)) < len(parts):
        raise UserError(f"--device {names} names a device twice")
    return found


def choose(asked: str = AUTO, *, many: bool = True) -> Choice:
    """Return the devices that `asked` stands for, each of which is here. `auto` is all accelerators of the first kind
    that is here, or one where not `many`, and the CPU where there is none. Raises UserError for a device that is
    none, or not here."""
    if asked != AUTO:
        for device in several(asked):
            device.check()
        return Choice(asked, asked, "as --device says")
    kept_from = ""
    for kind in accelerators():
        seen = kind.seen()
        if len(seen.models) > 1 and many and kind.numbered:
            names = ",".join(f"{kind.kind}:{number}" for number in range(len(seen.models)))
            return Choice(asked, names, f"{len(seen.models)} here, the first a {seen.models[0]}")
        if seen.models:
            rest = f", the first of {len(seen.models)}" if len(seen.models) > 1 else ""
            return Choice(asked, kind.kind, f"{seen.models[0]}{rest}")
        if seen.why_not and not kept_from:
            kept_from = seen.why_not + (f": {seen.fix}" if seen.fix else "")
    return Choice(asked, "cpu", f"since {kept_from or 'there is no accelerator here'}")


def accelerators() -> list[type[Device]]:
    """Return the kinds that `auto` looks for, the preferred first."""
    return [kind for kind in kinds().values() if not (kind.is_host or kind.scripted)]


def initialised() -> list[str]:
    """Return the accelerators whose driver this process has begun to use, so that a fork of it cannot. Imports
    nothing."""
    torch = sys.modules.get("torch")
    names = [kind.kind for kind in accelerators()]  # torch.cpu calls itself initialised too
    begun = {name: getattr(getattr(torch, name, None), "is_initialized", None) for name in names}
    return [name for name, asked in begun.items() if asked is not None and asked()]
