"""The operators of a suite as cases: each beside its rivals at each shape, and the checks against float64."""

from __future__ import annotations

import itertools
from typing import Any

from benchsuite.components.operators import OURS, RIVALS, WITH_HEADS, WITH_VOCABULARY, shape_name
from benchsuite.planning import speed_cases
from benchsuite.planning.cases import Builder
from benchsuite.records.case import Case
from benchsuite.records.params import CheckParams, OperatorParams, Sizes
from benchsuite.suite.schema import OperatorCases, OperatorChecks, Shape, Speed

CHECK_TIMEOUT_S = 1800.0  # a sanitizer makes a kernel a hundred times slower


def add(builder: Builder, speed: Speed) -> None:
    """Add the checks, which take no turns, and then the operators, each with its rivals in one group."""
    builder.device = builder.machine.devices[0]
    group: Case | None = None
    for checks in speed.checks:
        for operator, dtype in itertools.product(checks.operators, checks.dtypes):
            case = _check(builder, speed, checks, operator, dtype, group)
            group = group or case
    for entry in speed.operators:
        for shape in entry.shapes:
            for operator in entry.operators:
                _add_group(builder, speed, entry, operator, _sizes(builder, operator, shape))


def _check(
    builder: Builder, speed: Speed, checks: OperatorChecks, operator: str, dtype: str, group: Case | None
) -> Case:
    shapes = [_sizes(builder, operator, shape) for shape in checks.shapes]
    shared = _shared(builder, speed, operator, "fwd+bwd", dtype)
    params = CheckParams(
        **shared, implementation=OURS, scope="check", shape=shapes[0], shapes=tuple(shapes), sample_s=0.0
    )
    unsupported = builder.unsupported_here(OURS, dtype)
    if dtype == "float64" and not builder.device.has_float64_kernels:
        unsupported = unsupported or "the kernels of this device compute in float32 and in 16 bits"
    return builder.add("check", f"{operator}/check/{dtype}", params, range(1), CHECK_TIMEOUT_S, unsupported, group)


def _add_group(builder: Builder, speed: Speed, entry: OperatorCases, operator: str, sizes: Sizes) -> None:
    dtype = entry.dtype or builder.device.dtype("operator")
    shape = shape_name(operator, sizes.json())
    shared = _shared(builder, speed, operator, entry.direction, dtype)
    rivals = RIVALS[operator] if entry.rivals is None else entry.rivals
    ours: Case | None = None
    for implementation in (OURS, *rivals):
        params = OperatorParams(
            **shared, implementation=implementation, scope="operator", shape=sizes, sample_s=speed.sample_s
        )
        label = f"{operator}/{shape}/{entry.direction}/{dtype}/{implementation}"
        unsupported = builder.unsupported_here(implementation, dtype)
        rounds = range(1 if unsupported else speed.rounds)  # to say once why it cannot run is enough
        case = builder.add("operator", label, params, rounds, speed.timeout_s, unsupported, ours)
        if ours is None:
            ours = case
            continue
        about = {"component": "operator", "variant": operator, "implementation": OURS, "baseline": implementation}
        about |= {"scope": "operator", "direction": entry.direction, "dtype": dtype, "shape": shape}
        builder.compare("implementation", ours, case, about)


def _shared(builder: Builder, speed: Speed, operator: str, direction: str, dtype: str) -> dict[str, Any]:
    """The parameters of all cases of an operator, whatever implements it."""
    return {
        "component": "operator",
        "variant": operator,
        "direction": direction,
        "dtype": dtype,
        "device": builder.device.name,
        "mode": speed_cases.mode(builder, speed, "operator"),
        "threads": speed_cases.threads(builder, speed),
    }


def _sizes(builder: Builder, operator: str, shape: Shape) -> Sizes:
    """The sizes that matter to the operator; those that are not given are the model's."""
    model = builder.suite.model
    return Sizes(
        batch=shape.batch or 1,
        seq=shape.seq or model.seq,
        width=shape.width or model.width,
        heads=(shape.heads or model.heads) if operator in WITH_HEADS else None,
        vocab=(shape.vocab or model.vocab) if operator in WITH_VOCABULARY else None,
    )
