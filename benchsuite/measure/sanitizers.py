"""The checks of the operators under NVIDIA's compute-sanitizer, for `benchsuite selftest --device cuda`."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence

TOOLS = ("memcheck", "racecheck", "synccheck", "initcheck")
TIMEOUT_S = 1800  # for each tool
SANITIZED = "BENCHSUITE_SANITIZED"  # the variable that is set where the checks run under a tool already


def run(only: Sequence[str]) -> dict[str, str]:
    """Return what each tool says of the checks of the operators that `only` selects: "clean", its last words, or why it
    did not run."""
    program = shutil.which("compute-sanitizer")
    if program is None:
        return dict.fromkeys(TOOLS, "not run: compute-sanitizer is not on PATH")
    found = {}
    for tool in TOOLS:
        with tempfile.TemporaryDirectory() as folder:
            command = [program, "--tool", tool, "--target-processes", "all", "--error-exitcode", "9"]
            command += [sys.executable, "-m", "benchsuite", "selftest", "--device", "cuda", "--check-only"]
            command += ["-o", f"{folder}/run", *(part for pattern in only for part in ("--only", pattern))]
            try:
                done = subprocess.run(
                    command,
                    env={**os.environ, SANITIZED: "1"},
                    capture_output=True,
                    text=True,
                    errors="replace",
                    check=False,
                    timeout=TIMEOUT_S,
                )
            except subprocess.TimeoutExpired:
                found[tool] = f"not finished after {TIMEOUT_S} s"
                continue
        lines = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        found[tool] = "clean" if done.returncode == 0 else f"exit code {done.returncode}: {' / '.join(lines[-3:])}"
    return found


def dirty(found: dict[str, str]) -> bool:
    """Return whether a tool ran and ended with an error."""
    return any(words.startswith("exit code") for words in found.values())
