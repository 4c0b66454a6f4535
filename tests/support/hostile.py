"""Text as a hostile user would write it into a name or a reason, and a page of Markdown as its readers see it."""

from __future__ import annotations

import re
from html.parser import HTMLParser

from hypothesis import strategies as st
from markdown_it import MarkdownIt

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
# What GitHub and GitLab make links of in text, after the Markdown is rendered.
LINKED = re.compile(r"@\w|(?<![&\w])#\d|https?://|www\.")
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


def rendered(page: str) -> Tags:
    """The page as HTML: its tags, comments and text."""
    return Tags(PAGE.render(page))
