"""What the YAML reader reads, and where it says that something is wrong."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchsuite.errors import UserError
from benchsuite.suite import yaml_tree
from benchsuite.suite.yaml_tree import Place, parse

LOL = b"a: &a [1,1,1,1,1,1,1,1,1,1]\n" + b"".join(
    b"%c: &%c [%s]\n" % (98 + n, 98 + n, b",".join([b"*%c" % (97 + n)] * 9)) for n in range(9)
)


def test_scalars_are_those_of_yaml_1_2() -> None:
    text = b"[off, on, yes, no, true, False, null, ~, 12, -3, 0x1f, 1.5, 3e-3, 1E5, .5, '12', \"true\", 0.25x, 1_000]"
    assert parse(text, "f").value == [
        *("off", "on", "yes", "no", True, False, None, None, 12, -3, 31, 1.5, 0.003, 1e5, 0.5, "12", "true"),
        *("0.25x", "1_000"),
    ]


def test_places_count_lines_from_one() -> None:
    places = parse(b"a:\n  b: 1\n  c:\n    - 2\n    - 3\n", "f").places
    assert places[("a", "b")] == Place("f", 2)
    assert places[("a", "c", 1)] == Place("f", 5)


def test_anchors_are_read() -> None:
    assert parse(b"a: &x {k: 1}\nb: *x\n", "f").value == {"a": {"k": 1}, "b": {"k": 1}}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"", "f: the file is empty"),
        (b"# only a comment\n", "f: the file is empty"),
        (b"a: 1\nb: 2\na: 3\n", "f:3: the key 'a' is given twice in one mapping, first in line 1"),
        (b"a:\n\tb: 1\n", "f:2: a tab"),
        (b"a: [1\nb: 2\n", "f:2: did not find expected ',' or ']'"),
        (b"a: b: c", "f:1: mapping values are not allowed"),
        (b"x: 1\n\x89PNG\r\n\x1a\n", "f:2: byte 0x89 is not UTF-8 text"),
        (b"x: 1\ny: \x00\n", "f:2: the character '\\x00' cannot be in YAML"),
        (b"[" * 100_000, "f:1: nested deeper than 20 levels"),
        (LOL, "f:5: more than 20,000 values"),
        (b"a: 1\n---\nb: 2\n", "f:2: a second document begins here"),
        (b"a: !!python/object/apply:os.system [ls]", "f:1: the tag"),
        (b"? [a]\n: b\n", "f:1: a key must be a word"),
        (b"a: *x", "f:1: the alias *x has no anchor"),
        (b"a: &a [*a]", "f:1: the alias *a has no anchor"),
    ],
)
def test_refusals_name_file_and_line(text: bytes, said: str) -> None:
    with pytest.raises(UserError) as error:
        parse(text, "f")
    assert error.value.message.startswith(said)


def test_a_large_file_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "large.yaml"
    with open(path, "wb") as file:
        file.truncate(100 * 1024**2)
    started = time.process_time()
    with pytest.raises(UserError, match="104,857,600 bytes"):
        yaml_tree.load(path)
    assert time.process_time() - started < 0.05


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    for path, words in ((tmp_path, "is a folder"), (Path("/dev/zero"), "regular file"), (tmp_path / "x", "not exist")):
        with pytest.raises(UserError, match=words):
            yaml_tree.load(path)


@given(st.binary(max_size=200) | st.text(alphabet="ab:-[]{}&*!#|>'\"\n \t?,%@0.", max_size=60).map(str.encode))
def test_any_bytes_give_a_tree_or_a_message(data: bytes) -> None:
    said = "f:"
    try:
        parse(data, "f")
    except UserError as error:
        said = error.message
    assert said.startswith("f:")
