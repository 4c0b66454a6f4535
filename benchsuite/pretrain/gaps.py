"""Divide a sequence for span corruption. No torch here, so that plans are made without it."""

from __future__ import annotations

from dataclasses import dataclass

from benchsuite.errors import UserError

NOISE, MEAN_SPAN = 0.15, 3.0  # T5's, and the companion study's (arXiv:1910.10683, section 3.3.4)


@dataclass(frozen=True)
class Corruption:
    """The division of a row for span corruption: of `text` tokens `noise` are left out, in `spans` gaps."""

    text: int
    noise: int
    spans: int

    @property
    def given(self) -> int:
        """The text with a mark for each gap."""
        return self.text - self.noise + self.spans

    @property
    def scored(self) -> int:
        """Each gap's mark and what was in it, and a mark for the end."""
        return self.noise + self.spans + 1


def corruption(length: int) -> Corruption:
    """The division of a row of `length` tokens, of as much text as fits. Raises UserError for less than 5."""
    for text in range(length, 1, -1):
        noise = min(text - 1, max(1, round(NOISE * text)))
        spans = min(max(1, round(noise / MEAN_SPAN)), text - noise)
        if (found := Corruption(text, noise, spans)).given + found.scored <= length:
            return found
    raise UserError(f"a sequence of {length} tokens is too short for span corruption", hint="take a larger model.seq")


def marks(seq: int) -> int:
    """Return how many token ids at the end of the vocabulary span corruption takes as marks at training length
    `seq`."""
    return corruption(seq + 1).spans + 1
