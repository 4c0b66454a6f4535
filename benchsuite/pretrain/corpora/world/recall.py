"""Notes: something is said and said again later. It trains, and tests, finding a word far back in the context.

A document has one note, and nothing else in it is of the note's kind, so that one layer of attention can find it. To
tell apart two of a kind by whom they belong to takes small models many millions of tokens; that was tried.
"""

from __future__ import annotations

from benchsuite.pretrain.corpora.world import knowledge
from benchsuite.pretrain.corpora.world.draw import Draw, Split
from benchsuite.pretrain.corpora.world.item import Item
from benchsuite.pretrain.corpora.world.lexicon import THINGS

NOTES = ("prize", "gift", "secret", "answer", "sign", "reward", "clue", "wish", "trick", "plan", "rule", "hint")
NOTE_THING = Split("note", NOTES, THINGS, 17)
CHOICES = 4
LONG_GAP = 8  # sentences, at least, of each fourth gap between mentions; 8 to 15 are some 55 to 100 tokens
NEAR_UNITS = (8, 50)  # words and punctuation between the note and the question; in tokens about as many
FAR_UNITS = (60, 82)  # with the last sentence before the question up to some 95: it all fits into 128 tokens


def document(draw: Draw) -> str:
    """A note, other sentences, the note, other sentences, and so on."""
    subject = draw.pick(NOTES)
    note = f"The {subject} is the {draw.pick(NOTE_THING.of(subject, False))}."
    said = [note]
    for _ in range(8):
        gap = LONG_GAP + draw.below(8) if draw.chance(0.25) else draw.below(3)
        said += [knowledge.filler(draw) for _ in range(gap)]
        said.append(note)
    return " ".join(said)


def near(draw: Draw, held_out: bool) -> Item:
    return _item(draw, held_out, NEAR_UNITS)


def far(draw: Draw, held_out: bool) -> Item:
    return _item(draw, held_out, FAR_UNITS)


def _item(draw: Draw, held_out: bool, units: tuple[int, int]) -> Item:
    subject = draw.pick(NOTES)
    choices = draw.some(NOTE_THING.of(subject, held_out), CHOICES)
    gold = draw.below(CHOICES)
    key = f"The {subject} is the {choices[gold]}"
    said = [f"{key}."]
    wanted = units[0] + draw.below(units[1] - units[0])
    while wanted > 0:
        said.append(knowledge.filler(draw))
        wanted -= said[-1].count(" ") + 2  # the words and the full stop
    return Item(f"{' '.join(said)} The {subject} is the", tuple(f" {c}." for c in choices), gold, key)
