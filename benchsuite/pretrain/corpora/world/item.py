"""The unit of the world: a text that ends in a choice. Training reads it whole, a task asks for the choice."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from benchsuite.pretrain.corpora.world.draw import Draw


class Item(NamedTuple):
    """`context + choices[gold]` is the text; `key` is the part that only tests contain if the item is held out.

    The choices are drawn before the gold one is, each as likely as the others, so that they alone tell nothing.
    """

    context: str
    choices: tuple[str, ...]
    gold: int
    key: str

    @property
    def text(self) -> str:
        return self.context + self.choices[self.gold]


ItemMaker = Callable[[Draw, bool], Item]  # (draw, held_out)
