"""The wheel holds everything, and works outside the checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The content of the wheel, as pip would lay it into site-packages."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True, text=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def benchsuite(*arguments: str, site: Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": str(site)}
    command = [sys.executable, "-P", "-m", "benchsuite", *arguments]
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)


def test_the_wheel_plans_a_packaged_suite_elsewhere(unpacked: Path, tmp_path: Path) -> None:
    code = "import benchsuite, benchsuite.reports as r; print(benchsuite.__file__, r.__file__)"
    where = subprocess.run(
        [sys.executable, "-P", "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(unpacked)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert all(path.startswith(str(unpacked)) for path in where.stdout.split())
    plan = benchsuite("plan", "quick", "--json", site=unpacked, cwd=tmp_path)
    assert plan.returncode == 0, plan.stderr
    assert '"suite": "quick"' in plan.stdout


def test_the_wheel_holds_every_module_and_template(unpacked: Path) -> None:
    """Those in the folders of the top level too, which are links inside the package."""
    walked = os.walk(ROOT / "benchsuite", followlinks=True)
    modules = {str(Path(folder, name).relative_to(ROOT)) for folder, _, names in walked for name in names}
    modules = {name for name in modules if name.endswith((".py", ".j2", ".js"))}
    assert {"benchsuite/cuda_ext/ptx/machine.py", "benchsuite/reports/templates/script.js"} <= modules
    assert {name for name in modules if not (unpacked / name).is_file()} == set()


def test_the_wheel_holds_data_and_no_tests(unpacked: Path) -> None:
    names = {str(path.relative_to(unpacked)) for path in unpacked.rglob("*") if path.is_file()}
    assert "benchsuite/suites/quick.yaml" in names
    assert any(name.startswith("benchsuite/reports/templates/") for name in names)
    assert "benchsuite/py.typed" in names
    assert {"benchsuite/cuda_ext/csrc/tensor.h", "benchsuite/cuda_ext/csrc/cpu/simd.h"} <= names  # built where used
    assert not [name for name in names if name.endswith((".so", ".o"))]
    assert not [name for name in names if name.startswith("tests/") or "/test_" in name]
