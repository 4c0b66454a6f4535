"""The locks between processes: taken, waited for, freed by death."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from benchsuite.errors import UserError
from benchsuite.locks import machine_lock, run_lock

pytestmark = pytest.mark.slow

NAMES = ["machine"]
HOLD = """
import sys
from benchsuite.locks import machine_lock
with machine_lock("runs/first", wait=True, say=print, names=["machine"]):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCHSUITE_CACHE", str(tmp_path / "cache"))


def holder() -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, "-c", HOLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_lock_that_is_held_is_refused_with_its_holder() -> None:
    process = holder()
    with pytest.raises(UserError) as error, machine_lock("second", wait=False, say=print, names=NAMES):
        raise AssertionError("two hold the lock")
    assert "runs/first" in error.value.message
    assert str(process.pid) in error.value.message
    process.kill()
    process.communicate()
    with machine_lock("second", wait=False, say=print, names=NAMES):
        """The kernel has freed it."""


def test_waiting_ends_when_the_holder_does() -> None:
    process = holder()
    said: list[str] = []

    def say(text: str) -> None:
        said.append(text)
        process.kill()

    with machine_lock("second", wait=True, say=say, names=NAMES):
        assert [text.split(":")[0] for text in said] == ["another run measures on this machine", "it has ended"]
    process.communicate()


def test_waiting_can_be_stopped() -> None:
    process = holder()
    with pytest.raises(KeyboardInterrupt), machine_lock("second", wait=True, say=print, names=NAMES, stop=lambda: True):
        raise AssertionError("two hold the lock")
    process.kill()
    process.communicate()


def test_one_run_directory_has_one_writer(tmp_path: Path) -> None:
    with run_lock(tmp_path), pytest.raises(UserError, match="another process writes"), run_lock(tmp_path):
        raise AssertionError("two hold the lock")
    with run_lock(tmp_path):
        """It is free again."""
