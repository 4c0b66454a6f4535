"""A plan for a GPU that is not here, from the peaks that its maker publishes.

    there = elsewhere.named("h100")              # UserError for a name that is no GPU's
    resolved = there.planned(plan("quick", machine=there.machine()))
    there.need(resolved.cases[0])                # time of a call, what binds it, memory

Every figure is a prediction by a roofline (Williams et al., CACM 2009) at assumed shares of the peaks, never a
measurement, and is labelled so wherever it is shown.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from benchsuite.devices.cuda import CUDA, SUSTAINED
from benchsuite.errors import UserError
from benchsuite.hardware import peaks
from benchsuite.hardware.peaks import Peak
from benchsuite.model import flops
from benchsuite.model.spec import ModelSpec
from benchsuite.planning import cost, training_budget
from benchsuite.planning.machine import Machine
from benchsuite.planning.plan import Plan
from benchsuite.records.case import Case
from benchsuite.records.params import SpeedParams, TimedParams, TrainingParams

# Shares of the peaks that good code reaches, and the host's time for a launch: a step is many small kernels. The first
# and the last are those by which `ladder` chooses the scale.
ARITHMETIC, BANDWIDTH, LAUNCH_S = SUSTAINED, 0.7, CUDA.launch_s
ASSUMED = (
    f"{ARITHMETIC:.0%} of the peak arithmetic, {BANDWIDTH:.0%} of the peak bandwidth, {LAUNCH_S * 1e6:g} µs a launch"
)
# Of the forward pass of a layer alone, of an embedding with its norm, and of a block of a model.
LAUNCHES = {"layer": 12, "embedding": 4, "block": 25}
CORES = 8  # of the machine, on which so many processes begin at once
OLDEST = {"fused": 80, "flash_attn": 80, "flex": 70, "compile": 70, "liger": 70}  # compute capability, as sm_80
ITEM = {"float64": 8, "float32": 4, "bfloat16": 2, "float16": 2}


@dataclass(frozen=True)
class Need:
    """The predicted needs of a case: seconds of one call (of a training: of one model), what binds it (`arithmetic`,
    `memory` or `launches`), bytes on the device at its peak, and seconds of one replicate."""

    call_s: float
    bound: str
    bytes: float
    replicate_s: float


@dataclass(frozen=True)
class Elsewhere:
    """A GPU by the name that its driver gives it, its peaks, and further GPUs that the name asked for fits."""

    name: str
    peak: Peak
    also: tuple[str, ...] = ()

    def machine(self) -> Machine:
        """A machine with this GPU, where everything is installed: what it lacks is the GPU's own limit."""
        reason = f"our kernels are for NVIDIA's sm_{OLDEST['fused']} and later, and {self.name} is {self.peak.compute}"
        return Machine(
            cores=CORES, device="cuda", elsewhere=self.name, no_kernels=None if self._has("fused") else reason
        )

    def lacks(self, case: Case) -> str | None:
        """Return why the GPU itself cannot run a case; None where it can."""
        implementation, dtype = "", "float32"
        match case.typed:
            case TrainingParams(train=train):
                dtype = train.precision
            case TimedParams() as params:
                implementation, dtype = params.implementation, params.dtype
        if not self._has(implementation):
            return f"{implementation} needs sm_{OLDEST[implementation]} or later, and this is {self.peak.compute}"
        if dtype not in self.peak.tflop_per_s:
            return f"the peaks of {self.name} have no {dtype}"
        return None

    def _has(self, implementation: str) -> bool:
        if not self.peak.compute.startswith("sm_"):
            return implementation != "fused"  # the others have builds for AMD
        return int(self.peak.compute.removeprefix("sm_")) >= OLDEST.get(implementation, 0)

    def planned(self, plan: Plan) -> Plan:
        """Return the plan with what this GPU cannot run, and with predicted seconds for what it can."""
        cases = []
        for case in plan.cases:
            reason = case.unsupported or self.lacks(case)
            need = None if reason else self.need(case)
            estimate = None if reason else case.estimate_s if need is None else round(need.replicate_s, 1)
            cases.append(replace(case, unsupported=reason, estimate_s=estimate))
        return replace(plan, cases=tuple(cases))

    def need(self, case: Case) -> Need | None:
        """Return what a case takes; None for a kind of case that is not predicted (operators, peers)."""
        params = case.typed
        if isinstance(params, SpeedParams) and case.kind == "speed":
            return self._speed(params)
        return self._training(case, params) if isinstance(params, TrainingParams) else None

    def _speed(self, params: SpeedParams) -> Need:
        shape = params.shape
        spec, batch, item = ModelSpec.of_speed_case(params), shape.batch, ITEM[params.dtype]
        tokens, passes = batch * spec.seq, 1 if params.direction == "fwd" else 3
        scores = spec.heads * batch * spec.seq**2 * item
        eager = params.implementation in ("eager", "compile", "folded")
        launches: float
        if params.scope == "step":
            weights = flops.parameters(spec)
            state = training_budget.STATE_BYTES * weights
            share = (shape.micro_batch or batch) / batch  # of the batch, held at once
            layers = 1.0 if shape.recompute else float(spec.layers)
            kept = training_budget.ACTIVATION_BYTES * tokens * spec.width * layers * item / 2
            kept += training_budget.STREAM_BYTES * tokens * spec.width * (spec.layers - layers)
            kept += (4 * scores * layers if eager else 0) + training_budget.LOGIT_BYTES * tokens * spec.vocab
            work, moved, launches = flops.step_flops(spec, batch, spec.seq), 2 * (state + kept), 3 * LAUNCHES["block"]
            launches, held = launches * spec.layers / share, state + kept * share
        elif params.component == "activation":
            weights = flops.ffn_parameters(spec)
            wide = (3 if spec.gated else 2) * spec.d_ff
            work, held = passes * flops.ffn_flops(spec, tokens), item * (2 * weights + tokens * (2 * spec.width + wide))
            moved, launches = passes * item * (weights + tokens * (2 * spec.width + wide)), passes * LAUNCHES["layer"]
        elif params.component == "position":
            work, launches = passes * flops.attention_flops(spec, batch, spec.seq), passes * LAUNCHES["layer"]
            held = item * (2 * 4 * spec.width**2 + 8 * tokens * spec.width) + (3 * scores if eager else 0)
            moved = passes * (item * (4 * spec.width**2 + 8 * tokens * spec.width) + (4 * scores if eager else 0))
        else:
            work, launches = 0, passes * LAUNCHES["embedding"]
            held = item * (2 * spec.vocab * spec.width + 3 * tokens * spec.width)
            moved = passes * item * 3 * tokens * spec.width + (item * spec.vocab * spec.width if passes > 1 else 0)
        call_s, bound = self._slowest(work, moved, launches, params.dtype)
        return Need(call_s, bound, held, cost.BEGIN_S / CORES + cost.member(params, call_s))

    def _training(self, case: Case, params: TrainingParams) -> Need:
        budget = training_budget.budget(case, 1)
        train, model = params.train, params.model
        steps = budget.tokens / (train.batch * model.seq)
        dtype = "bfloat16" if train.precision == "bfloat16" else "float32"
        moved = steps * 2 * training_budget.STATE_BYTES * budget.parameters
        launches = steps * 3 * LAUNCHES["block"] * model.layers
        train_s, bound = self._slowest(budget.flops, moved, launches, dtype)
        return Need(train_s, bound, budget.bytes_per_gpu, cost.BEGIN_S + train_s + cost.evaluation(params))

    def _slowest(self, work: float, moved: float, launches: float, dtype: str) -> tuple[float, str]:
        times = {
            "arithmetic": work / (ARITHMETIC * self.peak.tflop_per_s[dtype] * 1e12),
            "memory": moved / (BANDWIDTH * self.peak.gb_per_s * 1e9),
            "launches": launches * LAUNCH_S,
        }
        bound = max(times, key=times.__getitem__)
        return times[bound], bound


def named(word: str) -> Elsewhere:
    """Return the GPU of peaks.yaml whose name holds all parts of `word` ("h100", "a100 pcie", "rtx-4090"), the first
    where several do. Raises UserError for a word that is no GPU's."""
    parts = word.lower().replace("-", " ").replace("_", " ").split()
    known = peaks.devices()
    found = [name for name in known if parts and _holds(name, parts)]
    if not found:
        raise UserError(
            f"--device {word}: neither a device here nor a GPU whose peaks are known",
            hint="`benchsuite list devices` names these, and parts of a name are enough, as h100",
        )
    return Elsewhere(found[0], known[found[0]], tuple(found[1:]))


def _holds(name: str, parts: list[str]) -> bool:
    words = name.lower().replace("-", " ").split()
    return all(any(word == part or (len(part) > 3 and word.startswith(part)) for word in words) for part in parts)
