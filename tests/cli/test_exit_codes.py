"""Exit codes are right whatever is raised, by whomever: 1 is a regression's alone, and 0 a success's."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

APP = """
import os, signal, sys
from benchsuite import cli
from benchsuite.cli import doctor

class Panic(BaseException):
    "As Rust's in tokenizers and safetensors."

def command(device: str = "") -> None:
    exec(device, globals())

doctor.command = command
sys.argv[1:] = ["doctor", *sys.argv[1:]]
cli.main()
"""
RAISED = {
    "raise SystemExit": (70, "sys.exit(None)"),
    "raise SystemExit(0)": (70, "sys.exit(0)"),
    "raise SystemExit(1)": (70, "sys.exit(1)"),
    "raise SystemExit('a word')": (70, "sys.exit('a word')"),
    "raise KeyboardInterrupt": (130, "interrupted"),
    "raise EOFError": (70, "EOFError"),
    "raise GeneratorExit": (70, "GeneratorExit"),
    "raise Panic('rust')": (70, "Panic: rust"),
    "raise MemoryError": (70, "MemoryError"),
    "raise RecursionError": (70, "RecursionError"),
    "raise ValueError('x')": (70, "ValueError: x"),
    "raise BrokenPipeError(32, 'Broken pipe')": (141, ""),
    "raise OSError(28, 'No space left on device', '/disk/file')": (2, "/disk/file cannot be read or written: No space"),
    "raise OSError(30, 'Read-only file system')": (2, "the output cannot be read or written: Read-only"),
    "raise FileNotFoundError(2, 'No such file', 'x')": (70, "FileNotFoundError"),
    "from benchsuite.errors import UserError; raise UserError('m', hint='h', exit_code=4)": (
        4,
        "benchsuite: m\n  -> h",
    ),
    "import typer; raise typer.Exit(3)": (3, ""),
    "import typer; raise typer.Exit(0)": (0, ""),
    "pass": (0, ""),
    "os.kill(os.getpid(), signal.SIGINT)": (130, "interrupted"),
}


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("app") / "app.py"
    path.write_text(APP)
    return path


def benchsuite(*words: str, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *words], text=True, stderr=subprocess.PIPE, check=False, **options)  # type: ignore


@pytest.mark.parametrize("code", RAISED)
def test_what_a_command_raises_is_told_and_has_its_code(app: Path, code: str) -> None:
    expected, words = RAISED[code]
    done = benchsuite(str(app), "--device", code, stdout=subprocess.PIPE)
    assert done.returncode == expected, done.stderr
    assert words in done.stderr
    if expected != 70 or "sys.exit" in words:
        assert "Traceback" not in done.stderr


def test_wrong_usage_is_2() -> None:
    for words in (["nonsense"], ["list", "--nonsense"], ["run", "--seeds", "x"], ["run", "--seeds", "0"]):
        done = benchsuite("-m", "benchsuite", *words, stdout=subprocess.PIPE)
        assert (done.returncode, "Traceback" in done.stderr) == (2, False), done.stderr


def test_output_that_cannot_be_written_is_said() -> None:
    with open("/dev/full", "w") as full:
        done = benchsuite("-m", "benchsuite", "list", "components", stdout=full)
    assert done.returncode == 2
    assert "benchsuite: the output cannot be read or written: No space left on device" in done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


def test_output_that_nobody_reads_is_141() -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "benchsuite", "list", "components"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == b""
    assert process.wait() == 141


def test_interrupted_it_is_130(app: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, str(app), "--device", "print('here', flush=True); import time; time.sleep(60)"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "here\n"
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (130, "benchsuite: interrupted\n")
