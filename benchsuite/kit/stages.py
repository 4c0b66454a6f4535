"""The stages of a kit, in order of worth. Each stage has a limit of its own and ends alone; the runner keeps to a
total."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

TOTAL_S = 520  # of all stages together: with a start and an end, under nine minutes


@dataclass(frozen=True)
class Stage:
    """Commands that run one after the other, for at most `limit_s` seconds together.

    In a command {python} is the interpreter, {device} the device, {results} the stage's folder, whose files are brought
    back, and {work} a folder whose files are not.
    """

    name: str
    about: str
    limit_s: int
    commands: tuple[tuple[str, ...], ...]


def _benchsuite(*words: str) -> tuple[str, ...]:
    return ("{python}", "-m", "benchsuite", *words)


STAGES = (
    Stage(
        "machine",
        "what the machine is, and which kernels run on it",
        60,
        (_benchsuite("doctor"), _benchsuite("kernels", "info")),
    ),
    Stage(
        "selftest",
        "every operator against its formula in float64, in every type",
        110,
        (_benchsuite("selftest", "--device", "{device}", "--check-only", "-o", "{results}/run"),),
    ),
    Stage(
        "layers",
        "layers of a 1.3B model in bfloat16, in every implementation that is there",
        130,
        (_benchsuite("run", "gpu-layers", "--device", "{device}", "-o", "{results}/run"),),
    ),
    Stage(
        "steps",
        "whole training steps of a 125M model in mixed precision: sdpa, compiled, and our kernels",
        110,
        (
            _benchsuite("run", "steps", "--device", "{device}", "-o", "{results}/run", "--set", "speed.sample_s=1")
            + ("--only", "activation/swiglu/sdpa/step/125m*", "--only", "activation/swiglu/fused/step/125m*")
            + ("--only", "activation/swiglu/compile/step/125m*"),
        ),
    ),
    Stage(
        "quick",
        "speed against quality: the suite quick, as far as the time goes",
        130,
        (
            _benchsuite("run", "quick", "--device", "{device}", "--seeds", "2", "-o", "{results}/run")
            + ("--only", "baseline*", "--only", "position/alibi*")
            + ("--set", "ladder_s=150", "--set", "speed.budget_s=40"),  # of the whole suite, of which this is a third
        ),
    ),
    Stage(
        "sanitize",
        "the operators under compute-sanitizer, where it is installed",
        150,
        (_benchsuite("selftest", "--device", "{device}", "--sanitize", "--limit", "35"),),
    ),
)


def to_json(device: str, python: str, wheels: Iterable[str]) -> dict[str, Any]:
    """Return what the runner reads: the stages, the device, the wheels, and the version of Python that they are for."""
    about = {"device": device, "python": python, "total_s": TOTAL_S, "wheels": list(wheels)}
    return {**about, "stages": [asdict(stage) for stage in STAGES]}
