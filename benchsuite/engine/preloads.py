"""The modules that workers import before they fork, so that no measured process has to."""

from __future__ import annotations

from collections.abc import Iterable

from benchsuite.records.case import KINDS, Case
from benchsuite.records.params import TimedParams, TrainingParams

KERNELS = "benchsuite.cuda_ext:load"


def preloads(cases: Iterable[Case]) -> tuple[str, ...]:
    """Return what the workers of these cases import before they fork. Where KERNELS is among it, the caller builds
    them."""
    cases = list(cases)
    kinds = {case.kind for case in cases}
    used = {_implementation(case) for case in cases if case.unsupported is None}
    scopes = {case.typed.scope for case in cases if isinstance(case.typed, TimedParams)}
    wanted = list(dict.fromkeys(module for kind in KINDS if kind in kinds for module in KINDS[kind].preloads))
    if "step" in scopes:
        wanted.append("torch._dynamo")  # torch's optimizers import it with their first step
    if any(name.startswith("transformers") for name in used):
        wanted.append("benchsuite.model.bridge")
    if "test" in kinds:
        wanted.append("benchsuite.measure.pytest_cases:import_plugins")
    if "evaluate" in scopes:
        wanted.append("lm_eval.models.huggingface")
    if any(name.endswith("compile") for name in used):
        wanted.append("benchsuite.measure.speed:import_compiler")
    if "fused" in used:
        wanted.append(KERNELS)
    return tuple(wanted)


def _implementation(case: Case) -> str:
    """Return what computes the case, a layer or a model that is trained; empty where nothing says it."""
    match case.typed:
        case TrainingParams(train=train):
            return train.implementation
        case TimedParams(implementation=implementation):
            return implementation
        case _:
            return ""
