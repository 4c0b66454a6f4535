"""Fixed facts: animals, whose properties follow from their class, and countries, which must be known by heart."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from benchsuite.pretrain.corpora.world.draw import Draw, Split, rank
from benchsuite.pretrain.corpora.world.item import Item, ItemMaker
from benchsuite.pretrain.corpora.world.lexicon import (
    ANIMALS,
    CAPITALS,
    CLASS_OF,
    CLASSES,
    COLOURS,
    COUNTRIES,
    FOODS,
    FRAME_ANIMALS,
    FRAMES,
    GOODS,
    PLURAL_CLASS,
)

CHOICES = 4

# ---- animals


def animal_statement(draw: Draw) -> str:
    """One property of one animal, or of its class, that training may tell."""
    return _about(draw, draw.pick(tuple(FRAMES)))


def _about(draw: Draw, frame: str) -> str:
    verb, plural_verb, _, values = FRAMES[frame]
    kind = draw.random()
    if kind < 0.15:
        animal = draw.pick(ANIMALS)
        return f"The {animal} is {_article(CLASS_OF[animal])}."
    if kind < 0.25:
        i = draw.below(len(CLASSES))
        return f"All {PLURAL_CLASS[tuple(CLASSES)[i]]} {plural_verb} {values[i]}."
    animal = draw.pick(FRAME_ANIMALS[CLASS_OF[draw.pick(ANIMALS)]].of(frame, False))
    return f"The {animal} {verb} {VALUE[frame, animal]}."


def science(draw: Draw, held_out: bool) -> Item:
    """A question about a property. Held out: of this animal it was never told, only of others of its class."""
    frame = draw.pick(tuple(FRAMES))
    verb, _, question, values = FRAMES[frame]
    gold = draw.below(len(CLASSES))
    animal = draw.pick(FRAME_ANIMALS[tuple(CLASSES)[gold]].of(frame, held_out))
    context = f"{question.format(animal)} The {animal} {verb}"
    if held_out:  # facts of other kinds before it make the few questions into many documents
        others = [f for f in FRAMES if f != frame]
        context = " ".join([*(_about(draw, other) for other in draw.some(others, 2)), context])
    return Item(context, tuple(f" {v}." for v in values), gold, f"{animal} {verb} {values[gold]}")


VALUE = {(frame, a): FRAMES[frame][3][list(CLASSES).index(CLASS_OF[a])] for frame in FRAMES for a in ANIMALS}


def _article(noun: str) -> str:
    return f"an {noun}" if noun[0] in "aeiou" else f"a {noun}"


# ---- countries


@dataclass(frozen=True)
class Attribute:
    values: tuple[str, ...]
    statements: tuple[str, ...]  # of (country, value)
    question: str  # of a country
    answer: str


ATTRIBUTES = {
    "capital": Attribute(
        CAPITALS,
        ("The capital of {} is {}.", "The king of {} lives in {}.", "The largest city in {} is {}."),
        "What is the capital of {}?",
        "It is",
    ),
    "flag": Attribute(
        COLOURS, ("The flag of {} is {}.", "All over {} the flags are {}."), "What colour is the flag of {}?", "It is"
    ),
    "goods": Attribute(GOODS, ("{} sells {}.", "Ships from {} bring {}."), "What does {} sell?", "It sells"),
    "food": Attribute(FOODS, ("People in {} eat {}.", "A meal in {} is {}."), "What do people eat in {}?", "They eat"),
}


def _facts() -> dict[tuple[str, str], str]:
    """The value of every (attribute, country): each value belongs to equally many countries."""
    table = {}
    for name, attribute in ATTRIBUTES.items():
        order = sorted(COUNTRIES, key=lambda country: rank("fact", name, country))
        for i, country in enumerate(order):
            table[name, country] = attribute.values[i % len(attribute.values)]
    return table


FACTS = _facts()
ASKED = Split("asked", tuple(ATTRIBUTES), COUNTRIES, 8)  # the countries of which only tests ask for this attribute


def country_statement(draw: Draw) -> str:
    return _told(draw, draw.pick(tuple(ATTRIBUTES)))


def _told(draw: Draw, name: str) -> str:
    country = draw.pick(COUNTRIES)
    return draw.pick(ATTRIBUTES[name].statements).format(country, FACTS[name, country])


def closed_book(draw: Draw, held_out: bool) -> Item:
    """A question about a country. Held out: training tells the fact in other words and never asks for it."""
    name = draw.pick(tuple(ATTRIBUTES))
    attribute = ATTRIBUTES[name]
    countries = ASKED.of(name, held_out)
    values = draw.some(tuple(dict.fromkeys(FACTS[name, country] for country in countries)), CHOICES)
    gold = draw.below(CHOICES)
    country = draw.pick([c for c in countries if FACTS[name, c] == values[gold]])
    question = attribute.question.format(country)
    context = f"{question} {attribute.answer}"
    if held_out:
        context = f"{_told(draw, draw.pick([n for n in ATTRIBUTES if n != name]))} {context}"
    return Item(context, tuple(f" {v}." for v in values), gold, question)


# ---- documents


def filler(draw: Draw) -> str:
    """A fact that names no person, place, thing or colour."""
    return animal_statement(draw) if draw.chance(0.5) else _told(draw, draw.pick(("capital", "goods", "food")))


def animals(draw: Draw) -> str:
    return _document(draw, animal_statement, science)


def countries(draw: Draw) -> str:
    return _document(draw, country_statement, closed_book)


def _document(draw: Draw, tell: Callable[[Draw], str], ask: ItemMaker) -> str:
    return " ".join(tell(draw) if draw.chance(0.6) else ask(draw, False).text for _ in range(6 + draw.below(5)))
