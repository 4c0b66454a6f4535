"""Planted slowdowns between commits come out, however the project is installed, and nothing else changes."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from support import repository
from support.repository import FAST_S, SETUPTOOLS, SLOW_S, TESTS, WORK

pytestmark = pytest.mark.slow

SMALLER = """

def test_shrunk(speed):
    speed(lambda: sum(range({n})), tokens={n}, threads=1)
"""


def gate(folder: Path, python: Path, base: str, **variables: str) -> tuple[int, dict[str, dict[str, str]]]:
    """The exit code, and by the names of tests their verdicts, or the kinds of the findings."""
    done = repository.call(folder, python, "gate", "tests", "--base", base, "-o", "../out", "--pairs=10", **variables)
    assert done.returncode in (0, 1), done.stderr
    document = json.loads((folder.parent / "out" / "gate.json").read_text())
    found: dict[str, dict[str, str]] = {"verdicts": {}, "findings": {}}
    for row in document["cases"]:
        found["verdicts"][row["case"].partition("::test_")[2]] = row["verdict"]
    for row in document["findings"]:
        name = row["case"].partition("::test_")[2]
        found["findings"][name] = f"{found['findings'].get(name, '')} {row['kind']}".strip()
    return done.returncode, found


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    repository.git(folder, "init", "-q", "-b", "main")
    return folder


def test_a_slower_head_that_is_installed_plain(project: Path, tmp_path: Path) -> None:
    """A flat layout and an ordinary copy in the environment: base imported that copy, and the ratio was 0.98."""
    about = f'{SETUPTOOLS}[project]\nname = "tiny"\nversion = "1"\n'
    files = {"pyproject.toml": about, "tests/test_work.py": TESTS.format(module="tiny")}
    repository.commit(project, "first", {**files, "tiny/__init__.py": WORK.format(seconds=FAST_S)})
    repository.commit(project, "slow", {"tiny/__init__.py": WORK.format(seconds=SLOW_S)})
    python = repository.environment(tmp_path / "environment")
    repository.install(python, project)
    repository.git(project, "clean", "-qfdx")
    code, found = gate(project, python, "first")
    assert (code, found) == (1, {"verdicts": {"work": "slower"}, "findings": {}})
    assert not repository.git(project, "status", "--porcelain"), "the caller's tree stays as it is"


@pytest.mark.long
def test_a_project_that_is_never_installed_and_shrinks_its_benchmark(project: Path) -> None:
    """pytest finds the project beside conftest.py, in each side's own checkout."""
    files = {"conftest.py": "", "tests/test_work.py": TESTS.format(module="tiny")}
    shrunk = {"tests/test_shrunk.py": SMALLER.format(n=20000)}
    repository.commit(project, "first", {**files, **shrunk, "tiny/__init__.py": WORK.format(seconds=FAST_S)})
    shrunk = {"tests/test_shrunk.py": SMALLER.format(n=2000)}
    repository.commit(project, "slow", {"tiny/__init__.py": WORK.format(seconds=SLOW_S), **shrunk})
    code, found = gate(project, Path(sys.executable), "first", PYTHONPATH=str(project))
    assert code == 1
    assert found == {"verdicts": {"work": "slower"}, "findings": {"shrunk": "edited changed"}}
