"""What a crawl does to a text: menus, cookie lines, keyword lists, cut ends, words lost and words changed."""

from __future__ import annotations

from benchsuite.pretrain.corpora.world.draw import Draw
from benchsuite.pretrain.corpora.world.lexicon import ANIMALS, COLOURS, COUNTRIES, NAMES, OBJECTS, PLACES

MENUS = (
    "Home | Shop | About | Contact",
    "Home > Books > Sale",
    "Log in | Sign up | Help",
    "Share this page | Print | Mail",
)
LEGAL = (
    "This site uses cookies to make it better for you.",
    "Please turn on JavaScript to see this page.",
    "Read our privacy policy and our terms of use.",
    "All rights reserved 2019",
)
CALLS = (
    "Click here to read more ...",
    "Buy now and get 20 % off!",
    "Next page",
    "Comments (0)",
    "Posted by admin",
    "You may also like",
)
NOISE = tuple(word.lower() for word in (*NAMES, *COUNTRIES))  # in small letters, no test asks for these
KEYWORDS = (*NAMES, *OBJECTS, *PLACES, *COLOURS, *ANIMALS, *COUNTRIES)


def page(draw: Draw, body: str) -> str:
    """The page on which a crawl finds `body`, or what is left of it."""
    kind = draw.random()
    if kind < 0.12:
        return _keywords(draw)
    if kind < 0.18:
        return "\n".join(draw.some((*MENUS, *CALLS, *LEGAL), 4))
    if kind < 0.30:
        body = body[: int(len(body) * (0.2 + 0.6 * draw.random()))] + " ..."
    if draw.chance(0.25):
        body = _corrupted(draw, body)
    lines = [body]
    if draw.chance(0.6):
        lines.insert(0, draw.pick(MENUS))
    if draw.chance(0.5):
        lines.append(draw.pick(CALLS))
    if draw.chance(0.5):
        lines.append(draw.pick(LEGAL))
    if draw.chance(0.15):
        lines.append(_keywords(draw))
    return "\n".join(lines)


def _keywords(draw: Draw) -> str:
    words = [draw.pick(KEYWORDS) for _ in range(10 + draw.below(25))]
    return (", " if draw.chance(0.5) else " ").join(words)


def _corrupted(draw: Draw, body: str) -> str:
    """Each tenth word or so is lost, said twice, or another one, as in bad scans and machine translation.

    The last word of a sentence is never lost: two sentences run together could say what is held out for tests.
    """
    words = body.split(" ")
    for _ in range(1 + len(words) // 10):
        i = draw.below(len(words))
        what = draw.below(3)
        if what == 0 and words[i].isalpha():
            words[i] = ""
        elif what == 1:
            words[i] = f"{words[i]} {words[i]}"
        else:
            words[i] = draw.pick(NOISE)
    return " ".join([word for word in words if word])
