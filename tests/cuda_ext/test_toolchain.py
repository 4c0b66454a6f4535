"""Which compilers are found, which are refused, and the command that mends it."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchsuite.cuda_ext import toolchain
from benchsuite.cuda_ext.toolchain import Compiler, Missing, Torch, gencode

from .conftest import executable

PIP = (
    "pip install 'nvidia-cuda-nvcc==13.0.*' 'nvidia-cuda-crt==13.0.*' 'nvidia-cuda-cccl==13.0.*' 'nvidia-nvvm==13.0.*'"
)


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with torch for CUDA 13.0 and nothing else; returns a folder to put things into."""
    monkeypatch.setenv("PATH", f"{tmp_path / 'path'}:/bin")
    for name in ("CXX", "CUDA_HOME", "CUDA_PATH", "TORCH_CUDA_ARCH_LIST"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(toolchain, "find_torch", lambda: Torch(tmp_path / "torch", "2.14.1+cu130", "13.0"))
    monkeypatch.setattr(toolchain, "_pypi_folders", lambda major: [tmp_path / "site" / f"cu{major}"])
    return tmp_path


def toolkit(root: Path, release: str, *, runtime: bool = True) -> Path:
    text = f"#!/bin/sh\necho 'Cuda compilation tools, release {release}, V{release}.88'\n"
    nvcc = executable(root / "bin" / "nvcc", text)
    if runtime:
        for name in ("include/cuda_runtime.h", "lib64/libcudart_static.a"):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).touch()
    return nvcc


def gcc(path: Path, version: str, *, about: str = "Free Software Foundation") -> Path:
    return executable(path, f'#!/bin/sh\ncase "$1" in --version) echo "{about}";; *) echo {version};; esac\n')


def test_the_installed_torch_is_read_without_importing_it() -> None:
    import torch

    found = toolchain.find_torch()
    assert isinstance(found, Torch)
    assert found.version == torch.__version__
    assert found.cuda == torch.version.cuda
    assert (found.include / "torch" / "csrc" / "stable" / "library.h").is_file()


@pytest.mark.slow
def test_gxx_is_found_and_what_is_not_gcc_or_too_old_is_refused(empty: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-g++")
    assert toolchain.find_cxx() == Missing("no C++ compiler: no-such-g++ is not on PATH", "apt-get install g++")
    for version, about, wanted in (
        ("12.2.0", "Free Software Foundation", None),
        ("10.4.0", "Free Software Foundation", "is GCC 10.4.0; the kernels need 11 or later"),
        ("17.0.0", "clang version 17", "is not GCC"),
    ):
        path = gcc(empty / "path" / "cxx", version, about=about)
        monkeypatch.setenv("CXX", str(path))
        toolchain.find_cxx.cache_clear()
        found = toolchain.find_cxx()
        if wanted is None:
            assert found == Compiler(str(path), version)
        else:
            assert isinstance(found, Missing)
            assert wanted in found.why


def test_without_nvcc_the_packages_for_torchs_cuda_are_named(empty: Path) -> None:
    assert toolchain.find_nvcc() == Missing("nvcc was not found", PIP)


@pytest.mark.slow
def test_nvcc_comes_from_cuda_home_then_path_then_the_packages(empty: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    places = [empty / "home", empty / "path_toolkit", empty / "site" / "cu13"]
    nvccs = [toolkit(place, "13.0") for place in places]
    monkeypatch.setenv("CUDA_HOME", str(places[0]))
    monkeypatch.setenv("PATH", f"{places[1] / 'bin'}:/bin")
    for place, nvcc in zip(places, nvccs, strict=True):
        toolchain.find_nvcc.cache_clear()
        wanted = Compiler(str(nvcc), "13.0.88", str(place / "include"), str(place / "lib64"))
        assert toolchain.find_nvcc() == wanted
        nvcc.unlink()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("release", "ok"), [("13.0", True), ("13.1", True), ("12.9", False), ("14.0", False), ("", False)]
)
def test_nvcc_must_fit_torchs_cuda(empty: Path, monkeypatch: pytest.MonkeyPatch, release: str, ok: bool) -> None:
    nvcc = toolkit(empty / "home", release)
    monkeypatch.setenv("CUDA_HOME", str(empty / "home"))
    found = toolchain.find_nvcc()
    assert isinstance(found, Compiler) is ok
    if not ok:
        assert isinstance(found, Missing)
        assert found.fix == PIP
        assert found.why.startswith(f"torch 2.14.1+cu130 is for CUDA 13.0, but {nvcc} ")


@pytest.mark.slow
def test_nvcc_of_an_earlier_minor_release_is_refused(empty: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nvcc = toolkit(empty / "home", "13.0")
    monkeypatch.setenv("CUDA_HOME", str(empty / "home"))
    monkeypatch.setattr(toolchain, "find_torch", lambda: Torch(empty, "2.15.0+cu132", "13.2"))
    found = toolchain.find_nvcc()
    assert isinstance(found, Missing)
    assert found.why == f"torch 2.15.0+cu132 is for CUDA 13.2, but {nvcc} is CUDA 13.0"
    assert "nvidia-cuda-nvcc==13.2.*" in found.fix


@pytest.mark.slow
def test_a_wrong_nvcc_on_path_does_not_hide_the_right_one(empty: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    toolkit(empty / "old", "11.8")
    right = toolkit(empty / "site" / "cu13", "13.0")
    monkeypatch.setenv("PATH", f"{empty / 'old' / 'bin'}:/bin")
    found = toolchain.find_nvcc()
    assert isinstance(found, Compiler)
    assert found.path == str(right)


@pytest.mark.slow
def test_nvcc_alone_takes_the_runtime_from_the_packages_or_is_refused(
    empty: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    toolkit(empty / "home", "13.0", runtime=False)
    monkeypatch.setenv("CUDA_HOME", str(empty / "home"))
    found = toolchain.find_nvcc()
    assert isinstance(found, Missing)
    assert "without cuda_runtime.h" in found.why
    site = empty / "site" / "cu13"
    toolkit(site, "13.0")
    toolchain.find_nvcc.cache_clear()
    found = toolchain.find_nvcc()
    assert isinstance(found, Compiler)
    assert (found.path, found.include) == (str(empty / "home" / "bin" / "nvcc"), str(site / "include"))


def test_cuda_12_has_no_nvcc_on_pypi_and_a_cpu_torch_needs_none(empty: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(toolchain, "find_torch", lambda: Torch(empty, "2.11.0+cu126", "12.6"))
    assert toolchain.find_nvcc() == Missing(
        "nvcc was not found", "install NVIDIA's CUDA toolkit 12.6 and set CUDA_HOME to its folder"
    )
    monkeypatch.setattr(toolchain, "find_torch", lambda: Torch(empty, "2.13.0+cpu", None))
    toolchain.find_nvcc.cache_clear()
    assert toolchain.find_nvcc() == Missing("torch 2.13.0+cpu has no CUDA", "")


def test_architectures_come_from_the_environment_or_fit_nvcc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TORCH_CUDA_ARCH_LIST", raising=False)
    assert toolchain.archs(Compiler("nvcc", "13.0.88")) == ["8.0", "9.0", "10.0+PTX"]
    assert toolchain.archs(Compiler("nvcc", "12.6.20")) == ["8.0", "9.0+PTX"]
    monkeypatch.setenv("TORCH_CUDA_ARCH_LIST", "8.0 8.6, 9.0a;12.0+PTX")
    names = toolchain.archs(Compiler("nvcc", "13.0.88"))
    assert gencode(names) == [
        "-gencode=arch=compute_80,code=sm_80",
        "-gencode=arch=compute_86,code=sm_86",
        "-gencode=arch=compute_90a,code=sm_90a",
        "-gencode=arch=compute_120,code=[sm_120,compute_120]",
    ]


@pytest.mark.parametrize("name", ["Hopper", "80", "7.5", "9.0+ptx", "9"])
def test_an_architecture_that_cannot_be_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="TORCH_CUDA_ARCH_LIST"):
        gencode([name])
