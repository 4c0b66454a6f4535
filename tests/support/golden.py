"""Golden files: what a command or a page says, kept word for word in tests/golden, or in docs/ where people read it.

    def test_the_page(golden):
        golden("report.md", text)
        golden("docs/reference/suite.md", text)

`pytest --update-golden` writes the files again; look at their difference before you commit it.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "tests" / "golden"

Golden = Callable[[str, str], None]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="Write the golden files again.")


@pytest.fixture
def golden(pytestconfig: pytest.Config) -> Golden:
    """Return a function that compares a text with the golden file of that name."""

    def compare(name: str, text: str) -> None:
        path = (ROOT if name.startswith("docs/") else FOLDER) / name
        if pytestconfig.getoption("--update-golden"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            return
        kept = path.read_text(encoding="utf-8") if path.exists() else ""
        lines = difflib.unified_diff(
            kept.splitlines(), text.splitlines(), str(path.relative_to(ROOT)), "now", lineterm=""
        )
        if kept != text:
            pytest.fail("\n".join([*lines, "", "`pytest --update-golden` keeps the new text"]), pytrace=False)

    return compare
