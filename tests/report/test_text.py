"""What others wrote is shown and does nothing, whatever it is."""

from __future__ import annotations

import re
import unicodedata
from xml.etree import ElementTree

import pytest
from hypothesis import given
from support.hostile import HOSTILE_TEXT, LINKED, rendered

from benchsuite import text


@given(HOSTILE_TEXT)
def test_plain_text_can_be_kept_parsed_and_shown(wild: str) -> None:
    told = text.plain(wild)
    told.encode("utf-8")
    element = ElementTree.Element("a", b=told)
    element.text = told
    parsed = ElementTree.fromstring(ElementTree.tostring(element, encoding="unicode"))
    assert (parsed.text or "") == told
    assert parsed.get("b") == told
    assert all(unicodedata.category(sign) != "Cc" or sign in "\n\t" for sign in told)
    assert not re.search("[\u200e\u200f\u202a-\u202e\u2066-\u2069]", told)
    assert text.plain(told) == told
    assert "\n" not in text.line(wild)


@pytest.mark.parametrize(
    ("wild", "told"),
    [
        ("expected \x1b[1;31m1\x1b[0m, got \x00", "expected 1, got \\x00"),
        ("caf\udce9.py", "caf\\xe9.py"),
        ("a\ud800b\u202ec", "a\\ud800b\\u202ec"),
        ("one\r\ntwo\rthree\tfour\n", "one\ntwo\nthree\tfour\n"),
        ("é 中 \U0001f468\u200d\U0001f469", "é 中 \U0001f468\u200d\U0001f469"),
    ],
)
def test_what_is_harmful_is_written_out(wild: str, told: str) -> None:
    assert text.plain(wild) == told


def test_a_tree_is_harmless_in_keys_too() -> None:
    assert text.tree({"\x00": ["\udcff", 1, None, ("\x1b[0m",)]}) == {"\\x00": ["\\xff", 1, None, [""]]}


@given(HOSTILE_TEXT, HOSTILE_TEXT)
def test_markdown_shows_it_and_does_nothing(first: str, second: str) -> None:
    """In a paragraph, in a list and in a table of CommonMark with GitHub's tables and links."""
    cells = [text.markdown(first), text.markdown(second)]
    page = f"x {cells[0]}\n\n- {cells[1]}\n\n| a | b |\n|---|---|\n| {cells[0]} | {cells[1]} |\n"
    assert page.count("\n") == 7
    shown = rendered(page)
    plain = ["p", "ul", "li", "table", "thead", "tr", "th", "th", "tbody", "tr", "td", "td"]
    assert shown.tags == plain
    assert shown.comments == []
    for wild in (first, second):
        words = text.line(wild).split()
        assert not words or words[0] in shown.data.replace("\u200b", "")
    assert not LINKED.search(shown.data)
    assert "<!--" not in page


@pytest.mark.parametrize("wild", ["test_a.py::test_b[1-x]", "activation/gelu/eager", "-1.2", "+0.5%", "5 of 5", "a: b"])
def test_ordinary_names_and_numbers_read_as_they_are(wild: str) -> None:
    shown = rendered(text.markdown(wild))
    assert shown.data.strip() == wild
