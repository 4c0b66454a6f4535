"""Position schemes: they give a model the order of its tokens.

A factory takes the model's shape (`heads`, `head_dim`, `width`, `seq`: the training length) and returns a
`benchsuite.components.position_modules.Position`, whose three hooks are all that a scheme can do to a model.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchsuite.components import variant

if TYPE_CHECKING:
    from benchsuite.components.position_modules import Position, Shape


@variant(
    "position",
    "none",
    summary="no position at all; the causal mask is the only order",
    source="arXiv:2210.15424",
    kernel="attention",
)
def none(shape: Shape) -> Position:
    from benchsuite.components.position_modules import Position

    return Position(shape)


@variant(
    "position",
    "learned",
    summary="a trained vector for each position",
    source="GPT-3, arXiv:2005.14165",
    kernel="attention",
    bounded=True,
)
def learned(shape: Shape) -> Position:
    from benchsuite.components.position_modules import Learned

    return Learned(shape)


@variant(
    "position",
    "sinusoidal",
    summary="fixed sines and cosines added once",
    source="arXiv:1706.03762",
    kernel="attention",
)
def sinusoidal(shape: Shape) -> Position:
    from benchsuite.components.position_modules import Sinusoidal

    return Sinusoidal(shape)


@variant(
    "position",
    "rotary",
    summary="queries and keys turned by their position",
    source="arXiv:2104.09864",
    kernel="attention",
)
def rotary(shape: Shape) -> Position:
    from benchsuite.components.position_modules import Rotary

    return Rotary(shape)


@variant(
    "position",
    "alibi",
    summary="a penalty on attention, linear in distance",
    source="arXiv:2108.12409",
    kernel="attention",
)
def alibi(shape: Shape) -> Position:
    from benchsuite.components.position_modules import ALiBi

    return ALiBi(shape)


@variant(
    "position",
    "t5",
    summary="a trained bias on attention for each head and bucket of distances",
    source="T5, arXiv:1910.10683",
    biased=True,
)
def t5(shape: Shape) -> Position:
    from benchsuite.components.position_modules import T5Relative

    return T5Relative(shape)
