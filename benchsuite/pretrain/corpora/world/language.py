"""What the form of a sentence decides: number, who did what to whom, what a pronoun means, what a word means here."""

from __future__ import annotations

from benchsuite.pretrain.corpora.world.draw import Draw, Split, pairs
from benchsuite.pretrain.corpora.world.item import Item
from benchsuite.pretrain.corpora.world.lexicon import (
    ANIMALS,
    CLASS_OF,
    CLASSES,
    NAMES,
    OBJECTS,
    PLURAL_CLASS,
    noun,
)

# ---- agreement of subject and verb across nouns between them

NOUNS = tuple(a for a in ANIMALS if CLASS_OF[a] != "fish") + OBJECTS[:8]
NEAR = ("near", "behind", "with")
VERBS = ((" is", " are"), (" was", " were"))
STATES = ("old", "big", "small", "clean", "new", "red", "black", "white")
NOUN_PAIRS = pairs("agreement", NOUNS, 4)


def agreement(draw: Draw, held_out: bool) -> Item:
    subject, other = draw.pick(NOUN_PAIRS[held_out])
    plural, other_plural = draw.below(2), draw.below(2)
    phrase = f"{noun(subject, plural)} {draw.pick(NEAR)} the {noun(other, other_plural)}"
    verbs = draw.pick(VERBS)
    state = draw.pick(STATES)
    return Item(f"The {phrase}", (f"{verbs[0]} {state}.", f"{verbs[1]} {state}."), plural, phrase)


# ---- pronouns: what is said of `it` tells which of two is meant

EATS = ("ate", "took", "saw", "had", "smelled")
MEALS = ("bread", "cheese", "soup", "rice", "corn", "fruit", "beans", "meat")
OF_EATER = ("hungry", "quick", "thin", "young", "afraid", "clever")
OF_MEAL = ("fresh", "cheap", "sweet", "warm", "dry", "soft")
EATER_MEAL = Split("pronoun", ANIMALS, MEALS, 3)


def pronoun(draw: Draw, held_out: bool) -> Item:
    animal = draw.pick(ANIMALS)
    meals = draw.some(EATER_MEAL.of(animal, held_out), 2)
    other = draw.pick([a for a in ANIMALS if a != animal and set(meals) <= set(EATER_MEAL.of(a, held_out))])
    key = f"{animal} {draw.pick(EATS)} the {meals[0]}"
    meal = draw.below(2)
    why = draw.pick((OF_EATER, OF_MEAL)[meal])
    options = draw.some([animal, other, *meals], 4)
    gold = options.index((animal, meals[0])[meal])
    return Item(f"The {key} because it was {why}. What was {why}? The", tuple(f" {o}." for o in options), gold, key)


# ---- entailment: what is true of a kind of animal is true of a wider kind

SAW = (
    "saw", "fed", "found", "sold", "painted", "met", "heard", "liked", "drew", "washed", "watched", "followed",
    "counted", "named", "caught", "lifted", "feared", "held", "wanted", "missed", "moved", "kept", "bought", "chose",
    "visited", "cleaned",
)  # fmt: skip
SAW_ANIMAL = {kind: Split(f"saw {kind}", SAW, animals, 2) for kind, animals in CLASSES.items()}


def entailment(draw: Draw, held_out: bool) -> Item:
    name, verb = draw.pick(NAMES), draw.pick(SAW)
    kinds = tuple(CLASSES)
    gold = draw.below(len(kinds))
    animal = draw.pick(SAW_ANIMAL[kinds[gold]].of(verb, held_out))
    key = f"{verb} the {animal}"
    before = f"{entailment(draw, False).text} " if held_out else ""  # as in training, others come before
    return Item(
        f"{before}{name} {key}. It follows that {name} {verb} some",
        tuple(f" {PLURAL_CLASS[k]}." for k in kinds),
        gold,
        key,
    )


# ---- paraphrase: the same event told from the other side

CONVERSE = (("gave", "to", "got"), ("sold", "to", "bought"), ("lent", "to", "borrowed"))
NAME_PAIRS = pairs("names", NAMES, 4)
PASSIVE = ("helped", "called", "thanked", "chased")


def paraphrase(draw: Draw, held_out: bool) -> Item:
    a, b = draw.pick(NAME_PAIRS[held_out])
    gold = draw.below(2)
    if draw.chance(0.6):
        there, to, back = draw.pick(CONVERSE)
        thing = draw.pick(OBJECTS)
        said = f"{a} {there} the {thing} {to} {b}."
        right, wrong = f" {b} {back} the {thing} from {a}.", f" {a} {back} the {thing} from {b}."
    else:
        verb = draw.pick(PASSIVE)
        said = f"{a} {verb} {b}."
        right, wrong = f" {b} was {verb} by {a}.", f" {a} was {verb} by {b}."
    return Item(f"{said} In other words,", (wrong, right) if gold else (right, wrong), gold, said)


# ---- word senses: the rest of the sentence tells which

SENSES = {
    "bat": ("animal", "tool"), "seal": ("animal", "tool"), "crane": ("animal", "tool"), "mouse": ("animal", "tool"),
    "club": ("tool", "place"), "pen": ("tool", "place"), "bar": ("tool", "place"), "ring": ("tool", "place"),
    "mint": ("place", "plant"), "palm": ("plant", "tool"), "reed": ("plant", "tool"), "nut": ("plant", "tool"),
    "ram": ("animal", "tool"), "slug": ("animal", "tool"), "drill": ("animal", "tool"), "kite": ("animal", "tool"),
    "fork": ("tool", "place"), "post": ("tool", "place"), "spring": ("tool", "place"), "lock": ("tool", "place"),
    "press": ("tool", "place"), "dock": ("place", "plant"), "plane": ("plant", "tool"), "rose": ("plant", "tool"),
    "fan": ("plant", "tool"),
}  # fmt: skip
CUES = {
    "animal": (
        "slept all day", "was hungry", "ate the fish", "ran away", "drank some water", "had two young", "hid from us",
        "was afraid",
    ),
    "tool": (
        "lay in the box", "was made of iron", "was sold for a coin", "broke in two", "fell on the floor",
        "hung on the wall", "was in my hand", "was very old",
    ),
    "place": (
        "was full of people", "had two doors", "opened at noon", "was in the town", "closed at night", "was far away",
        "had a red roof", "was near the lake",
    ),
    "plant": (
        "grew in the yard", "had green leaves", "needed some rain", "stood in the sun", "came from a seed",
        "grew very tall", "lost its leaves", "was in bloom",
    ),
}  # fmt: skip
WORD_CUES = {kind: Split("sense", tuple(SENSES), cues, 4) for kind, cues in CUES.items()}


def word_sense(draw: Draw, held_out: bool) -> Item:
    """A word with something that tells its sense; then what it means."""
    word = draw.pick(tuple(SENSES))
    gold = draw.below(2)
    kind = SENSES[word][gold]
    key = f"{word} {draw.pick(WORD_CUES[kind].of(word, held_out))}."
    before = f"{word_sense(draw, False).text} " if held_out else ""  # as in training, others come before
    choices = tuple(f" {'an' if k[0] == 'a' else 'a'} {k}." for k in SENSES[word])
    return Item(f"{before}The {key} Here the {word} is", choices, gold, key)
