"""The words of the generated world and its fixed facts. Short words, few of them: with a vocabulary of some 1000 tokens
the frequent ones become a single token, so that a small model learns relations instead of spelling.
"""

from __future__ import annotations

from benchsuite.pretrain.corpora.world.draw import Split

MEN = ("Tom", "Ben", "Sam", "Max", "Leo", "Dan", "Joe", "Rob")
WOMEN = ("Mia", "Ana", "Eva", "Kim", "Lea", "Sue", "Zoe", "Ida")
NAMES = MEN + WOMEN

OBJECTS = (
    "cup", "key", "lamp", "coin", "drum", "ball", "book", "hat", "bag", "rope", "box", "map", "pan", "bell", "flag",
    "toy",
)  # fmt: skip
# Things of which it does not matter whose they are.
THINGS = (
    *OBJECTS, "plate", "bowl", "stick", "broom", "chair", "clock", "mirror", "basket", "ladder", "candle", "pillow",
    "hammer", "needle", "spoon", "kettle", "ribbon", "button", "wheel",
)  # fmt: skip
PLACES = ("barn", "mill", "park", "shop", "cave", "inn", "port", "farm", "lake", "hall", "tower", "yard")
COLOURS = ("red", "blue", "green", "black", "white", "brown", "pink", "gold")
NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")

# Which combinations only tests may use; shared by every kind of text in which a person has a thing or is at a place.
OBJECT_NAME = Split("name", OBJECTS, NAMES, 5)
NAME_OBJECT = OBJECT_NAME.turned()
NAME_PLACE = Split("place", NAMES, PLACES, 4)

# ---- animals: a property follows from the class of the animal

CLASSES = {
    "bird": ("owl", "hen", "duck", "crow"),
    "fish": ("cod", "eel", "carp", "pike"),
    "insect": ("bee", "ant", "moth", "wasp"),
    "beast": ("cat", "dog", "cow", "fox"),
}
ANIMALS = tuple(animal for animals in CLASSES.values() for animal in animals)
CLASS_OF = {animal: name for name, animals in CLASSES.items() for animal in animals}
PLURAL_CLASS = {"bird": "birds", "fish": "fish", "insect": "insects", "beast": "beasts"}


def noun(word: str, plural: int = 1) -> str:
    """The word in the singular (plural = 0) or the plural."""
    return word + ("es" if word[-1] == "x" else "s") * (plural > 0)


# frame -> (statement verb, plural verb, question, value of each class in the order of CLASSES)
FRAMES = {
    "body": ("has", "have", "What does the {} have?", ("wings", "fins", "feelers", "fur")),
    "move": ("can", "can", "What can the {} do?", ("fly", "swim", "crawl", "run")),
    "home": ("sleeps in a", "sleep in a", "Where does the {} sleep?", ("nest", "pond", "hive", "den")),
    "food": ("eats", "eat", "What does the {} eat?", ("seeds", "weed", "leaves", "meat")),
    "group": ("moves in a", "move in a", "How does the {} move?", ("flock", "shoal", "swarm", "herd")),
}
# One animal of each class is held out in each frame: its value there is never told.
FRAME_ANIMALS = {kind: Split(f"frame {kind}", tuple(FRAMES), animals, 1) for kind, animals in CLASSES.items()}

# ---- countries: facts to know by heart

COUNTRIES = (
    "Norda", "Belva", "Tamor", "Kesh", "Ruvia", "Sodan", "Pelia", "Garo",
    "Hulm", "Zanto", "Fenia", "Lorex", "Miran", "Quil", "Dovia", "Ashar",
)  # fmt: skip
CAPITALS = (
    "Wick", "Oslen", "Brill", "Tark", "Vessa", "Nimes", "Jorn", "Calda",
    "Pradel", "Umber", "Yarrow", "Stell", "Ekra", "Lund", "Rhode", "Ifram",
)  # fmt: skip
GOODS = ("iron", "silk", "salt", "tea", "wine", "wool", "oil", "gold")
FOODS = ("rice", "corn", "bread", "cheese", "soup", "beans", "nuts", "fruit")

# ---- materials: what happens to a thing follows from what it is made of

MATERIALS = ("iron", "stone", "glass", "clay", "wood", "paper", "wool", "cork")
THING_MATERIAL = Split("material", THINGS, MATERIALS, 3)
