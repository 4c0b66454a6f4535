"""Corpora by name, by path and by content."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchsuite.errors import UserError
from benchsuite.pretrain.corpora import world
from benchsuite.suite.corpora import content, displayed, located
from benchsuite.suite.schema import Suite
from benchsuite.suite.source import validate
from benchsuite.suite.yaml_tree import parse

TEXT = b"""
name: small
model: {layers: 1, width: 8, heads: 2, vocab: 300, seq: 8}
baseline: {corpus: book.txt}
quality:
  train: {tokens: 60k}
  tokenizer: {corpora: [book.txt, web_raw]}
  variants: {corpus: [curated, book.txt]}
"""


@pytest.fixture
def suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Suite:
    monkeypatch.chdir(tmp_path)
    Path("book.txt").write_text("Call me Ishmael.")
    return validate(parse(TEXT, "f"))


def test_paths_become_absolute_and_names_stay(suite: Suite, tmp_path: Path) -> None:
    found, book = located(suite), str(tmp_path / "book.txt")
    assert found.quality is not None
    assert found.baseline.corpus == book
    assert found.quality.tokenizer.corpora == (book, "web_raw")
    assert found.quality.variants == {"corpus": ("curated", book)}
    assert located(found) == found


def test_a_file_that_has_gone_is_said(suite: Suite) -> None:
    Path("book.txt").unlink()
    with pytest.raises(UserError, match=r"no corpus 'book.txt' and no such path"):
        located(suite)


def test_short_names_only_where_they_tell_files_apart() -> None:
    assert displayed(["/a/x.txt", "/b/y.txt", "web_raw"]) == {
        "/a/x.txt": "x.txt",
        "/b/y.txt": "y.txt",
        "web_raw": "web_raw",
    }
    assert displayed(["/a/x.txt", "/b/x.txt"]) == {"/a/x.txt": "/a/x.txt", "/b/x.txt": "/b/x.txt"}


def test_content_tells_files_and_folders_apart(tmp_path: Path) -> None:
    file, folder = tmp_path / "a.txt", tmp_path / "folder"
    file.write_text("one")
    folder.mkdir()
    (folder / "b.txt").write_text("one")
    before = content(str(file)), content(str(folder))
    (folder / "b.txt").rename(folder / "c.txt")
    assert (content(str(file)), content(str(folder)) == before[1]) == (before[0], False)
    file.write_text("two")
    assert content(str(file)) != before[0]
    assert content("web_raw") == f"world {world.VERSION}"
    assert content("hub:a/b") is None
    assert content("installed") == content("installed-raw")
