"""People, what they do and what they need: passages with questions, stories with an end."""

from __future__ import annotations

from benchsuite.pretrain.corpora.world.draw import Draw, rank
from benchsuite.pretrain.corpora.world.item import Item
from benchsuite.pretrain.corpora.world.lexicon import (
    ANIMALS,
    MEN,
    NAME_OBJECT,
    NAME_PLACE,
    NAMES,
    NUMBERS,
    OBJECT_NAME,
    OBJECTS,
    PLACES,
    noun,
)

CHOICES = 4


def _he(name: str) -> str:
    return "He" if name in MEN else "She"


# ---- reading: what somebody did, asked in other words

WENT = ("went to", "ran to", "came to", "walked to")
TOOK = ("took", "bought", "made")
WEATHER = ("It was a cold day.", "It rained all day.", "The sun came out.", "It was a long way.")


def _passage(draw: Draw, held_out: bool) -> tuple[str, list[tuple[str, tuple[str, ...], str]]]:
    """A text and its questions: each a context up to the answer, what could be the answer, and the answer."""
    thing = draw.pick(OBJECTS)
    names = OBJECT_NAME.of(thing, held_out)
    name = draw.pick(names)
    places, things = NAME_PLACE.of(name, held_out), NAME_OBJECT.of(name, held_out)
    place = draw.pick(places)
    said = [f"{_he(name)} {draw.pick(TOOK)} the {thing}.", draw.pick(WEATHER)]
    text = f"{name} {draw.pick(WENT)} the {place}. {' '.join(draw.some(said, 2))}"
    return text, [
        (f"Where is {name}? {name} is at the", places, place),
        (f"What does {name} have? {name} has the", things, thing),
        (f"Who has the {thing}? The {thing} is with", names, name),
    ]


def reading(draw: Draw, held_out: bool) -> Item:
    """A passage and one of its questions."""
    text, questions = _passage(draw, held_out)
    question, values, answer = draw.pick(questions)
    choices = draw.some([answer, *draw.some([v for v in values if v != answer], CHOICES - 1)], CHOICES)
    return Item(f"{text} {question}", tuple(f" {c}." for c in choices), choices.index(answer), f"{question} {answer}")


def reading_document(draw: Draw) -> str:
    """Two or three passages, each with all its questions."""
    said = []
    for _ in range(2 + draw.below(2)):
        text, questions = _passage(draw, False)
        said.append(text)
        said += [f"{question} {answer}." for question, _, answer in draw.some(questions, len(questions))]
    return " ".join(said)


# ---- last word: what somebody lost is what they find in the end

LOST = ("lost the", "could not find the", "looked for the")
SEARCH = ("looked at the", "asked at the", "went to the")
AT_LAST = ("In the end", "The next day", "At last")
FOUND = ("found the", "had the", "came home with the")


def last_word(draw: Draw, held_out: bool) -> Item:
    name = draw.pick(NAMES)
    things = draw.some(NAME_OBJECT.of(name, held_out), CHOICES)
    gold = draw.below(CHOICES)
    lost, found = draw.pick(LOST), draw.pick(FOUND)
    said = [f"{name} {lost} {things[gold]}."]
    for _ in range(1 + draw.below(3)):
        said.append(_search(draw, name, things[gold]))
    said.append(f"{draw.pick(AT_LAST)} {name} {found}")
    return Item(" ".join(said), tuple(f" {t}." for t in things), gold, f"{name} {found} {things[gold]}")


def _search(draw: Draw, name: str, thing: str) -> str:
    kind = draw.below(3)
    if kind == 0:
        return f"{_he(name)} {draw.pick(SEARCH)} {draw.pick(PLACES)} for the {thing}."
    if kind == 1:
        return draw.pick(WEATHER)
    return f"{_he(name)} met {NUMBERS[2 + draw.below(8)]} {noun(draw.pick(ANIMALS))}."


# ---- story end: a need, and what is done about it

NEEDS = {
    "hungry": ("ate the soup", "ate some bread"),
    "thirsty": ("drank the milk", "drank some water"),
    "tired": ("went to bed", "slept all day"),
    "cold": ("lit the fire", "put on a coat"),
    "dirty": ("took a bath", "used the soap"),
    "bored": ("read a book", "played a game"),
    "ill": ("took a pill", "called the doctor"),
    "lost": ("asked the way", "looked at the map"),
    "late": ("ran all the way", "took the bus"),
    "sad": ("wept all night", "wrote a letter"),
    "wet": ("used a towel", "stood by the fire"),
    "warm": ("opened the window", "sat in the shade"),
    "lonely": ("met a friend", "went to a dance"),
}


def _end(name: str, need: str, held_out: bool) -> str:
    """Of the two things done about a need, one is never told of this person in training."""
    return NEEDS[need][(rank("need", name, need) + held_out) % 2]


def story_end(draw: Draw, held_out: bool) -> Item:
    """Somebody had one need, which is over, and has another now: the end is about the second."""
    name = draw.pick(NAMES)
    needs = draw.some(tuple(NEEDS), CHOICES)
    gold = draw.below(CHOICES)
    old = draw.pick(needs[:gold] + needs[gold + 1 :])
    place = draw.pick(NAME_PLACE.of(name, False))
    context = f"{_felt(name, old)} {_he(name)} came to the {place}. Now {name} was {needs[gold]}. So {name}"
    end = _end(name, needs[gold], held_out)
    return Item(context, tuple(f" {_end(name, need, held_out)}." for need in needs), gold, f"{name} {end}")


def _felt(name: str, need: str) -> str:
    return f"{name} was {need}. So {name} {_end(name, need, False)}."


def story_document(draw: Draw) -> str:
    """A day of one person or two, from need to need."""
    said = []
    for name in draw.some(NAMES, 2):
        for i, need in enumerate(draw.some(tuple(NEEDS), 3)):
            said.append(f"Now {_felt(name, need)}" if i else _felt(name, need))
            if draw.chance(0.5):
                said.append(f"{_he(name)} came to the {draw.pick(NAME_PLACE.of(name, False))}.")
    return " ".join(said)
