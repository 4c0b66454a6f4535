"""Exact parameter and FLOP counts of a model, in closed form, so that plans need no torch.

FLOPs are those of the matrix multiplications, 2·m·n·k each, as `torch.utils.flop_counter` counts them: attention as a
full T×T square (no discount for the causal mask), nothing for norms, softmax and activations. A backward pass through a
matrix multiplication is two of the same size. Both counts are tested against torch's own.
"""

from __future__ import annotations

from benchsuite import components
from benchsuite.model.spec import ModelSpec

T5_BUCKETS = 32  # as in benchsuite.components.position_modules, which needs torch


def ffn_parameters(spec: ModelSpec) -> int:
    """Weights and biases of one feed-forward block."""
    up = (2 if spec.gated else 1) * spec.d_ff
    return spec.width * up + up + spec.d_ff * spec.width + spec.width


def parameters(spec: ModelSpec) -> int:
    """All trained numbers of `spec`, tied embeddings counted once. Plug-in position schemes count as parameter-free."""
    norm = 2 * spec.width
    attention = 4 * spec.width**2 + 4 * spec.width
    block = 2 * norm + attention + ffn_parameters(spec)
    halves = 1
    if (
        spec.architecture == "encdec"
    ):  # the encoder has blocks, positions, norms; its tokens' embedding is the decoder's
        halves, block = 2, 2 * block + norm + attention
    embedding = spec.vocab * spec.width * (1 if spec.tied else 2)
    position = {"learned": spec.seq * spec.width, "t5": T5_BUCKETS * spec.heads}.get(spec.position, 0)
    embedding_norm = norm if spec.embedding_norm == "on" else 0
    return spec.layers * block + embedding + halves * (position + norm) + embedding_norm


def ffn_flops(spec: ModelSpec, tokens: int) -> int:
    """FLOPs of one feed-forward block, forward, for `tokens` tokens."""
    up = (2 if spec.gated else 1) * spec.d_ff
    return 2 * tokens * spec.width * (up + spec.d_ff)


def attention_flops(spec: ModelSpec, batch: int, seq: int) -> int:
    """FLOPs of one attention layer with its projections, forward."""
    projections = 2 * batch * seq * 4 * spec.width**2
    scores_and_values = 2 * 2 * batch * seq**2 * spec.width
    return projections + scores_and_values


def cross_attention_flops(spec: ModelSpec, batch: int, seq: int, prefix: int) -> int:
    """FLOPs of one layer in which `seq` tokens look at `prefix` others, with its projections, forward."""
    projections = 2 * batch * (seq + prefix) * 2 * spec.width**2
    return projections + 2 * 2 * batch * seq * prefix * spec.width


def forward_flops(spec: ModelSpec, batch: int, seq: int, prefix: int = 0) -> int:
    """FLOPs of the whole model, forward, for `batch` sequences of `seq` tokens.

    With a `prefix` of so many given tokens, only what follows them is predicted: `seq` - `prefix` + 1 tokens meet the
    vocabulary and the last feed-forward block. An encoder-decoder has a prefix of at least one token.
    """
    if spec.architecture == "encdec":
        prefix = max(1, prefix)
        predicting = seq - prefix + 1  # all that the decoder reads: the last given token begins it
        layer = attention_flops(spec, batch, prefix) + ffn_flops(spec, batch * prefix)
        layer += attention_flops(spec, batch, predicting) + cross_attention_flops(spec, batch, predicting, prefix)
        work = spec.layers * (layer + ffn_flops(spec, batch * predicting))
    else:
        predicting = seq - max(1, prefix) + 1
        work = spec.layers * attention_flops(spec, batch, seq)
        work += ffn_flops(spec, batch * ((spec.layers - 1) * seq + predicting))
    return work + 2 * batch * predicting * spec.width * spec.vocab


def step_flops(spec: ModelSpec, batch: int, seq: int, prefix: int = 0) -> int:
    """FLOPs of a training step: forward, and a backward of twice the forward: those of MFU.

    Direct Feedback Alignment has the same products in its backward pass, and the projection of the error; where only
    the head learns, there is its backward pass alone.
    """
    forward = forward_flops(spec, batch, seq, prefix)
    match components.get("learning_rule", spec.learning_rule).build(spec.layers).rule:
        case "dfa":
            return 3 * forward + 2 * batch * seq * spec.width**2
        case "shallow":
            return forward + 2 * 2 * batch * seq * spec.width * spec.vocab
        case _:
            return 3 * forward


def executed_flops(spec: ModelSpec, batch: int, seq: int, *, recompute: bool) -> int:
    """FLOPs that a decoder's training step really does: those of HFU. With `recompute` the backward pass computes each
    block once more, but for its last product, whose result nothing needs again."""
    once = attention_flops(spec, batch, seq) + ffn_flops(spec, batch * seq) - 2 * batch * seq * spec.d_ff * spec.width
    return step_flops(spec, batch, seq) + (spec.layers * once if recompute else 0)
