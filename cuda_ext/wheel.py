"""Make a wheel with the kernels' library inside, for machines without a compiler:

    python -m benchsuite.cuda_ext.wheel dist      # dist/benchsuite-…-py3-none-linux_x86_64.whl

It serves any Python and any torch from 2.10 on: the library uses torch's stable ABI and nothing of Python's. A plain
`pip wheel .` needs no compiler; what it makes has no library, and builds it where it is used.
"""

from __future__ import annotations

import json
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from benchsuite import files
from benchsuite.cache import write_atomically
from benchsuite.cuda_ext.build import MANIFEST, NAME, build, manifest
from benchsuite.cuda_ext.build_plan import plan, selected
from benchsuite.cuda_ext.toolchain import Missing
from benchsuite.errors import UserError

ROOT = Path(__file__).resolve().parents[1]  # the package holds a link to this folder
PARTS = ("pyproject.toml", "README.md", "LICENSE", "benchsuite", "cuda_ext", "reports", "suites")


def make_wheel(target: Path, *, cpu_only: bool = False) -> Path:
    """Build the library and pack it into a wheel in `target`; return the wheel's path.

    Raises UserError where this is no checkout, or where nvcc is missing and `cpu_only` is not asked for.
    """
    if not (ROOT / "pyproject.toml").is_file() or selected():
        raise UserError("a wheel is made in a checkout, with BENCHSUITE_KERNELS_ONLY unset")
    todo = plan(cpu_only=cpu_only, portable=True)
    if isinstance(todo.nvcc, Missing) and not cpu_only:
        raise UserError(f"the wheel would lack the CUDA part: {todo.nvcc.why}", hint=todo.nvcc.fix or "--cpu-only")
    library = build(cpu_only=cpu_only, portable=True, again=True)
    target.mkdir(parents=True, exist_ok=True)
    # In a copy: neither the library nor setuptools' build folder may stay in the checkout and get into the next wheel.
    with tempfile.TemporaryDirectory() as folder:
        for part in PARTS:
            source = ROOT / part
            if source.is_dir():
                shutil.copytree(source, Path(folder, part), symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, folder)
        inside = Path(folder, "cuda_ext", "lib")
        inside.mkdir(exist_ok=True)
        shutil.copy(library, inside / NAME)
        (inside / MANIFEST).write_text(json.dumps(manifest(todo), indent=2) + "\n")
        tag = f"--config-settings=--build-option=--plat-name=linux_{platform.machine()}"
        made = Path(folder, "made")
        command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", tag, "--wheel-dir", str(made), folder]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise UserError(f"pip wheel failed:\n{done.stderr}")
        (wheel,) = made.glob("*.whl")
        place = files.named(target / wheel.name)
        with write_atomically(place) as temporary:
            shutil.copyfile(wheel, temporary)
        return place


def main() -> None:
    arguments = [part for part in sys.argv[1:] if part != "--cpu-only"]
    try:
        print(make_wheel(Path(arguments[0] if arguments else "dist"), cpu_only="--cpu-only" in sys.argv[1:]))
    except UserError as error:
        sys.exit(f"benchsuite: {error}")


if __name__ == "__main__":
    main()
