"""A device on paper: time, memory, heat and failures as a script says, so that a whole run takes seconds anywhere.

    # fake.yaml: entries that fit a case are laid over one another, the last on top
    - case: "*"
      time_s: [0.003, 0.002]      # of one call each, the last for ever
      spread: 0.01                # relative standard deviation between processes
    - case: "activation/swiglu/*"
      fails: oom

    BENCHSUITE_FAKE_DEVICE=fake.yaml benchsuite run quick --device fake

The name that `case` fits is component/variant/implementation/scope/direction/batch x seq x width, and of a training
training/activation/position/embedding_norm/corpus/tokens. The engine above it is the real one: it warms up, samples,
checks and records what the script gives it. With `gpu: NVIDIA H100 80GB HBM3` it passes for a device of that name.
"""

from __future__ import annotations

import fnmatch
import os
import random
import signal
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from benchsuite.devices import Device, DType, Scope
from benchsuite.devices.cuda import sustained
from benchsuite.errors import UserError
from benchsuite.records.params import EvaluationParams, OperatorParams, Params, SpeedParams, TrainingParams
from benchsuite.timing.clock import FakeClock
from benchsuite.timing.monitor import Monitor

if TYPE_CHECKING:
    from torch import Tensor

    from benchsuite.timing.memory import Memory

VARIABLE = "BENCHSUITE_FAKE_DEVICE"
DOCUMENTS = 60  # of each task, and of the held-out text, of a training on paper


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
    worth: float = Field(1.0, gt=0, description="of a training: the multiple of its tokens that it is as good as")
    gpu: str | None = Field(None, description="the GPU that the device passes for, where the case is *")
    memory_bytes: int | None = Field(None, gt=0, description="of that GPU")


@dataclass(frozen=True)
class Fake(Device):
    """A scripted device. `entry` is what the script says of the case that it was asked about."""

    entry: Entry = field(default_factory=lambda: Entry.model_validate({}))

    kind: ClassVar[str] = "fake"
    scripted: ClassVar[bool] = True
    has_float64_kernels: ClassVar[bool] = True
    call_rates: ClassVar[tuple[float, float]] = (5e10, 1e9)

    def dtype(self, scope: Scope) -> DType:
        return "float32" if self.model() is None else super().dtype(scope)

    def check(self) -> None:
        entries()

    def model(self) -> str | None:
        return _merged("*").gpu if VARIABLE in os.environ else None

    def capacity_bytes(self) -> int | None:
        return _merged("*").memory_bytes

    def sustained_flop_per_s(self, dtype: str) -> float:
        return sustained(self.model(), dtype) or super().sustained_flop_per_s(dtype)

    def problem(self) -> str | None:
        return None

    def for_case(self, params: Params) -> Fake:
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

    def trained(self, params: TrainingParams, seed: int, train: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Return what a training might give: bits and outcomes of a law of scaling, at the tokens times `worth`, with
        the noise of a seed."""
        self._fail()
        return _trained(params, seed, self.entry)

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


def scripted(params: Params) -> Entry:
    """Return what the script says of the case `params`, whose name it gives to the patterns. Raises TypeError for a
    kind of case that it cannot name."""
    match params:
        case TrainingParams(model=model, corpus=corpus, train=train):
            parts = ["training", model.activation, model.position, model.embedding_norm, corpus.name, str(train.tokens)]
        case SpeedParams() | OperatorParams() | EvaluationParams():
            shape = params.shape
            parts = [params.component, params.variant, params.implementation, params.scope, params.direction]
            parts.append(f"{shape.batch}x{shape.seq}x{shape.width}")
        case _:
            raise TypeError(f"a fake device has no script for {type(params).__name__}")
    return _merged("/".join(parts))


def _merged(name: str) -> Entry:
    merged: dict[str, Any] = {}
    for entry in entries():
        if fnmatch.fnmatchcase(name, entry.case):
            merged |= entry.model_dump(exclude_unset=True)
    return Entry(**merged)


def _trained(params: TrainingParams, seed: int, entry: Entry) -> dict[str, Any]:
    """A result of `benchsuite.measure.quality.train_and_evaluate`."""
    tokens, limit = params.train.tokens, min(DOCUMENTS, params.tasks.limit)
    told = [part.json() for part in (params.model, params.corpus, params.train)]
    drawn = random.Random(" ".join(map(str, (seed, params.init_offset, *told))))
    same = random.Random("the same documents for all models")
    sizes = [same.randint(200, 900) for _ in range(DOCUMENTS)]
    hard = [same.uniform(-0.2, 0.2) for _ in range(limit)]
    seen = entry.worth * tokens
    bits = 0.8 + 8 * seen**-0.2 + drawn.gauss(0, 0.002)
    losses = [(done * tokens, 1 + 8 * (done * seen) ** -0.2) for done in (0.25, 0.5, 0.75, 1.0)]
    tasks = {}
    for family in ("recall", "syntax"):
        right = "".join("01"[drawn.random() < 1.25 - 0.5 * bits + more] for more in hard)
        tasks[family] = {"acc": right.count("1") / limit, "n": limit, "random_acc": 0.25, "family": family}
        tasks[family]["outcomes"] = right
    time_s = tokens / params.model.seq / params.train.batch * (entry.time_s or (1e-3,))[-1]
    by_document = [round(size * (bits + drawn.gauss(0, 0.01)), 3) for size in sizes]
    return {
        "train": {
            "tokens": tokens,
            "time_s": time_s,
            "tokens_per_s": tokens / time_s,
            "final_loss": losses[-1][1],
            "curve": losses,
        },
        "bits_per_byte": {"value": sum(by_document) / sum(sizes), "bits": by_document, "bytes": sizes},
        "tasks": tasks,
        "digests": {},
    }
