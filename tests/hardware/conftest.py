"""A stand-in libnvidia-ml.so.1, built once, and Python run with it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Ask = Callable[..., Any]


@pytest.fixture(scope="session")
def stand_in(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that holds the library."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler to build the stand-in for libnvidia-ml.so with")
    folder = tmp_path_factory.mktemp("nvml")
    source = Path(__file__).with_name("libnvidia-ml.c")
    command = [compiler, "-shared", "-fPIC", "-O1", "-o", str(folder / "libnvidia-ml.so.1"), str(source)]
    subprocess.run(command, check=True)
    return folder


@pytest.fixture
def ask(stand_in: Path) -> Ask:
    """Runs code in a process that finds the stand-in, and returns what it puts into `answer`. Keywords are the
    environment."""

    def run(code: str, *, library: bool = True, **environment: str) -> Any:
        env = {**os.environ, **environment} | ({"LD_LIBRARY_PATH": str(stand_in)} if library else {})
        program = f"import json\nfrom benchsuite.hardware import nvml\n{code}\nprint(json.dumps(answer))"
        done = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run
