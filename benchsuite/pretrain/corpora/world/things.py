"""Things: what happens to them, what people think of them, how many there are."""

from __future__ import annotations

from benchsuite.pretrain.corpora.world.draw import Draw, Split, rank
from benchsuite.pretrain.corpora.world.item import Item
from benchsuite.pretrain.corpora.world.lexicon import NAMES, NUMBERS, THING_MATERIAL, THINGS, noun

# ---- physical: the material decides

EVENTS = (  # event; what happens to the materials named; to the others
    ("fell into the lake", "sank", "floated", ("iron", "stone", "glass", "clay")),
    ("fell into the fire", "burned", "got hot", ("wood", "paper", "wool", "cork")),
    ("hit the wall", "broke", "bounced", ("glass", "clay", "stone", "paper")),
)


def physical(draw: Draw, held_out: bool) -> Item:
    """A thing of some material meets with an event."""
    event, named, others, materials = draw.pick(EVENTS)
    gold = draw.below(2)
    fits: list[str] = []
    while not fits:
        thing = draw.pick(THINGS)
        fits = [m for m in THING_MATERIAL.of(thing, held_out) if (m not in materials) == gold]
    key = f"{draw.pick(fits)} {thing} {event}"
    before = f"{physical(draw, False).text} " if held_out else ""  # as in training, others come before
    return Item(f"{before}The {key}. The {thing}", (f" {named}.", f" {others}."), gold, key)


# ---- sentiment: most of three opinions

ASPECTS = ("food", "room", "bed", "music", "tea", "staff", "view", "soup")
GOOD = ("good", "great", "fresh", "nice", "clean", "lovely")
BAD = ("bad", "awful", "stale", "poor", "dirty", "boring")
ASPECT_GOOD = Split("good", ASPECTS, GOOD, 2)
ASPECT_BAD = Split("bad", ASPECTS, BAD, 2)


def sentiment(draw: Draw, held_out: bool) -> Item:
    gold = draw.below(2)
    against = draw.below(15)  # at 0, 1, 2 this opinion is the other one; else none is
    said = []
    for i, aspect in enumerate(draw.some(ASPECTS, 3)):
        good = (gold == 0) != (i == against)
        said.append(f"The {aspect} was {draw.pick((ASPECT_GOOD if good else ASPECT_BAD).of(aspect, held_out))}.")
    key = " ".join(said)
    return Item(f"{key} All in all we were", (" happy.", " sad."), gold, key)


# ---- arithmetic: one more and one less

STEPS = (("found another", 1), ("lost another", -1))


def arithmetic(draw: Draw, held_out: bool) -> Item:
    """A story problem. Held out: this step from this number with this thing."""
    low, gold = 1 + draw.below(6), draw.below(4)
    while True:
        thing, (step, by) = draw.pick(THINGS), draw.pick(STEPS)
        n = low + gold - by
        if n >= 1 and (rank("sum", thing, step, str(n)) % 5 < 2) == held_out:
            break
    name = draw.pick(NAMES)
    key = f"had {NUMBERS[n]} {noun(thing, n != 1)} and {step}."
    choices = tuple(f" {NUMBERS[low + i]}." for i in range(4))
    return Item(f"{name} {key} So then {name} had", choices, gold, key)


def rules(draw: Draw) -> str:
    """What the stories rest on, in other words."""
    said = []
    for _ in range(4):
        n = 1 + draw.below(9)
        said.append(f"after {NUMBERS[n]} comes {NUMBERS[n + 1]}")
        if draw.chance(0.5):
            said[-1] = f"before {NUMBERS[n + 1]} comes {NUMBERS[n]}"
    return f"We know that {', '.join(said[:-1])} and {said[-1]}."
