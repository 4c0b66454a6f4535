"""Learning rules, which give the weights of a decoder their gradients: the rule of `benchsuite.learning`, and its
feedback points.

A factory takes the number of blocks and returns a `Taught`. The error is that of the final norm's output, so that the
unembedding learns by backpropagation, as in the authors' transformer (`dfa_after_vocab` off). Points are where the
authors have them: behind each block (`macro`), or behind each half of a block (`micro`).
"""

from __future__ import annotations

from dataclasses import dataclass

from benchsuite.components import variant

OUTPUT = "final_norm"


@dataclass(frozen=True)
class Taught:
    """A rule of `benchsuite.learning.RULES`, and the submodules of a GPT whose outputs are its feedback points."""

    rule: str
    points: tuple[str, ...] = ()


@variant("learning_rule", "backprop", summary="backpropagation", source="Rumelhart, Hinton and Williams, Nature 1986")
def backprop(layers: int) -> Taught:
    return Taught("backprop")


@variant(
    "learning_rule",
    "dfa",
    summary="Direct Feedback Alignment: each block learns from a random projection of the error",
    source="arXiv:2006.12878",
)
def dfa(layers: int) -> Taught:
    return Taught("dfa", tuple(f"blocks.{i}" for i in range(layers)))


@variant(
    "learning_rule",
    "dfa_micro",
    summary="Direct Feedback Alignment: each half of a block learns from its own projection",
    source="arXiv:2006.12878",
)
def dfa_micro(layers: int) -> Taught:
    return Taught("dfa", tuple(f"blocks.{i}{half}" for i in range(layers) for half in (".middle", "")))


@variant(
    "learning_rule",
    "shallow",
    summary="only the final norm and the unembedding learn, with tied embeddings these too",
    source="arXiv:2006.12878",
)
def shallow(layers: int) -> Taught:
    return Taught("shallow", (f"blocks.{layers - 1}",))
