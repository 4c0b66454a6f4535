"""What others wrote is shown and does nothing, whatever it is."""

from __future__ import annotations

import re
import unicodedata
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from benchsuite import text

PIECES = [
    *("<script>alert(1)</script>", "<img src=x onerror=a>", "</td></tr>", "<!-- benchsuite gate -->", "-->"),
    *(
        "&lt;b&gt;",
        "[a](https://evil.example)",
        "![a](http://evil.example/x.png)",
        "<https://evil.example>",
        "[x]: https://a.b",
    ),
    *("https://evil.example", "www.evil.example", "me@evil.example", "@octocat", "@org/team", "&#64;octocat", "a#12"),
    *("`", "```", "|", "\\|", "\\", "a`|`b", "~~~", "$x$", "*", "_", "#", "# h", "- a", "1. a", "===", "---", "> q"),
    *("\n", "\r", "\r\n", "\t", "\0", "\x1b[31m", "\x1b]8;;http://evil\x07", "\x7f", "\x85", "\u2028", "\ufffe"),
    *("\u202e", "\u2066", "\ufeff", "\udcff", "\ud800", "\U0001f600", "é", "中", "::error::", "%0A", "[/]", "[red]"),
]
HOSTILE = st.lists(st.sampled_from(PIECES) | st.text(st.characters(exclude_categories=[]), max_size=6), max_size=8)
HOSTILE_TEXT = HOSTILE.map("".join)
PAGE = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])


class Tags(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.comments: list[str] = []
        self.data = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.append(tag)

    def handle_comment(self, data: str) -> None:
        self.comments.append(data)

    def handle_data(self, data: str) -> None:
        self.data += data


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
    shown = Tags(PAGE.render(page))
    plain = ["p", "ul", "li", "table", "thead", "tr", "th", "th", "tbody", "tr", "td", "td"]
    assert shown.tags == plain
    assert shown.comments == []
    for wild in (first, second):
        words = text.line(wild).split()
        assert not words or words[0] in shown.data.replace("\u200b", "")
    # What GitHub and GitLab make links of in text, after the Markdown is rendered.
    assert not re.search(r"@\w|(?<![&\w])#\d|https?://|www\.", shown.data)
    assert "<!--" not in page


@pytest.mark.parametrize("wild", ["test_a.py::test_b[1-x]", "activation/gelu/eager", "-1.2", "+0.5%", "5 of 5", "a: b"])
def test_ordinary_names_and_numbers_read_as_they_are(wild: str) -> None:
    shown = Tags(PAGE.render(text.markdown(wild)))
    assert shown.data.strip() == wild
