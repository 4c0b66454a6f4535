"""Our training step and our evaluation beside other people's, as cases."""

from __future__ import annotations

import importlib.util
from dataclasses import replace

from benchsuite.planning import speed_cases
from benchsuite.planning.cases import Builder
from benchsuite.records.case import Case
from benchsuite.records.params import EvaluationParams, ModelShape, TimedParams
from benchsuite.suite.schema import Peers, Speed, SpeedCase

PACKAGES = {"transformers": "transformers", "hflm": "lm_eval"}  # what a peer needs, by the begin of its name
OURS = "benchsuite"  # our evaluation


def add(builder: Builder, speed: Speed) -> None:
    """Add the pairs of our code and each peer; pairs that share our side are measured in one group."""
    builder.device = builder.machine.devices[0]
    groups: dict[str, Case] = {}
    for entry in speed.peers:
        make = _peer_step if entry.task == "step" else _evaluation
        group = groups.get(entry.task)
        ours = _step(builder, speed, entry, group) if entry.task == "step" else make(builder, speed, entry, OURS, group)
        groups.setdefault(entry.task, ours)
        for name in entry.peers:
            theirs = make(builder, speed, entry, name, groups[entry.task])
            params = ours.typed
            assert isinstance(params, TimedParams)
            about = {"component": "peer", "variant": entry.task, "implementation": params.implementation}
            about |= {"baseline": name, "scope": params.scope, "direction": params.direction, "dtype": params.dtype}
            builder.compare("implementation", ours, theirs, about)


def _step(builder: Builder, speed: Speed, entry: Peers, group: Case | None) -> Case:
    """Our step: the baseline's, as any suite measures it."""
    asked = SpeedCase(component=("position",), variants=(), scope="step", shape=entry.shape)
    baseline = builder.suite.baseline.position
    return speed_cases.speed_case(builder, speed, asked, entry.ours, "position", baseline, group)


def _peer_step(builder: Builder, speed: Speed, entry: Peers, name: str, group: Case | None) -> Case:
    assert group is not None
    params = replace(speed_cases.step_of(group), implementation=name)
    reason = _unsupported(builder, name)
    rounds = range(speed.rounds)
    return builder.add("peer", f"baseline/{name}/step", params, rounds, speed.timeout_s, reason, group)


def _evaluation(builder: Builder, speed: Speed, entry: Peers, name: str, group: Case | None) -> Case:
    model, given = builder.suite.model, entry.shape
    shape = ModelShape(
        batch=entry.documents,
        layers=given.layers or model.layers,
        width=given.width or model.width,
        heads=given.heads or model.heads,
        vocab=given.vocab or model.vocab,
        seq=given.seq or model.seq,
    )
    params = EvaluationParams(
        component="peer",
        variant="evaluation",
        implementation=name,
        scope="evaluate",
        direction="fwd",
        shape=shape,
        documents=entry.documents,
        dtype="float32",
        device=builder.device.name,
        mode=speed_cases.mode(builder, speed, "evaluate"),
        threads=speed_cases.threads(builder, speed),
        sample_s=speed.sample_s,
    )
    rounds = range(speed.rounds)
    reason = _unsupported(builder, name)
    return builder.add("peer", f"evaluation/{name}", params, rounds, speed.timeout_s, reason, group)


def _unsupported(builder: Builder, name: str) -> str | None:
    package = next((package for start, package in PACKAGES.items() if name.startswith(start)), None)
    if package is not None and importlib.util.find_spec(package) is None:
        return f"{package} is not installed: pip install {package}"
    return builder.unsupported_here("compile" if name.endswith("compile") else name, "float32")
