"""Facts in eleven languages: each in its own script and direction, all saying the same, and what tests ask unsaid."""

from __future__ import annotations

import datetime
import unicodedata
from collections import Counter

import pytest
from babel import Locale

from benchsuite.pretrain.corpora import facts, load
from benchsuite.pretrain.corpora.facts import almanac, items
from benchsuite.pretrain.corpora.facts.languages import LANGUAGES
from benchsuite.pretrain.corpora.world.draw import Draw

ALL = list(LANGUAGES)


@pytest.fixture(scope="module")
def texts() -> dict[str, str]:
    return {code: "\n".join(facts.documents(code, seed=0, n_bytes=300_000)) for code in ALL}


def test_there_are_eleven() -> None:
    assert len(ALL) == 11
    assert {"en", "ar", "hi", "zh"} <= set(ALL)


@pytest.mark.slow
@pytest.mark.parametrize("code", ALL)
def test_every_letter_is_of_the_language_s_script(code: str, texts: dict[str, str]) -> None:
    letters = {c for c in texts[code] if unicodedata.category(c)[0] in "LM"}
    assert len(letters) > 30
    for letter in letters:
        assert unicodedata.name(letter).startswith((LANGUAGES[code].script, "COMBINING")), letter


@pytest.mark.parametrize("code", ALL)
def test_the_direction_is_cldr_s_and_that_of_the_letters(code: str, texts: dict[str, str]) -> None:
    language = LANGUAGES[code]
    assert Locale(code).character_order == language.direction
    strong = Counter(unicodedata.bidirectional(c) for c in texts[code])
    right, left = strong["AL"] + strong["R"], strong["L"]
    assert (right > 0, left > 0) == ((True, False) if language.direction == "right-to-left" else (False, True))


@pytest.mark.parametrize("code", ALL)
def test_text_is_composed_and_without_marks_that_only_lay_it_out(code: str, texts: dict[str, str]) -> None:
    assert {unicodedata.category(c) for c in texts[code]} <= {
        "Lu", "Ll", "Lo", "Lm", "Mn", "Mc", "Nd", "Zs", "Cc", "Po", "Pd", "Pi", "Pf", "Ps", "Pe", "Sk",
    }  # fmt: skip
    assert not set(texts[code]) & {"\u00a0", "\u202f", "{", "}"}
    assert "  " not in texts[code]
    assert (" " in texts[code]) == (code != "zh")
    # Hindi's nukta letters are excluded from composition: NFC takes them apart (Unicode, CompositionExclusions.txt)
    same = unicodedata.normalize("NFC", texts[code]) == texts[code]
    assert same or code == "hi"


def test_every_language_says_the_same_in_its_own_words() -> None:
    """Parsed back from the text, the facts of every language are those of English, document by document."""
    draw = Draw("same", 0)
    for _ in range(200):
        said = items.sayings(draw)
        for code in ALL:
            text = items.document(code, said)
            at = 0
            for saying in said:
                for name in _names(code, saying):
                    at = text.index(name, at)  # in this order, or not at all
    draw = Draw("facts", 0, 0)
    stream = [items.sayings(draw) for _ in range(60)]
    places = []
    for code in ALL:
        rendered = [items.document(code, said) for said in stream]
        places.append([rendered.index(text) for text in facts.documents(code, seed=0, n_bytes=6_000)])
    shortest = min(map(len, places))
    assert shortest > 5
    assert len({tuple(found[:shortest]) for found in places}) == 1, "document n of a seed says the same in all"


def _names(code: str, saying: items.Told | items.Asked) -> list[str]:
    """What must stand in the text of a saying, in order."""
    if isinstance(saying, items.Told):
        kind = "language" if saying.kind == "speakers" else saying.kind
        value = almanac.value(kind, saying.territory)
        found = [almanac.name(code, "territory", saying.territory), almanac.name(code, kind, value)]
        share = round(100 * almanac.speakers(saying.territory))
        return [*found, str(share)] if saying.kind == "speakers" else found
    answer = almanac.name(code, saying.kind, saying.choices[saying.gold])
    if saying.kind == "weekday":
        date = datetime.date.fromisoformat(saying.subject)
        names = Locale(code).days["format"]["wide"]
        assert names[date.weekday()] in almanac.date_name(code, saying.subject)
        assert int(saying.choices[saying.gold]) == (date + datetime.timedelta(days=1)).weekday()
        return [almanac.date_name(code, saying.subject), answer]
    if saying.kind == "month":
        return [saying.subject, answer]
    assert almanac.value(saying.kind, saying.subject) == saying.choices[saying.gold]
    return [almanac.name(code, "territory", saying.subject), answer]


@pytest.mark.parametrize("code", ALL)
def test_names_tell_codes_apart(code: str) -> None:
    for kind in ("territory", *items.ATTRIBUTES):
        codes = {t if kind == "territory" else almanac.value(kind, t) for t in almanac.TERRITORIES}
        assert len({almanac.name(code, kind, c) for c in codes}) == len(codes), kind
    assert len({almanac.name(code, "weekday", str(day)) for day in range(7)}) == 7
    assert len({almanac.name(code, "month", f"2001-{month:02}") for month in range(1, 13)}) == 12


def test_known_facts() -> None:
    assert (almanac.value("currency", "JP"), almanac.value("language", "BR")) == ("JPY", "pt")
    assert len({almanac.value("currency", t) for t in almanac.TERRITORIES}) == len(almanac.TERRITORIES)
    assert almanac.name("eu", "territory", "DE") == "Alemania"
    assert almanac.date_name("zh", "2020-03-04") == "2020年3月4日星期三"
    assert almanac.percent("fr", 0.73) == "73 %"


@pytest.mark.parametrize("code", ALL)
def test_what_is_held_out_is_never_asked_but_told(code: str, texts: dict[str, str]) -> None:
    draw = Draw("held", 1)
    asked = 0
    for _ in range(400):
        question = items.ask(draw, True)
        item = question.item(code)
        assert item.key not in texts[code]
        if question.kind in items.ATTRIBUTES:
            territory = almanac.name(code, "territory", question.subject)
            value = almanac.name(code, question.kind, question.choices[question.gold])
            told = [frame.format(t=territory, v=value) for frame in LANGUAGES[code].tell[question.kind]]
            assert all(sentence in texts[code] for sentence in told)
            asked += 1
    assert asked > 100
    start = LANGUAGES[code].ask["currency"].partition("{t}")[0]
    assert start in texts[code] or code in ("eu", "hi", "zh")  # there the territory comes first


def test_held_out_documents_are_others_in_every_language() -> None:
    for code in ("en", "zh"):
        train = set(facts.documents(code, seed=0, n_bytes=200_000))
        assert not train & set(facts.heldout(code, seed=0, n_bytes=50_000))
    with pytest.raises(KeyError):
        facts.documents("xx", seed=0, n_bytes=10)


def test_they_are_corpora_by_name() -> None:
    corpus = load("facts-eu", train_bytes=20_000, heldout_bytes=5_000)
    assert corpus.tasks == "facts"
    assert corpus.train == facts.documents("eu", seed=0, n_bytes=20_000)
    assert 20_000 <= sum(len(text.encode()) for text in corpus.train) < 22_000
    assert load("facts-eu", train_bytes=20_000, heldout_bytes=5_000, seed=1).digest != corpus.digest
    assert facts.digest_fields("eu")["babel"]
