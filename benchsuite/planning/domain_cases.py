"""The domains part of a suite as cases: each architecture on each task by each rule, and its training steps in
turns."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from benchsuite.domains import ARCHITECTURES, TASKS, recipes
from benchsuite.errors import UserError
from benchsuite.planning import speed_cases
from benchsuite.planning.cases import Builder
from benchsuite.records.case import Case
from benchsuite.records.params import RuleParams, RuleStepParams
from benchsuite.suite.schema import Domains, DomainTask, Speed

RULES = ("backprop", "dfa", "shallow")  # the first is what the others are compared with


def add(builder: Builder, told: Domains) -> None:
    """Add the trainings and, where the suite has a speed part, the steps. Raises UserError for data that is missing."""
    builder.device = builder.machine.devices[0]
    for entry in told.tasks:
        if entry.data is not None:
            _check_data(entry.task, Path(entry.data))
        domain = TASKS[entry.task].domain
        fit = [name for name, one in ARCHITECTURES.items() if domain in one.domains]
        for architecture in entry.architectures or fit:
            params = _params(builder, told, entry, architecture)
            _add(builder, told, params)
            if builder.suite.speed is not None:
                _add_steps(builder, builder.suite.speed, params)


def _check_data(task: str, folder: Path) -> None:
    """Raise UserError where nothing of the task's data is in `folder`; only the jobs read whether it is whole."""
    told = TASKS[task]
    if not folder.exists():
        raise UserError(f"domains: {task}: there is no folder {folder}", hint=f"it should hold {told.files}")
    if not folder.is_dir() and told.domain != "clicks":
        raise UserError(f"domains: {task}: {folder} is no folder", hint=f"data: a folder with {told.files}")
    if folder.is_dir() and not any(True for pattern in told.marks for _ in folder.glob(pattern)):
        raise UserError(f"domains: {task}: {folder} has no {' or '.join(told.marks)}", hint=f"it needs {told.files}")


def _params(builder: Builder, told: Domains, entry: DomainTask, architecture: str) -> RuleParams:
    recipe = recipes.of(architecture, entry.task, entry.size)
    if entry.steps is not None:
        recipe = replace(recipe, steps=entry.steps, every=min(recipe.every, entry.steps))
    regularisation = entry.regularisation or told.regularisation
    if not recipe.dropout and not recipe.weight_decay:
        regularisation = regularisation[:1]  # all multiples of none are the same
    return RuleParams(
        task=entry.task,
        architecture=architecture,
        rule=RULES[0],
        data=None if entry.data is None else str(Path(entry.data).absolute()),
        most=entry.most,
        recipe=recipe.to_json(),
        rates=tuple(told.rates),
        regularisation=tuple(regularisation),
        device=builder.device.name,
        threads=1,
    )


def _add(builder: Builder, told: Domains, params: RuleParams) -> None:
    """The trainings by each rule, whichever that of `params` is."""
    reason = _unsupported(builder)
    base: Case | None = None
    for rule in RULES:
        label = f"{params.architecture}/{params.task}/{rule}"
        case = builder.add("rule", label, replace(params, rule=rule), range(told.seeds), told.timeout_s, reason, base)
        base = base or case
        if case is not base:
            builder.compare("rule", case, base, _about(params.architecture, rule))


def _add_steps(builder: Builder, speed: Speed, params: RuleParams) -> None:
    """A whole training step by each rule at the recipe's own learning rate, alive together."""
    step = RuleStepParams(
        task=params.task,
        architecture=params.architecture,
        rule=params.rule,
        data=params.data,
        most=params.most,
        recipe=params.recipe,
        device=params.device,
        threads=params.threads,
        implementation="eager",
        scope="step",
        direction="step",
        dtype="float32",
        mode=speed_cases.mode(builder, speed, "step"),
        sample_s=speed.sample_s,
    )
    reason = _unsupported(builder)
    base: Case | None = None
    for rule in RULES:
        label, rounds = f"{step.architecture}/{step.task}/{rule}/step", range(speed.rounds)
        case = builder.add("rule_step", label, replace(step, rule=rule), rounds, speed.timeout_s, reason, base)
        base = base or case
        if case is not base:
            builder.compare("rule", case, base, _about(step.architecture, rule) | {"scope": "step"})


def _unsupported(builder: Builder) -> str | None:
    if builder.device.is_host and not builder.device.scripted:
        return None
    return f"the domains train on the CPU, not on {builder.device.name}: --device cpu"


def _about(architecture: str, rule: str) -> dict[str, Any]:
    return {"component": "learning_rule", "variant": rule, "baseline": RULES[0], "source": architecture}
