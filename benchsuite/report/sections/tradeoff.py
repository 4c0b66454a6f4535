"""Speed against quality, as a figure."""

from __future__ import annotations

from benchsuite.report import figures
from benchsuite.report.blocks import Block, Fields, Figure, Section

CAPTION = (
    "Right is faster, up is better. Bars are 95% intervals; a hollow point is unresolved in quality. Variants without "
    "a speed, such as a corpus, are not drawn."
)


def blocks(document: Fields) -> list[Block]:
    if figures.tradeoff(document) is None:
        return []
    return [Figure(lambda width: figures.tradeoff(document, width / 100) or "", "Speed against accuracy", CAPTION)]


SECTION = Section(key="tradeoff", title="Speed against quality", blocks=blocks)
