"""Estimate the time of a job: a rough guess at first, then from jobs of its kind on this machine.

model = CostModel()
model.estimate(case)            # the guess of its class
model.learn(case, 3.2)          # one replicate took 3.2 s
model.estimate(case)            # what the case itself took, or its class's guess corrected by what others took
"""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Iterable

from benchsuite import devices
from benchsuite.domains import TASKS, recipes
from benchsuite.model import flops
from benchsuite.model.spec import ModelSpec
from benchsuite.records.case import Case
from benchsuite.records.params import (
    Params,
    RuleParams,
    RuleStepParams,
    SpeedParams,
    TimedParams,
    TrainingParams,
    UnknownParams,
)
from benchsuite.timing.sampler import FEWEST_BLOCKS, REFILL_S, TURN_S, TURNS_WARMUP_S, SamplerConfig
from benchsuite.timing.turns import FEWEST

# Seconds on a common CPU core of 2020 or later. They matter only until the first job of a class has ended.
PROCESS_S = 0.2  # fork, result file, record
BEGIN_S = 3.0  # of a process that begins to use an accelerator, beside that
BUILD_S = {"layer": 0.1, "step": 0.4}  # and what is checked against float64
# What a call usually takes of `guess_call`: medians of the records of reports/quick, nano and micro, which are within a
# fifth of these but for the embedding norm, whose memory is seldom fresh.
USUAL, USUAL_STEP, USUAL_EMBEDDING = 0.6, 1.1, 0.02
CALL_S = 0.02  # of an operator, or of a peer's step
COMPILE_S = 0.5  # after the first process the code generator's caches answer
COMPILE_FIRST_S = 20.0
HAND_ON_S = 0.004  # a turn: the threads of one process have come to rest, and another is awake
LAUNCHES = 75  # of a block's training step, each of which takes the host `Device.launch_s`
EVALUATION_S = 3.5  # of 300 documents a task
PREPARE_S = 15.0
RULE_STEP_S = {"views": 0.02, "clicks": 0.006, "nodes": 0.01, "links": 0.01}  # of nano recipes, with their scoring


def guess(kind: str, params: Params) -> float:
    """Seconds that one replicate may take, from its parameters alone; of a speed case its share of the ring's round."""
    match params:
        case SpeedParams() if kind == "speed":
            return member(params, _usual(params) * guess_call(params))
        case RuleStepParams():
            return member(params, rule_step(params))
        case RuleParams():
            trainings = len(params.rates) * len(params.regularisation)
            return PROCESS_S + trainings * params.recipe["steps"] * rule_step(params)
        case TrainingParams():
            tokens = sum(train.tokens for train in params.trains)
            asked_s = evaluation(params) if kind == "quality" else 0.0
            return PROCESS_S + tokens * training_token_s(params) + asked_s
        case UnknownParams():
            return PROCESS_S
        case TimedParams() if kind != "check":
            return member(params, CALL_S)
        case _:
            return PROCESS_S


def rule_step(params: RuleParams | RuleStepParams) -> float:
    """Seconds of a step of an architecture of `benchsuite.domains`, from how much larger its recipe is than at nano."""
    domain, nano, asked = TASKS[params.task].domain, recipes.NANO[params.architecture], params.recipe
    powers = {"width": 1 if domain in ("nodes", "links") else 2, "layers": 1, "samples": 1}
    times = asked["batch"] / nano.batch if nano.batch else 1.0
    for name, power in powers.items():
        if name in nano.sizes:
            times *= (asked["sizes"][name] / nano.sizes[name]) ** power
    return RULE_STEP_S[domain] * times


def training_token_s(params: TrainingParams, flop_per_s: float | None = None) -> float:
    """Seconds a token of the training of a quality case, for which its device has no other work: the longer of
    arithmetic, at `flop_per_s` (default: what the device may reach), and launches."""
    device, model, train = devices.of(params), params.model, params.train
    weights = 12 * model.layers * model.width**2 + model.vocab * model.width
    attention = 12 * model.layers * model.width * model.seq  # FLOPs a token beside 6 per weight
    flop_per_s = flop_per_s or device.sustained_flop_per_s(train.precision)
    arithmetic_s = (6 * weights + attention) / flop_per_s
    step_tokens = train.batch * model.seq
    return max(arithmetic_s, LAUNCHES * model.layers * device.launch_s / step_tokens)


def evaluation(params: TrainingParams) -> float:
    """Seconds that the tasks of a quality case may take."""
    return EVALUATION_S * params.tasks.limit / 300


def member(params: TimedParams, call_s: float) -> float:
    """Seconds that one process adds to the round of its ring (`benchsuite.engine.rings`): its build and check beside
    those of the others, then by itself the first call, the warm-up and its turns (`benchsuite.timing.sampler`)."""
    cores = params.threads if devices.of(params).is_host else 1
    sample_s, config = params.sample_s, SamplerConfig()
    beside_s = PROCESS_S + BUILD_S.get(params.scope, 0.0) + 2 * call_s
    beside_s += COMPILE_S if params.compiled else 0.0
    block_s = max(config.block_s, call_s)
    warmup_s = min(2 * config.window * block_s, min(sample_s, TURNS_WARMUP_S) + block_s)
    turn_s = max(TURN_S, block_s) if call_s >= REFILL_S else call_s + max(TURN_S, FEWEST_BLOCKS * block_s)
    cycle_s = 2 * (turn_s + HAND_ON_S)
    cycles = max(math.ceil(FEWEST / 2), math.ceil(sample_s / cycle_s))
    return beside_s / cores + call_s + warmup_s + cycles * cycle_s


def _usual(params: SpeedParams) -> float:
    if params.scope == "step":
        return USUAL_STEP
    return USUAL_EMBEDDING if params.component == "embedding_norm" else USUAL


def guess_first(params: Params) -> float:
    """Seconds that the first process of a case takes beyond those of later ones: what is compiled is kept."""
    if not isinstance(params, TimedParams) or not params.compiled:
        return 0.0
    return COMPILE_FIRST_S / (params.threads if devices.of(params).is_host else 1)


def guess_call(params: SpeedParams) -> float:
    """Seconds that one call of a speed case may take: the larger of arithmetic and memory traffic at a modest rate."""
    spec, device, batch = ModelSpec.of_speed_case(params), devices.of(params), params.shape.batch
    tokens, passes = batch * spec.seq, 1 if params.direction == "fwd" else 3
    if params.scope == "step":
        work, traffic = flops.step_flops(spec, batch, spec.seq), 16 * flops.parameters(spec)
    elif params.component == "activation":
        work, traffic = passes * flops.ffn_flops(spec, tokens), 16 * flops.ffn_parameters(spec)
    elif params.component == "position":
        work, traffic = passes * flops.attention_flops(spec, batch, spec.seq), 16 * spec.heads * batch * spec.seq**2
    else:
        work, traffic = 0, 4 * passes * (4 * tokens * spec.width + spec.vocab * spec.width)
    rate, bandwidth = device.call_rates
    scale = params.threads if device.is_host else 1
    return max(work / (rate * scale), traffic / (bandwidth * scale))


class CostModel:
    """Learns from finished replicates: a case from itself, others from their class (kind, implementation, scope)."""

    def __init__(self) -> None:
        self._by_case: dict[str, float] = {}  # the latest: a first replicate may have compiled what later ones reuse
        self._factors: dict[tuple[str, str, str], list[float]] = defaultdict(list)

    def learn(self, case: Case, time_s: float) -> None:
        self._by_case[case.id] = time_s
        self._factors[_class(case)].append(time_s / guess(case.kind, case.typed))

    def estimate(self, case: Case) -> float:
        """Seconds for one replicate of `case`."""
        if case.id in self._by_case:
            return self._by_case[case.id]
        factors = self._factors.get(_class(case))
        return guess(case.kind, case.typed) * (statistics.median(factors) if factors else 1.0)

    def known(self, case: Case) -> bool:
        """Return whether a job of the case's class has ended, so that the estimate is more than a guess."""
        return _class(case) in self._factors


def _class(case: Case) -> tuple[str, str, str]:
    params = case.typed
    return (case.kind, params.implementation, params.scope) if isinstance(params, TimedParams) else (case.kind, "", "")


def makespan(times_s: Iterable[float], slots: int) -> float:
    """Seconds until jobs of these lengths are done, started in this order on `slots` places.

    >>> makespan([3.0, 3.0, 2.0], 2)
    5.0
    """
    free = [0.0] * max(1, slots)
    for time_s in times_s:
        first = min(range(len(free)), key=free.__getitem__)
        free[first] += time_s
    return max(free)
