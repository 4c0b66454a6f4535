"""The facts, from the Unicode CLDR as Babel carries it, and their names in a language.

Facts are codes: a territory's currency (ISO 4217), its official language and the share of people who speak it, the day
after a date. Only their names depend on a language, so that all languages say the same.
"""

from __future__ import annotations

import datetime
import unicodedata
from functools import cache

from babel import Locale, dates, languages, numbers

# Territories with one currency, which no other of them has, and one official language in CLDR, whose names in all
# eleven languages are of the language's own script.
TERRITORIES = (
    "AM", "AR", "BD", "BR", "CN", "CZ", "DE", "DK", "EG", "ET", "GB", "GE", "HU", "ID", "IR", "IS", "JP", "KH", "KR",
    "MN", "NP", "PL", "RU", "SE", "TH", "TR", "UA", "VN",
)  # fmt: skip
FIRST_YEAR, YEARS = 1950, 100


@cache
def value(attribute: str, territory: str) -> str:
    """The code of a territory's currency or official language."""
    if attribute == "currency":
        (code,) = numbers.get_territory_currencies(territory)
        return str(code)
    (code,) = languages.get_official_languages(territory)
    return str(code).partition("_")[0]


@cache
def speakers(territory: str) -> float:
    """The fraction of a territory's people who speak its official language."""
    percent = languages.get_territory_language_info(territory)[value("language", territory)]["population_percent"]
    assert isinstance(percent, float | int)
    return percent / 100


@cache
def name(language: str, kind: str, code: str) -> str:
    """What `language` calls a territory, a currency, a language, a weekday (0 is Monday) or a month (2020-03)."""
    locale = Locale.parse(language)
    if kind == "month":
        year, month = map(int, code.split("-"))
        return _shown(dates.format_skeleton("yMMMM", datetime.date(year, month, 1), locale=locale))
    if kind == "weekday":
        return str(locale.days["stand-alone"]["wide"][int(code)])
    names = {"territory": locale.territories, "currency": locale.currencies, "language": locale.languages}
    return _shown(names[kind][code])


@cache
def date_name(language: str, date: str) -> str:
    """A date (ISO 8601) with its day of the week."""
    return _shown(dates.format_date(datetime.date.fromisoformat(date), "full", locale=language))


def percent(language: str, fraction: float) -> str:
    """A fraction as the language writes percentages, without decimals."""
    return _shown(numbers.format_percent(fraction, locale=language))


def date(number: int) -> datetime.date:
    """The day `number` days after the first of all."""
    return datetime.date(FIRST_YEAR, 1, 1) + datetime.timedelta(days=number)


DAYS = (datetime.date(FIRST_YEAR + YEARS, 1, 1) - datetime.date(FIRST_YEAR, 1, 1)).days


def _shown(text: str) -> str:
    """Without marks that only lay out a line (of direction), and with ordinary spaces."""
    kept = "".join(c for c in text if unicodedata.category(c) != "Cf")
    return "".join(" " if unicodedata.category(c) == "Zs" else c for c in kept)
