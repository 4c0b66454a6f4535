"""The checks of the operators under NVIDIA's compute-sanitizer, for `benchsuite selftest --device cuda --sanitize`."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence

TOOLS = ("memcheck", "racecheck", "synccheck", "initcheck")


def run(device: str, only: Sequence[str], limit_s: float) -> dict[str, str]:
    """Return what each tool says of the checks of the operators that `only` selects: "clean", its last words, or why it
    did not run or was ended after `limit_s`."""
    program = shutil.which("compute-sanitizer")
    if program is None:
        return dict.fromkeys(TOOLS, "not run: compute-sanitizer is not on PATH")
    return {tool: _one(program, tool, device, only, limit_s) for tool in TOOLS}


def dirty(found: dict[str, str]) -> bool:
    """Return whether a tool ran and ended with an error."""
    return any(words.startswith("exit code") for words in found.values())


def _one(program: str, tool: str, device: str, only: Sequence[str], limit_s: float) -> str:
    with tempfile.TemporaryDirectory() as folder:
        command = [program, "--tool", tool, "--target-processes", "all", "--error-exitcode", "9"]
        command += [sys.executable, "-m", "benchsuite", "selftest", "--device", device, "--check-only"]
        command += ["-o", f"{folder}/run", *(part for pattern in only for part in ("--only", pattern))]
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        try:
            out, _ = process.communicate(timeout=limit_s)
        except subprocess.TimeoutExpired:
            return f"not finished after {limit_s:g} s"
        finally:
            with contextlib.suppress(ProcessLookupError):  # the checks' own processes hold the GPU
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    lines = [line for line in out.splitlines() if line.strip()]
    return "clean" if process.returncode == 0 else f"exit code {process.returncode}: {' / '.join(lines[-3:])}"
