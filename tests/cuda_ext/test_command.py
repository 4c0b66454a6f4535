"""`benchsuite kernels build` and `info`, as a person types them, on the library without any operator family."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    chosen = {"BENCHSUITE_KERNELS": "cpu", "BENCHSUITE_KERNELS_ONLY": "none", "COLUMNS": "200"}
    return {**os.environ, **chosen, "BENCHSUITE_KERNELS_CACHE": str(tmp_path / "kernels")}


def kernels(*arguments: str, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchsuite", "kernels", *arguments]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False)


def test_info_says_what_will_be_and_after_build_what_is(env: dict[str, str], tmp_path: Path) -> None:
    before = kernels("info", env=env)
    assert "no library: the first use builds it" in before.stdout
    assert not list(tmp_path.rglob("*.so"))

    built = kernels("build", env=env)
    library = Path(built.stdout.strip())
    assert library.is_file()
    assert "1 object with GCC" in built.stderr
    assert "without the CUDA part: it was left out on request" in built.stderr

    found = json.loads(kernels("info", "--json", env=env).stdout)
    assert found["library"]["path"] == str(library)
    assert found["library"]["origin"] == "cache"
    assert found["library"]["archs"] == []
    assert found["operators"] == ["cpu_isa", "cpu_products", "has_cuda", "set_cpu_isa", "set_cpu_products"]
    assert found["isa"] in found["library"]["isas"]
    assert found["compilers"]["g++"]["version"]
    lower = {**env, "BENCHSUITE_KERNELS_ISA": "v1"}
    assert "no library" in kernels("info", env=lower).stdout, "the library is for another instruction set"
    kernels("build", env=lower)
    after = kernels("info", env=lower).stdout
    assert "in use cpu_v1" in after
    assert "CUDA: none: it was left out on request" in after


def test_build_is_quiet_when_there_is_nothing_to_do_and_clean_begins_anew(env: dict[str, str], tmp_path: Path) -> None:
    first = kernels("build", env=env)
    again = kernels("build", env=env)
    assert (again.stdout, again.stderr) == (first.stdout, "")
    (tmp_path / "kernels" / "objects" / "old.o").touch()
    clean = kernels("build", "--clean", env=env)
    assert clean.stdout == first.stdout
    assert "1 object with GCC" in clean.stderr
    assert not (tmp_path / "kernels" / "objects" / "old.o").exists()


def test_without_a_compiler_build_fails_with_the_way_out_and_info_tells_it(env: dict[str, str], tmp_path: Path) -> None:
    env |= {"PATH": str(tmp_path)}
    failed = kernels("build", env=env)
    assert failed.returncode == 2
    assert failed.stderr == (
        "benchsuite: the kernels cannot be built: no C++ compiler: g++ is not on PATH\n  -> apt-get install g++\n"
    )
    found = json.loads(kernels("info", "--json", env=env).stdout)
    assert found["library"] is None
    assert "no C++ compiler" in found["unavailable"]
    assert "no C++ compiler" in kernels("info", env=env).stdout


def test_asking_and_preparing_import_no_torch(env: dict[str, str]) -> None:
    code = (
        "import sys; from benchsuite import cuda_ext\n"
        "assert 'benchsuite.cuda_ext.build' not in sys.modules\n"
        "assert cuda_ext.unavailable_reason() is None\n"
        "cuda_ext.prepare(); assert 'torch' not in sys.modules\n"
        "cuda_ext.load(); import torch; print(torch.ops.benchsuite.has_cuda())"
    )
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False)
    assert done.stdout == "False\n", done.stderr


def test_doctor_has_a_line_for_the_kernels(env: dict[str, str], tmp_path: Path) -> None:
    def fused(**more: str) -> dict[str, object]:
        command = [sys.executable, "-m", "benchsuite", "doctor", "--json", "--noise", "0"]
        done = subprocess.run(command, env={**env, **more}, capture_output=True, text=True, check=True)
        return next(row for row in json.loads(done.stdout)["checks"] if row["what"] == "fused")

    assert fused()["works"]
    assert "the first use builds it" in str(fused()["why"])
    without = fused(PATH=str(tmp_path))
    assert not without["works"]
    assert "no C++ compiler" in str(without["why"])
    assert without["fix"] == "apt-get install g++"
