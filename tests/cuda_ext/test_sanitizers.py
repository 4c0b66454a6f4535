"""All CPU operators under AddressSanitizer and UndefinedBehaviorSanitizer, in a process of their own: their tests, and
arguments that do not fit."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchsuite.cuda_ext import FAMILIES, toolchain

pytestmark = pytest.mark.slow

HERE = Path(__file__).parent
# O1: compiling takes half the time, and what is wrong is wrong there too.
FLAGS = "-fsanitize=address,undefined -fno-sanitize-recover=undefined -O1 -g1"


def runtime(name: str) -> str | None:
    command = ["g++", f"-print-file-name={name}"]
    found = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    return found if Path(found).is_absolute() else None


def environment(families: tuple[str, ...], isa: str = "") -> dict[str, str]:
    """The environment of instrumented operators, compiled for `isa`, by default the best that this machine has."""
    libraries = [runtime("libasan.so"), runtime("libubsan.so")]
    if not all(libraries):
        pytest.skip("g++ has no sanitizers here")
    return {
        **os.environ,
        "BENCHSUITE_KERNELS": "cpu",
        "BENCHSUITE_KERNELS_ONLY": "" if families == FAMILIES else ",".join(families),
        "BENCHSUITE_KERNELS_ISA": isa or toolchain.isa_here() or "v1",
        "BENCHSUITE_KERNELS_CXXFLAGS": FLAGS,
        "ASAN_OPTIONS": "detect_leaks=0",  # Python's own
        "UBSAN_OPTIONS": "print_stacktrace=1",
        "LD_PRELOAD": " ".join(str(library) for library in libraries),
    }


def build(env: dict[str, str]) -> None:
    unloaded = {name: value for name, value in env.items() if name != "LD_PRELOAD"}
    command = [sys.executable, "-m", "benchsuite", "kernels", "build"]
    subprocess.run(command, env=unloaded, check=True, capture_output=True)


@pytest.mark.parametrize(
    "families", [("rotary", "softmax"), pytest.param(FAMILIES, marks=pytest.mark.long)], ids=["two families", "all"]
)
def test_the_operators_are_clean(families: tuple[str, ...]) -> None:
    """All families in all compilations, or two of them in that for this machine, which compiles in seconds."""
    isa = "all" if families == FAMILIES else ""
    env = environment(families, isa)
    build(env)
    tests = [str(HERE / f"test_{name}.py") for name in (*families, *(["arguments"] if isa else []))]
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider"]
    command += ["-k", "not compile and not opcheck", "-m", "slow" + (" or long" if isa else " and not long"), *tests]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "100%" in done.stdout


def test_a_read_beyond_the_end_would_be_found() -> None:
    """The library is really instrumented: one operator is told that a row is longer than its memory."""
    env = environment(("rotary", "softmax"))
    build(env)
    code = """
import ctypes, torch
from benchsuite.cuda_ext import load
load()
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
memory = (ctypes.c_float * 4096).from_address(libc.malloc(256))  # 16 KiB said, 256 bytes there
torch.ops.benchsuite.alibi_softmax(torch.frombuffer(memory, dtype=torch.float32).view(1, 1, 64, 64), None, 1.0, True)
"""
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "AddressSanitizer: heap-buffer-overflow" in done.stderr, done.stderr[-2000:]
