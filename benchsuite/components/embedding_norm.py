"""A LayerNorm right after the token embedding, before positions are added: stabler training at a price in zero-shot
quality, said the original study.

A factory takes (width, eps) and returns a module from (batch, seq, width) to the same shape.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchsuite.components import variant

if TYPE_CHECKING:
    from torch import nn


@variant(
    "embedding_norm", "off", summary="the embedding as it is", source="GPT-3, arXiv:2005.14165", kernel="embedding"
)
def off(width: int, eps: float) -> nn.Module:
    from torch import nn

    return nn.Identity()


@variant(
    "embedding_norm",
    "on",
    summary="LayerNorm on the word embedding, before positions",
    source="BLOOM, arXiv:2211.05100",
    kernel="embedding_layer_norm",
)
def on(width: int, eps: float) -> nn.Module:
    from torch import nn

    return nn.LayerNorm(width, eps=eps)
