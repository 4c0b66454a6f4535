"""The nonlinearity of the feed-forward block.

A factory takes nothing and returns an elementwise function (tensor of any shape to the same shape). The block computes
`down(act(up(x)))`, and for a gated variant `down(act(gate(x)) * up(x))` with `gate` and `up` packed in one projection.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from benchsuite.components import variant

if TYPE_CHECKING:
    from torch import Tensor

    Elementwise = Callable[[Tensor], Tensor]


@variant("activation", "gelu", summary="x Φ(x), in its tanh form", source="arXiv:1606.08415", kernel="gelu")
def gelu() -> Elementwise:
    from torch.nn import functional

    return lambda x: functional.gelu(x, approximate="tanh")


@variant(
    "activation", "geglu", summary="gate: GELU in its tanh form", source="arXiv:2002.05202", gated=True, kernel="geglu"
)
def geglu() -> Elementwise:
    return gelu()


@variant("activation", "swiglu", summary="gate: SiLU, x σ(x)", source="arXiv:2002.05202", gated=True, kernel="swiglu")
def swiglu() -> Elementwise:
    from torch.nn import functional

    return functional.silu


@variant("activation", "relu", summary="max(x, 0)", source="Nair and Hinton, ICML 2010", kernel="relu")
def relu() -> Elementwise:
    from torch.nn import functional

    return functional.relu


@variant("activation", "relu2", summary="max(x, 0)²", source="arXiv:2109.08668", kernel="relu2")
def relu2() -> Elementwise:
    from torch.nn import functional

    return lambda x: functional.relu(x).square()
