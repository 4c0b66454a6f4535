"""The operators of benchsuite's own kernels, by name, and the other ways to compute each of them: its rivals.

`eager` is the formula in torch's operators, `compile` the same under torch.compile, `sdpa` torch's
scaled_dot_product_attention; the others are packages (`benchsuite.components.other_kernels`). Imports no torch, so that
a plan is there at once; `benchsuite.measure.operators` has the code.
"""

from __future__ import annotations

from benchsuite.components import other_kernels

OURS = "fused"
HEAD_DIM = 64  # numbers of each head of an attention

_FORMULA = ("eager", "compile")
_ATTENTION = ("eager", "sdpa", "folded", *other_kernels.ATTENTION)  # a compiled formula is no rival of torch's kernels
RIVALS: dict[str, tuple[str, ...]] = {
    "gelu": _FORMULA,
    "gelu_erf": _FORMULA,
    "relu": _FORMULA,
    "relu2": _FORMULA,
    "silu": _FORMULA,
    "swiglu": (*_FORMULA, "liger"),
    "geglu": (*_FORMULA, "liger"),
    "reglu": _FORMULA,
    "layer_norm": _FORMULA,
    "embedding": _FORMULA,
    "embedding_layer_norm": _FORMULA,
    "rotary": _FORMULA,
    "attention": tuple(name for name in _ATTENTION if name != "folded"),
    "attention, alibi": _ATTENTION,
    "attention, rotary": tuple(name for name in _ATTENTION if name != "folded"),
    "alibi_softmax": _FORMULA,
    "linear_cross_entropy": ("eager",),  # three matrix products, which torch.compile leaves to the same library
}
WITH_HEADS = ("rotary", "attention", "attention, alibi", "attention, rotary", "alibi_softmax")
WITH_VOCABULARY = ("embedding", "embedding_layer_norm", "linear_cross_entropy")


def shape_name(operator: str, shape: dict[str, int]) -> str:
    """Return a shape as people write it: batch x length where the length matters, else rows x columns.

    >>> shape_name("gelu", {"batch": 2, "seq": 256, "width": 344})
    '512x344'
    """
    if operator in WITH_HEADS:
        return f"{shape['batch']}x{shape['seq']}"
    name = f"{shape['batch'] * shape['seq']}x{shape['width']}"
    return f"{name}, vocabulary {shape['vocab']}" if operator in WITH_VOCABULARY else name
