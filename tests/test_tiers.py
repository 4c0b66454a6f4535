"""The watch of the tiers fails an unmarked test that starts a process or uses the kernels."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

HERE = Path(__file__).parent
TESTS = """
import subprocess, sys
import pytest
from benchsuite import cuda_ext

COMMAND = [sys.executable, "-c", ""]

def test_alone():
    pass

def test_starts_a_process():
    subprocess.run(COMMAND)

def test_hides_that_it_starts_one():
    try:
        subprocess.run(COMMAND)
    except BaseException:
        pass

@pytest.fixture(scope="session")
def made():
    subprocess.run(COMMAND)

def test_of_a_fixture_that_starts_one(made):
    pass

def test_of_the_kernels():
    cuda_ext.load()

@pytest.mark.slow
def test_is_marked():
    subprocess.run(COMMAND)
"""


def session(folder: Path, *words: str) -> str:
    command = [sys.executable, "-m", "pytest", "-p", "support.tiers", "-p", "no:cacheprovider", "-rA", *words]
    path = os.pathsep.join(filter(None, [str(HERE), os.environ.get("PYTHONPATH")]))
    env = {**os.environ, "PYTHONPATH": path, "COLUMNS": "300"}
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False).stdout


def test_an_unmarked_test_starts_no_process_and_uses_no_kernels(tmp_path: Path) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = slow: as here\n")
    (tmp_path / "test_it.py").write_text(TESTS)
    said = session(tmp_path)
    lines = [line.split() for line in said.splitlines() if line.startswith(("PASSED", "FAILED", "ERROR"))]
    outcomes = {words[1]: words[0] for words in lines}
    assert {name.partition("::")[2]: outcome for name, outcome in outcomes.items()} == {
        "test_alone": "PASSED",
        "test_starts_a_process": "FAILED",
        "test_hides_that_it_starts_one": "FAILED",
        "test_of_a_fixture_that_starts_one": "ERROR",
        "test_of_the_kernels": "FAILED",
        "test_is_marked": "PASSED",
    }, said
    assert "uses the compiled kernels; mark it with @pytest.mark.slow" in said


def test_no_test_module_starts_a_process_when_it_is_imported(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text("import subprocess\nsubprocess.run(['true'])\n")
    assert "the import of a test module starts a process" in session(tmp_path)
