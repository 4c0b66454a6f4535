"""The wheel with the kernels inside, in environments without a compiler, on two builds of torch."""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from benchsuite.cuda_ext.build_plan import plan
from benchsuite.cuda_ext.toolchain import Missing
from benchsuite.cuda_ext.wheel import make_wheel

pytestmark = pytest.mark.long

# Another release and another build than the one the library is compiled against; where pip cannot get it, the test
# says so and is skipped.
OTHER_TORCH = "torch==2.13.0+cpu"

USE = """
import sys, torch
from benchsuite import cuda_ext
assert cuda_ext.unavailable_reason() is None
library = cuda_ext.load()
assert library.origin == "wheel", library
assert torch.ops.benchsuite.cpu_isa() in ("v4", "v3", "v1")
x = torch.randn(5, 33, requires_grad=True)
for kind, exact in (("relu", torch.relu), ("silu", torch.nn.functional.silu)):
    torch.testing.assert_close(torch.ops.benchsuite.act(x, None, kind), exact(x))
print(torch.__version__, torch.ops.benchsuite.has_cuda())
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("TORCH_CUDA_ARCH_LIST", raising=False)
        cpu_only = isinstance(plan(portable=True).nvcc, Missing)
        return make_wheel(tmp_path_factory.mktemp("dist"), cpu_only=cpu_only)


def pip(python: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def environment(folder: Path) -> Path:
    """An empty virtual environment; returns its python."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    return folder / "bin" / "python"


def use(python: Path, tmp_path: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Runs python with no compiler within reach, no cache, and the checkout out of sight."""
    nothing = tmp_path / "no-programs"
    nothing.mkdir(exist_ok=True)
    env = {"PATH": str(nothing), "HOME": str(tmp_path), "BENCHSUITE_CACHE": str(tmp_path / "cache")}
    return subprocess.run([str(python), *command], cwd=tmp_path, env=env, capture_output=True, text=True, check=False)


def test_the_wheel_is_for_any_python_and_has_library_and_sources(wheel: Path) -> None:
    assert wheel.name.endswith("-py3-none-linux_x86_64.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        about = json.loads(archive.read("benchsuite/cuda_ext/lib/manifest.json"))
        library = archive.read("benchsuite/cuda_ext/lib/libbenchsuite.so")
    assert {"benchsuite/cuda_ext/csrc/tensor.h", "benchsuite/cuda_ext/csrc/cpu/simd.h"} <= names
    assert about["families"] == "all"
    assert about["isas"] == ["cpu_v4", "cpu_v3", "cpu_v1"]
    if about["nvcc"]:
        assert about["archs"] == ["8.0", "9.0", "10.0+PTX"]
        assert b".nv_fatbin" in library
    for secret in (str(Path.home()), str(Path(__file__).parents[2])):
        assert secret.encode() not in library
        assert secret not in json.dumps(about)


def test_it_works_without_a_compiler_on_this_torch(wheel: Path, tmp_path: Path) -> None:
    python = environment(tmp_path / "venv")
    assert pip(python, "--no-deps", "--no-index", str(wheel)).returncode == 0
    site = next((tmp_path / "venv").glob("lib/python*/site-packages"))
    (site / "others.pth").write_text(sysconfig.get_path("purelib") + "\n")  # torch and the rest, as they are here
    done = use(python, tmp_path, "-c", USE)
    assert done.returncode == 0, done.stderr
    told = use(python, tmp_path, "-m", "benchsuite", "kernels", "info", "--json")
    found = json.loads(told.stdout)
    assert found["library"]["origin"] == "wheel"
    assert found["library"]["path"].startswith(str(tmp_path))
    assert "act" in found["operators"]
    assert found["compilers"]["g++"]["fix"] == "apt-get install g++"


def test_it_works_without_a_compiler_on_an_older_torch_without_cuda(wheel: Path, tmp_path: Path) -> None:
    python = environment(tmp_path / "venv")
    got = pip(python, OTHER_TORCH)
    if got.returncode != 0:
        pytest.skip(f"pip cannot get {OTHER_TORCH}")
    assert pip(python, "--no-deps", "--no-index", str(wheel)).returncode == 0
    done = use(python, tmp_path, "-c", USE)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("2.13.0+cpu ")


def test_without_library_and_compiler_the_reason_and_the_way_out_are_told(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if "/cuda_ext/lib/" not in name]
        archive.extractall(tmp_path / "site", names)
    code = f"import sys; sys.path.insert(0, {str(tmp_path / 'site')!r})\n"
    code += "from benchsuite import cuda_ext; print(cuda_ext.unavailable_reason())\n"
    code += "try: cuda_ext.load()\nexcept Exception as error: print(type(error).__name__)"
    done = use(Path(sys.executable), tmp_path, "-c", code)
    assert done.stdout.splitlines() == [
        "the kernels cannot be built: no C++ compiler: g++ is not on PATH",
        "apt-get install g++",
        "UserError",
    ]
