"""The documentation prose of installed packages: found as `ast` finds it, and cleaned to prose."""

from __future__ import annotations

import ast
import itertools
import subprocess
import sys
from pathlib import Path

import pytest

from benchsuite.errors import UserError
from benchsuite.pretrain.corpora import installed
from benchsuite.pretrain.corpora.filters import c4_filter, normal_sentences
from benchsuite.pretrain.corpora.installed import docstrings, documents, load, prose, source_files

KINDS = ("installed-raw", "installed-filtered", "installed")


def by_ast(source: str) -> list[str]:
    nodes = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    found = []
    lines = source.split("\n")
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, nodes):
            literal = node.body[0].value if node.body and isinstance(node.body[0], ast.Expr) else None
            text = ast.get_docstring(node)
            start = lines[literal.lineno - 1][literal.col_offset :] if literal is not None else ""
            if text and text.strip() and start.lstrip("rRuU")[:3] in ("'''", '"""'):
                found.append(text.strip())
    return found


def found_in(tmp_path: Path, source: str) -> list[str]:
    path = tmp_path / "module.py"
    path.write_text(source, encoding="utf-8")
    return list(docstrings(path))


@pytest.mark.slow
def test_agrees_with_ast_on_real_source() -> None:
    """300 files of the packages and the standard library: every docstring, and next to nothing else."""
    texts = extra = 0
    for path, _ in source_files()[:300]:
        try:
            source = path.read_text(encoding="utf-8")
            expected = by_ast(source)
        except (SyntaxError, UnicodeDecodeError):
            continue
        found = list(docstrings(path))
        missing = [text for text in expected if text not in found]
        assert not missing, (path, missing[0])
        texts += len(expected)
        extra += len(found) - len(expected)
    assert texts > 500
    assert extra <= 0.01 * texts  # strings after a colon that are no docstring, such as the values of a dictionary


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ('"""One."""\n', ["One."]),
        ('# comment\n\n"""One."""\n', ["One."]),
        ("class A:\n    '''One\n    two.'''\n", ["One\ntwo."]),
        ('def f(\n    a: int = "#",\n) -> str:  # why\n    # note\n    r"""\\d."""\n', ["\\d."]),
        ('def f():\n    """a\\n\\tb"""\n', ["a\nb"]),
        ('x = """no:\n"""\ndef f():\n    """yes"""\n', ["yes"]),
        ('x = 1\n"""no"""\n', []),
        ("x = '\"\"\"'\ndef f():\n    '''yes'''\n", ["yes"]),
        ('# it is """ here\ndef f():\n    """yes"""\n', ["yes"]),
        ('def f():\n    f"""no {x}"""\n', []),
        ('def f():\n    b"""no"""\n', []),
        ('def f():\n    "single"\n', []),
        ('def f():\n    """never closed\n', []),
        ('def f():\n    """a quote\\""""\n', ['a quote"']),
        ('def f():\n    """\\N{no such name}"""\n', []),
        ('def f():\n    """ """\n', []),
        ("", []),
    ],
)
def test_docstrings(tmp_path: Path, source: str, expected: list[str]) -> None:
    assert found_in(tmp_path, source) == expected


def test_files_that_are_no_source_give_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "latin.py").write_bytes(b'"""caf\xe9."""')
    assert list(docstrings(tmp_path / "latin.py")) == []
    assert list(docstrings(tmp_path / "missing.py")) == []
    monkeypatch.setattr(installed, "_MAX_FILE_BYTES", 5)
    assert found_in(tmp_path, '"""One."""') == []


def test_min_sentences_only_skips_what_the_filter_would_drop() -> None:
    for path, _ in source_files()[:60]:
        all_of = [c4_filter([prose(text)]) for text in docstrings(path)]
        some = [c4_filter([prose(text)]) for text in docstrings(path, min_sentences=3)]
        assert [text for text in all_of if text] == [text for text in some if text]


DOCSTRING = """Smooth the values, as described in [1]_.

The `window` is moved over :class:`~pkg.Array` objects, and
**every** value becomes ``mean`` of it.

Parameters
----------
values : array
    The values to smooth. They may be negative.
size : int, optional
    How many values make a window.

Returns
-------
array
    The smoothed values.

Notes
-----
The first values have a smaller window. See :ref:`the guide <guide>`.

For example:

>>> smooth([1, 2])
[1.5, 1.5]

* A list has items.
* They are no prose.

.. math:: a = b

:param x: The old style.

=====  =====
A      B
=====  =====

The formula is $x = y$ here.

    Indented code is no prose.

lower case starts are fragments."""


def test_prose() -> None:
    assert prose(DOCSTRING).split("\n") == [
        "Smooth the values, as described in.",
        "The window is moved over pkg.Array objects, and every value becomes mean of it.",
        "The first values have a smaller window. See the guide.",
    ]


def test_prose_of_google_style_sections() -> None:
    text = "Open the file.\n\nArgs:\n    path: Where it is.\n    mode: How. It matters.\n\nReturns:\n    The file."
    assert prose(text) == "Open the file."


# ---- the corpus -----------------------------------------------------------------------------------------------------


def first(kind: str, count: int) -> list[str]:
    return list(itertools.islice(documents(kind, (path for path, _ in source_files())), count))


@pytest.mark.slow
def test_order_is_fixed_and_mixes_packages() -> None:
    files = [path for path, _ in source_files()]
    assert files == [path for path, _ in source_files()]
    packages = {str(path).split("site-packages/")[1].split("/")[0] for path in files[:300] if "-packages/" in str(path)}
    assert len(packages) > 15
    assert not any("benchsuite" in path.parts[-3:] for path in files)
    assert any("site-packages" not in path.parts for path in files)  # the standard library


@pytest.mark.slow
def test_documents_are_deterministic_in_another_process() -> None:
    code = (
        "import hashlib; from benchsuite.pretrain.corpora.installed import load; "
        "text = load('installed', train_bytes=20_000, heldout_bytes=5_000, seed=0); "
        "print(hashlib.sha256(repr(text).encode()).hexdigest())"
    )
    command = [sys.executable, "-c", code]
    answers = {subprocess.run(command, capture_output=True, text=True, check=True).stdout for _ in range(2)}
    assert len(answers) == 1


@pytest.mark.slow
def test_the_three_kinds_differ_as_they_say() -> None:
    raw, filtered, clean = (first(kind, 400) for kind in ("installed-raw", "installed-filtered", "installed"))
    assert any(">>>" in text for text in raw)
    assert any("\n----" in text for text in raw)
    assert not any(">>>" in text or "{" in text or "----" in text for text in filtered + clean)
    assert len(set(clean)) == len(clean)
    assert c4_filter(filtered) == filtered


def test_it_is_english_prose() -> None:
    text = " ".join(first("installed", 300))
    words = text.split()
    assert 0.03 < words.count("the") / len(words) < 0.12
    assert sum(map(str.isalpha, text)) / len(text) > 0.75


@pytest.mark.slow
def test_what_is_held_out_from_one_kind_is_held_out_from_all() -> None:
    parts = {kind: load(kind, train_bytes=300_000, heldout_bytes=30_000, seed=0) for kind in KINDS}
    asked = {key for text in parts["installed"][1] for key in normal_sentences(text) if key.count(" ") >= 4}
    for kind, (train, heldout) in parts.items():
        assert sum(len(text.encode()) for text in train) >= 300_000
        assert sum(len(text.encode()) for text in heldout) >= 30_000
        trained = {key for text in train for key in normal_sentences(prose(text) if kind == "installed-raw" else text)}
        assert not trained & asked
        assert not set(train) & set(heldout)
    assert load("installed", train_bytes=300_000, heldout_bytes=30_000, seed=1)[1] != parts["installed"][1]


def test_too_few_packages_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installed, "source_files", lambda: source_files()[:20])
    with pytest.raises(UserError, match=r"too small: the packages installed here have [\d,]+ bytes to hold out"):
        load("installed", train_bytes=300_000, heldout_bytes=30_000, seed=0)


@pytest.mark.slow
def test_nothing_is_imported() -> None:
    code = (
        "import sys; from benchsuite.pretrain.corpora import installed; before = set(sys.modules); "
        "installed.load('installed', train_bytes=20_000, heldout_bytes=5_000, seed=0); "
        "print(len(set(sys.modules) - before))"
    )
    assert int(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout) < 3


def test_versions_name_every_distribution_but_this() -> None:
    versions = installed.versions()
    assert {"python", "torch", "numpy"} <= set(versions)
    assert "benchsuite" not in versions
