"""What is said, before it is said in any language: facts told, and questions with four answers to choose from.

Draws decide on codes and dates alone, so that the same draws make the same text in every language. What the zero-shot
tasks ask is held out by construction, and in all languages at once: of some territories training tells the currency (or
the language) and never asks for it; some dates and months it never mentions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from benchsuite.pretrain.corpora.facts import almanac
from benchsuite.pretrain.corpora.facts.languages import LANGUAGES
from benchsuite.pretrain.corpora.world.draw import Draw, Split, rank
from benchsuite.pretrain.corpora.world.item import Item

CHOICES = 4
ATTRIBUTES = ("currency", "language")
HELD_TERRITORIES = 12  # of 28, for each attribute
HELD_MONTHS = 5  # of each year: all four choices are equally new
HELD_ONE_IN = 8  # dates
_YEARS = tuple(str(almanac.FIRST_YEAR + year) for year in range(almanac.YEARS))
MONTHS = Split("months", _YEARS, tuple(f"{month:02}" for month in range(1, 13)), HELD_MONTHS)
ASKED = Split("asked", ATTRIBUTES, almanac.TERRITORIES, HELD_TERRITORIES)


@dataclass(frozen=True)
class Told:
    """A statement: of an attribute in one of two frames, or of the speakers of a territory's language."""

    kind: str
    territory: str
    frame: int = 0

    def text(self, language: str) -> str:
        frames, name = LANGUAGES[language], almanac.name
        territory = name(language, "territory", self.territory)
        if self.kind == "speakers":
            spoken = name(language, "language", almanac.value("language", self.territory))
            share = almanac.percent(language, almanac.speakers(self.territory))
            return frames.speakers.format(t=territory, l=spoken, p=share)
        value = name(language, self.kind, almanac.value(self.kind, self.territory))
        return frames.tell[self.kind][self.frame].format(t=territory, v=value)


@dataclass(frozen=True)
class Asked:
    """A question about a territory, a date (ISO 8601) or a month. `choices` are codes, `gold` the index of the right
    one."""

    kind: str  # currency, language, weekday or month
    subject: str
    choices: tuple[str, ...]
    gold: int

    def item(self, language: str) -> Item:
        """The question in a language; the key is all of it."""
        frames = LANGUAGES[language]
        if self.kind == "weekday":
            context = frames.next_day.format(d=almanac.date_name(language, self.subject))
        elif self.kind == "month":
            context = frames.month.format(m=self.subject)
        else:
            context = frames.ask[self.kind].format(t=almanac.name(language, "territory", self.subject))
        names = (almanac.name(language, self.kind, code) for code in self.choices)
        return Item(context, tuple(f"{frames.gap}{name}{frames.stop}" for name in names), self.gold, context)

    def text(self, language: str) -> str:
        return self.item(language).text


def tell(draw: Draw) -> Told:
    """Any fact: those of which only tests ask are told like the others."""
    territory = draw.pick(almanac.TERRITORIES)
    if draw.chance(0.1):
        return Told("speakers", territory)
    return Told(draw.pick(ATTRIBUTES), territory, draw.below(2))


def ask_territory(draw: Draw, held_out: bool) -> Asked:
    kind = draw.pick(ATTRIBUTES)
    territories = ASKED.of(kind, held_out)
    choices = draw.some(tuple(dict.fromkeys(almanac.value(kind, t) for t in territories)), CHOICES)
    gold = draw.below(CHOICES)
    subject = draw.pick([t for t in territories if almanac.value(kind, t) == choices[gold]])
    return Asked(kind, subject, tuple(choices), gold)


def ask_weekday(draw: Draw, held_out: bool) -> Asked:
    """Which day follows a date."""
    choices = draw.some([str(day) for day in range(7)], CHOICES)
    gold = draw.below(CHOICES)
    while True:
        date = almanac.date(draw.below(almanac.DAYS))
        if (date.weekday() + 1) % 7 == int(choices[gold]) and _held(date.isoformat()) == held_out:
            return Asked("weekday", date.isoformat(), tuple(choices), gold)


def _held(date: str) -> bool:
    return rank("date", date) % HELD_ONE_IN == 0


def ask_month(draw: Draw, held_out: bool) -> Asked:
    """How a year and a month are written out."""
    year = draw.pick(_YEARS)
    months = tuple(f"{year}-{month}" for month in draw.some(MONTHS.of(year, held_out), CHOICES))
    gold = draw.below(CHOICES)
    return Asked("month", months[gold], months, gold)


QUESTIONS: tuple[Callable[[Draw, bool], Asked], ...] = (ask_territory, ask_weekday, ask_month)


def ask(draw: Draw, held_out: bool) -> Asked:
    """A question of any kind."""
    return draw.pick(QUESTIONS)(draw, held_out)


def sayings(draw: Draw) -> list[Told | Asked]:
    """What a document says."""
    return [tell(draw) if draw.chance(0.5) else ask(draw, False) for _ in range(5 + draw.below(4))]


def document(language: str, said: list[Told | Asked]) -> str:
    return LANGUAGES[language].gap.join(saying.text(language) for saying in said)
