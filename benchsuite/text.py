"""Text that others wrote (names of tests and files, reasons, output of programs), made harmless where it is shown.

`plain` is for whatever is kept or shown: records, pages, XML, terminals. `markdown` is for pages in Markdown besides.

>>> plain("expected \\x1b[31m1\\x1b[0m, got \\x00 in caf\\udce9.py")
'expected 1, got \\\\x00 in caf\\\\xe9.py'
>>> markdown("test_a[<b>|@team]")
'test_a\\\\[&lt;b&gt;&#124;@&#8203;team\\\\]'
"""

from __future__ import annotations

import re
from typing import Any

_COLOURS = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")  # ECMA-48, 5.4: control sequences
# What moves a cursor, turns the direction of text, breaks lines unseen, or is in no XML 1.0 and no UTF-8.
_HARMFUL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff\ufffe\uffff]"
)
_MARKUP = re.compile(r"[\\`*{}\[\]#$~]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")  # inside a word _ is no emphasis
_STARTS = re.compile(r"^([-+=](?!\d)|\d+(?=[.)](?:\s|$)))")  # a list, a heading's line, a ruler
_UNSEEN = "&#8203;"  # keeps what looks like a mention, an issue or an address from becoming a link


def plain(text: str) -> str:
    """`text` without colours, its line ends "\\n", and every other character that would act on who shows it, or that no
    file can hold, written as Python writes it: `\\x00`, `\\u202e`; a byte that was no UTF-8 as `\\xff`."""
    return _HARMFUL.sub(_written, re.sub(r"\r\n?", "\n", _COLOURS.sub("", text)))


def line(text: str) -> str:
    """`text` as `plain` gives it, on one line."""
    return " ".join(plain(text).split())


def tree(value: Any) -> Any:
    """A value of JSON with all its texts as `plain` gives them, keys too."""
    if isinstance(value, str):
        return plain(value)
    if isinstance(value, dict):
        return {tree(key): tree(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [tree(item) for item in value]
    return value


def markdown(text: Any) -> str:
    """`text` as one line of Markdown that shows it and does nothing: no HTML, no links, images or comments, no mention
    of people or issues, and no way out of the cell of a table."""
    told = _MARKUP.sub(r"\\\g<0>", line(str(text)))
    for sign, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("|", "&#124;")):
        told = told.replace(sign, entity)
    told = told.replace("](", "]\\(").replace("@", f"@{_UNSEEN}").replace("\\#", f"\\#{_UNSEEN}")
    told = re.sub(r"(?i):(?=//)|www(?=\.)", rf"\g<0>{_UNSEEN}", told)
    return _STARTS.sub(lambda found: found[1] + "\\" if found[1].isdigit() else "\\" + found[1], told)


def _written(found: re.Match[str]) -> str:
    code = ord(found[0])
    if 0xDC80 <= code <= 0xDCFF:  # a byte that Python could not decode (PEP 383)
        code -= 0xDC00
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
