"""Training loss against tokens."""

from __future__ import annotations

from benchsuite.report import figures
from benchsuite.report.blocks import Block, Fields, Figure, Section

CAPTION = (
    "Loss against tokens: thin lines are seeds, bold ones their mean, grey the baseline. The first fifth is cut off. "
    "Models of different corpora are trained on different text, so their losses do not compare."
)


def blocks(document: Fields) -> list[Block]:
    if figures.curves(document) is None:
        return []
    return [Figure(lambda width: figures.curves(document, width / 100) or "", "Loss against tokens", CAPTION)]


SECTION = Section(key="curves", title="Training curves", blocks=blocks)
