"""The speed part of a suite as cases."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

from benchsuite import components
from benchsuite import format as fmt
from benchsuite.model.spec import norm_place, told
from benchsuite.planning import cost, precision, training_budget
from benchsuite.planning.cases import Builder
from benchsuite.records.case import Case
from benchsuite.records.params import ModelShape, SpeedParams
from benchsuite.suite.schema import Speed, SpeedCase

TWIN = "same_step"


def add(builder: Builder, speed: Speed) -> None:
    """Assign each comparison to one device: layers by turns on all, whole steps, which share the baseline's,
    on the first."""
    turns = itertools.cycle(builder.machine.devices)
    for entry in speed.cases:
        for shape in entry.shapes or (entry.shape,):
            for component in entry.component:
                builder.device = builder.machine.devices[0] if entry.scope == "step" else next(turns)
                _add_group(builder, speed, replace(entry, shape=shape, shapes=()), component)
        if entry.scope == "step" and entry.variants == ("macro",):
            _add_twin(builder, speed, entry)


def _add_group(builder: Builder, speed: Speed, entry: SpeedCase, component: str) -> None:
    """The baseline of `component` and its variants in all implementations, measured side by side.

    Each variant is compared with the baseline in the same implementation, and each implementation of a variant
    with the first one.
    """
    baseline = getattr(builder.suite.baseline, component)
    first, *others = entry.implementations
    group = None
    for implementation in entry.implementations:
        base = speed_case(builder, speed, entry, implementation, component, baseline, group)
        group = group or base
        for variant in _variants(builder, entry, component):
            if variant == baseline:
                builder.notes.append(f"{component} {variant} is the baseline and is not compared with itself")
                continue
            case = speed_case(builder, speed, entry, implementation, component, variant, group)
            about = _about(entry, component, variant, implementation, case)
            builder.compare("speed", case, base, about | {"baseline": baseline})
    for implementation in others:
        for variant in (baseline, *_variants(builder, entry, component)):
            base = speed_case(builder, speed, entry, first, component, variant, group)
            case = speed_case(builder, speed, entry, implementation, component, variant, group)
            if entry.scope == "step" or implementation in components.get(component, variant).implementations:
                about = _about(entry, component, variant, implementation, case)
                builder.compare("implementation", case, base, about | {"baseline": first})


def _add_twin(builder: Builder, speed: Speed, entry: SpeedCase) -> None:
    """A second process of the baseline's step in every round: a comparison whose answer is known."""
    component, implementation = entry.component[0], entry.implementations[0]
    baseline = getattr(builder.suite.baseline, component)
    base = speed_case(builder, speed, entry, implementation, component, baseline, None)
    params, rounds = replace(step_of(base), twin=1), range(speed.rounds)
    label = f"control/{TWIN}" if params.dtype == "float32" else f"control/{TWIN}/{params.dtype}"
    case = builder.add("speed", label, params, rounds, speed.timeout_s, base.unsupported, base)
    about = {"name": TWIN, "expected": "same", "description": "the baseline's training step against itself"}
    builder.compare("twin", case, base, about)


def step_of(case: Case) -> SpeedParams:
    """The parameters of a case that `speed_case` made."""
    assert isinstance(case.typed, SpeedParams)
    return case.typed


def _about(entry: SpeedCase, component: str, variant: str, implementation: str, case: Case) -> dict[str, Any]:
    params = step_of(case)
    return {
        "component": component,
        "variant": variant,
        "matching": params.matching,
        "implementation": implementation,
        "scope": entry.scope,
        "direction": params.direction,
        "dtype": params.dtype,
        **({"shape": entry.shape.name} if entry.shape.name else {}),
    }


def _variants(builder: Builder, entry: SpeedCase, component: str) -> tuple[str, ...]:
    if entry.variants == ("all",):
        return tuple(components.variants(component))
    if entry.variants == ("macro",):
        return builder.suite.quality.variants.get(component, ()) if builder.suite.quality else ()
    return entry.variants


def speed_case(
    builder: Builder,
    speed: Speed,
    entry: SpeedCase,
    implementation: str,
    component: str,
    variant: str,
    group: Case | None,
) -> Case:
    model, given = builder.suite.model, entry.shape
    batch = given.batch or (builder.suite.quality.train.batch if builder.suite.quality else None)
    assert batch is not None, "benchsuite.suite.check lets no suite pass that does not say it"
    shape = ModelShape(
        batch=batch,
        seq=given.seq or model.seq,
        width=given.width or model.width,
        heads=given.heads or model.heads,
        vocab=given.vocab or model.vocab,
        layers=(given.layers or model.layers) if entry.scope == "step" else 1,
    )
    place: str | None = None
    label = f"{component}/{variant}/{implementation}/{entry.scope}"
    dtype = dtype_of(builder, entry)
    if entry.scope == "step":
        micro_batch = given.micro_batch if given.micro_batch and given.micro_batch < batch else None
        # The whole model's variants name it; an unchanged model is one case, whichever component asks for it.
        baseline = {name: getattr(builder.suite.baseline, name) for name in components.COMPONENTS}
        variants = {**baseline, component: variant}
        shape = replace(shape, micro_batch=micro_batch, recompute=given.recompute, variants=told(variants))
        place = norm_place(variants["embedding_norm"], variants["position"]).get("embedding_norm_place")
        if variants == baseline:
            component = next(iter(components.COMPONENTS))
            variant, label = baseline[component], f"baseline/{implementation}/{entry.scope}"
        unsupported = builder.unsupported_step(implementation, variants, dtype)
    else:
        label += f"/{entry.direction or 'fwd+bwd'}"
        unsupported = builder.unsupported_layer(implementation, component, variant, dtype)
    if given.name:
        label += f"/{given.name}"
    if dtype != "float32":
        label += f"/{dtype}"
    if entry.mode:
        label += f"/{entry.mode}"
    params = SpeedParams(
        component=component,
        variant=variant,
        implementation=implementation,
        scope=entry.scope,
        direction="step" if entry.scope == "step" else entry.direction or "fwd+bwd",
        shape=shape,
        dtype=dtype,
        device=builder.device.name,
        mode=entry.mode or mode(builder, speed, entry.scope),
        threads=1 if _trained(builder, entry) and not speed.threads else threads(builder, speed),
        matching=entry.matching or builder.suite.matching,
        sample_s=entry.sample_s or speed.sample_s,
        embedding_norm_place=place,
    )
    known = builder.device.modes
    if unsupported is None and params.mode not in known:
        unsupported = f"{builder.device.name} has no timing mode {params.mode!r}, only {', '.join(known)}"
    if unsupported is None and entry.scope == "step":
        unsupported = _too_large(builder, params)
    if unsupported is None and speed.call_limit_s is not None:
        unsupported = _too_long(params, speed.call_limit_s)
    return builder.add("speed", label, params, range(speed.rounds), speed.timeout_s, unsupported, group)


def dtype_of(builder: Builder, entry: SpeedCase) -> str:
    """Return the type of an entry's cases: of a step, unless it says otherwise, that in which the suite trains."""
    if entry.scope == "layer" or entry.dtype == "float64":
        return precision.of_layer(entry.dtype, builder.device)
    quality = builder.suite.quality
    asked = entry.dtype or (quality.train.precision if quality else "float32")
    return precision.of_training(asked, builder.device, builder.machine, builder.suite)


def _too_large(builder: Builder, params: SpeedParams) -> str | None:
    """Return why a step does not fit into the memory of this device, by an estimate from below."""
    available = builder.device.capacity_bytes()
    if available is None:
        return None
    needed = training_budget.step_bytes(params)
    if needed <= available:
        return None
    here = f"this {builder.device.name} has {fmt.bytes_(available)}"
    return f"the step needs at least {fmt.bytes_(needed)} of memory; {here}"


def _trained(builder: Builder, entry: SpeedCase) -> bool:
    """Return True for steps of the quality part's models, which on a CPU train on one thread each."""
    return entry.scope == "step" and entry.variants == ("macro",) and builder.device.is_host


def mode(builder: Builder, speed: Speed, scope: str) -> str:
    """Return the timing mode: the suite's own; else the wall clock for work that the host waits for, such as a step,
    and the best mode of the device for the rest."""
    return speed.mode or ("wall" if scope in ("step", "evaluate") else builder.device.modes[0])


def threads(builder: Builder, speed: Speed) -> int:
    """Threads of each process: as the suite says, or all cores, shared by the devices."""
    return speed.threads or max(1, builder.machine.cores // len(builder.machine.devices))


def _too_long(params: SpeedParams, limit_s: float) -> str | None:
    """Return why a case is too large for this device, by a rough estimate of one call."""
    call_s = cost.guess_call(params)
    if call_s <= limit_s:
        return None
    return f"one call would take about {call_s:.2g} s on this {params.device}; the suite's call_limit_s is {limit_s:g}"
