"""The cost of the trainings of a plan: tokens, FLOPs, GPU-hours, memory of each GPU. Estimates, for a stated
utilisation.

for budget in of(plan, gpus=8): print(budget.label, budget.hours("NVIDIA H100 80GB HBM3", mfu=0.4))
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchsuite.hardware import peaks
from benchsuite.model import flops
from benchsuite.model.spec import ModelSpec
from benchsuite.planning import stages
from benchsuite.pretrain import shares
from benchsuite.records.case import Case
from benchsuite.records.params import SpeedParams, TrainConfig

if TYPE_CHECKING:
    from benchsuite.planning.plan import Plan

GPUS = {"A100": "NVIDIA A100-SXM4-80GB", "H100": "NVIDIA H100 80GB HBM3"}
STATE_BYTES = 16  # of a parameter: float32 weight, gradient and Adam's two moments
ACTIVATION_BYTES = 34  # of a token, layer and channel in 16 bits, without scores (arXiv:2205.05198, equation 2)
STREAM_BYTES = 4  # of a token and channel of a block's input, all that recomputation keeps
LOGIT_BYTES = 10  # of a logit: 16 bits from the product, float32, and its gradient
CHUNK_BYTES = 100 * 2**20  # of logits at once in our cross-entropy (benchsuite.cuda_ext.cross_entropy)


@dataclass(frozen=True)
class Budget:
    """One trained model. `flops` are those of the model (no recomputation), for one seed; `bytes_per_gpu` is what FSDP
    over so many GPUs leaves on each: its share of the state, two gathered blocks, and activations."""

    label: str
    seeds: int
    parameters: int
    tokens: int
    flops: float
    bytes_per_gpu: float

    def hours(self, gpu: str, mfu: float) -> float:
        """GPU-hours of one seed on the device that NVML calls `gpu`, at this share of its dense 16-bit peak."""
        found = peaks.peak(gpu)
        if found is None:
            raise ValueError(f"the peak of {gpu!r} is not known")
        return self.flops / (mfu * found.tflop_per_s["bfloat16"] * 1e12) / 3600


def of(plan: Plan, gpus: int) -> list[Budget]:
    """The budgets of a plan's trainings, in its order. Raises UserError where so many GPUs cannot share a batch."""
    return [budget(case, gpus) for case in plan.cases if case.training is not None and case.unsupported is None]


def batches(train: TrainConfig) -> list[int]:
    """The sizes of batch that a training has, in sequences."""
    ramp = range(train.ramp_batch, train.batch, train.ramp_step or train.ramp_batch)
    return [*(ramp if train.ramp_tokens else ()), train.batch]


def step_bytes(params: SpeedParams) -> float:
    """Return what a timed training step takes at least on its device: weights, gradients and Adam's moments, and the
    activations of as many sequences as are computed at once."""
    spec, shape = ModelSpec.of_speed_case(params), params.shape
    at_once = (shape.micro_batch or shape.batch) * spec.seq
    wide = 2 if params.dtype == "float32" else 1  # the constants are those of 16 bits
    logits = at_once * spec.vocab * LOGIT_BYTES
    if params.implementation == "fused":
        logits = min(logits, CHUNK_BYTES)
    kept = _activations(spec, at_once, shape.recompute) * wide
    return STATE_BYTES * flops.parameters(spec) + kept + logits


def _activations(spec: ModelSpec, tokens: int, recompute: bool) -> float:
    if recompute:
        return tokens * spec.width * (spec.layers * STREAM_BYTES + ACTIVATION_BYTES)
    return tokens * spec.width * spec.layers * ACTIVATION_BYTES


def budget(case: Case, gpus: int) -> Budget:
    """Return what one training takes, shared out over so many GPUs."""
    assert case.training is not None
    parts = stages.of(case.training)
    for part in parts:
        shares.check(batches(part.train), gpus, part.train.micro_batch)
    spec, train = parts[-1].spec, parts[-1].train
    parameters = flops.parameters(spec)
    at_once = min(train.micro_batch or train.batch, max(1, train.batch // gpus)) * spec.seq
    block = (parameters - spec.vocab * spec.width) / (spec.layers * (2 if spec.architecture == "encdec" else 1))
    activations = _activations(spec, at_once, train.recompute)
    gathered = 2 * 4 * block if gpus > 1 else 0
    memory = STATE_BYTES * parameters / gpus + gathered + activations + LOGIT_BYTES * at_once * spec.vocab
    tokens = sum(part.train.tokens for part in parts)
    return Budget(case.label, len(case.replicates), parameters, tokens, sum(part.flops for part in parts), memory)
