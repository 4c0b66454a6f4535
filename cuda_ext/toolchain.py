"""The compilers that build the kernels: where they are, which version, and what to type where one is missing.

g++ (or $CXX) is needed for the CPU part, nvcc for the CUDA part. nvcc is looked for in $CUDA_HOME, on PATH, and in
NVIDIA's PyPI packages beside torch; its CUDA version must be torch's, or a later minor one of the same major.
"""

from __future__ import annotations

import functools
import os
import platform
import re
import shutil
import subprocess
from dataclasses import dataclass
from importlib import util
from pathlib import Path

# A100, H100, B100; a later GPU compiles the PTX when it first loads it. nvcc knows B100 from CUDA 12.8 on.
DEFAULT_ARCHS = "8.0;9.0;10.0+PTX"
OLDER_ARCHS = "8.0;9.0+PTX"
# x86-64-v3 and -v4 by the names of /proc/cpuinfo.
V3 = {"avx2", "fma", "bmi1", "bmi2", "f16c", "abm", "movbe"}
V4 = {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"}
INSTALL_CXX = "apt-get install g++"


@dataclass(frozen=True)
class Compiler:
    """A compiler that was found: its path, its version and, of nvcc, the folders of the CUDA runtime."""

    path: str
    version: str
    include: str = ""
    library: str = ""


@dataclass(frozen=True)
class Missing:
    """The reason why there is no compiler, and the command that fixes it ("" if none does)."""

    why: str
    fix: str


@dataclass(frozen=True)
class Torch:
    """The installed torch, known without importing it. `cuda` is major.minor, or None for a CPU build."""

    root: Path
    version: str
    cuda: str | None

    @property
    def include(self) -> Path:
        return self.root / "include"


@functools.cache
def find_torch() -> Torch | Missing:
    spec = util.find_spec("torch")
    if spec is None or spec.origin is None:
        return Missing("torch is not installed", "pip install torch")
    root = Path(spec.origin).parent
    text = (root / "version.py").read_text()
    version = re.search(r"__version__ = '([^']+)'", text)
    cuda = re.search(r"^cuda\b[^=]*= '(\d+\.\d+)", text, re.MULTILINE)
    return Torch(root, version[1] if version else "unknown", cuda[1] if cuda else None)


@functools.cache
def find_cxx() -> Compiler | Missing:
    """g++, or what $CXX names."""
    name = os.environ.get("CXX") or "g++"
    path = shutil.which(name)
    if path is None:
        return Missing(f"no C++ compiler: {name} is not on PATH", INSTALL_CXX)
    if "Free Software Foundation" not in _output(path, "--version"):
        return Missing(f"{path} is not GCC, whose vector extensions the kernels use", f"{INSTALL_CXX}; unset CXX")
    version = _output(path, "-dumpfullversion", "-dumpversion").strip()
    if int(version.split(".")[0] or 0) < 11:
        return Missing(f"{path} is GCC {version}; the kernels need 11 or later", INSTALL_CXX)
    return Compiler(path, version)


@functools.cache
def find_nvcc() -> Compiler | Missing:
    """nvcc that matches torch's CUDA version, from $CUDA_HOME, PATH or the PyPI packages."""
    torch = find_torch()
    if isinstance(torch, Missing):
        return torch
    if torch.cuda is None:
        return Missing(f"torch {torch.version} has no CUDA", "")
    major, minor = torch.cuda.split(".")
    fix = _how_to_get_nvcc(torch.cuda)
    wrong = []
    for path in _nvcc_candidates(major):
        release = re.search(r"release (\d+)\.(\d+), V([\d.]+)", _output(str(path), "--version"))
        if release is None:
            wrong.append(f"{path} does not run")
        elif release[1] != major or int(release[2]) < int(minor):
            wrong.append(f"{path} is CUDA {release[1]}.{release[2]}")
        else:
            include, library = _runtime(path, major)
            if include is None or library is None:
                wrong.append(f"{path} comes without cuda_runtime.h or libcudart_static.a")
            else:
                return Compiler(str(path), release[3], include, library)
    why = f"torch {torch.version} is for CUDA {torch.cuda}, but " + "; ".join(wrong) if wrong else "nvcc was not found"
    return Missing(why, fix)


def archs(nvcc: Compiler) -> list[str]:
    """The architectures of a library for any machine, or those in $TORCH_CUDA_ARCH_LIST: ["8.0", "9.0", "10.0+PTX"]."""
    release = tuple(int(part) for part in nvcc.version.split(".")[:2])
    text = os.environ.get("TORCH_CUDA_ARCH_LIST") or (DEFAULT_ARCHS if release >= (12, 8) else OLDER_ARCHS)
    return [name for name in re.split(r"[;, ]+", text) if name]


def archs_here(nvcc: Compiler) -> list[str]:
    """Those of `archs` that the GPUs of this machine run; all where $TORCH_CUDA_ARCH_LIST is set or where a GPU does
    not tell what it is, none where there is no GPU."""
    every = archs(nvcc)
    if os.environ.get("TORCH_CUDA_ARCH_LIST"):
        return every
    found = _gpus()
    return every if None in found else [name for name in every if any(_runs(name, gpu, every) for gpu in found)]


@functools.cache
def _gpus() -> list[tuple[int, int] | None]:
    """The compute capability of each NVIDIA GPU that this process may use; None for one that does not tell."""
    from benchsuite.hardware import nvml

    with nvml.opened() as closed:
        if closed is None:
            return nvml.capabilities()
    return [None] if Path("/dev/nvidia0").exists() else []


def _runs(name: str, gpu: tuple[int, int] | None, every: list[str]) -> bool:
    """Return whether `name` is the one of `every` that `gpu` takes: the latest of its generation that is no later than
    itself, else the latest PTX."""

    def number(text: str) -> tuple[int, ...]:
        return tuple(int(part) for part in re.findall(r"\d+", text)[:2])

    if gpu is None or gpu < number(every[0]):
        return False
    same = [x for x in every if number(x)[0] == gpu[0] and number(x) <= gpu]
    return name == (same[-1] if same else next((x for x in reversed(every) if x.endswith("+PTX")), None))


def gencode(names: list[str]) -> list[str]:
    """nvcc's options for architectures written as in $TORCH_CUDA_ARCH_LIST. Raises ValueError for another spelling.

    >>> gencode(["8.0", "9.0a+PTX"])
    ['-gencode=arch=compute_80,code=sm_80', '-gencode=arch=compute_90a,code=[sm_90a,compute_90a]']
    """
    options = []
    for name in names:
        match = re.fullmatch(r"(\d+)\.(\d)([af]?)(\+PTX)?", name)
        if match is None:
            raise ValueError(f"TORCH_CUDA_ARCH_LIST: {name!r} is not an architecture such as 8.0 or 9.0+PTX")
        number = match[1] + match[2] + match[3]
        if int(match[1] + match[2]) < 80:
            raise ValueError(f"TORCH_CUDA_ARCH_LIST: the kernels need 8.0 or later, not {name}")
        code = f"[sm_{number},compute_{number}]" if match[4] else f"sm_{number}"
        options.append(f"-gencode=arch=compute_{number},code={code}")
    return options


def cores() -> int:
    """The cores this process may use."""
    return len(os.sched_getaffinity(0))


def is_x86() -> bool:
    return platform.machine() in ("x86_64", "AMD64")


@functools.cache
def isa_here() -> str | None:
    """The best of the instruction sets v4, v3 and v1 that this CPU has, as csrc/cpu/dispatch.h finds it; None where the
    system does not tell."""
    from benchsuite.hardware.fingerprint import cpu_info

    features = set(cpu_info().get("flags", "").split())
    if not features:
        return None
    return "v1" if not features >= V3 else "v4" if features >= V4 else "v3"


def nvcc_packages(cuda: str) -> list[str]:
    """Return what pip installs to have nvcc for this CUDA version; NVIDIA's packages for CUDA 12 hold ptxas but no
    nvcc."""
    names = ("nvidia-cuda-nvcc", "nvidia-cuda-crt", "nvidia-cuda-cccl", "nvidia-nvvm")
    return [f"{name}=={cuda}.*" for name in names] if int(cuda.split(".")[0]) >= 13 else []


def _how_to_get_nvcc(cuda: str) -> str:
    packages = nvcc_packages(cuda)
    if not packages:
        return f"install NVIDIA's CUDA toolkit {cuda} and set CUDA_HOME to its folder"
    return "pip install " + " ".join(f"'{package}'" for package in packages)


def _nvcc_candidates(major: str) -> list[Path]:
    found = []
    home = os.environ.get("CUDA_HOME") or os.environ.get("CUDA_PATH")
    if home:
        found.append(Path(home) / "bin" / "nvcc")
    on_path = shutil.which("nvcc")
    if on_path:
        found.append(Path(on_path))
    found += [folder / "bin" / "nvcc" for folder in _pypi_folders(major)]
    return [path for path in found if path.is_file()]


def _pypi_folders(major: str) -> list[Path]:
    """Return where NVIDIA's packages for CUDA 13 and later lay their files: nvidia/cu13 in site-packages."""
    spec = util.find_spec("nvidia")
    roots = [Path(root) for root in (spec.submodule_search_locations or [])] if spec else []
    return [root / f"cu{major}" for root in roots if (root / f"cu{major}").is_dir()]


def _runtime(nvcc: Path, major: str) -> tuple[str | None, str | None]:
    """The folders of cuda_runtime.h and of libcudart_static.a: in nvcc's own toolkit, or beside torch."""
    roots = [nvcc.parent.parent, nvcc.resolve().parent.parent, *_pypi_folders(major)]
    targets = [root / "targets" / f"{platform.machine()}-linux" for root in roots]
    headers = [root / "include" for root in [*roots, *targets]]
    libraries = [root / name for root in [*roots, *targets] for name in ("lib64", "lib")]
    include = next((str(folder) for folder in headers if (folder / "cuda_runtime.h").is_file()), None)
    library = next((str(folder) for folder in libraries if (folder / "libcudart_static.a").is_file()), None)
    return include, library


def _output(*command: str) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""


if __name__ == "__main__":  # prints what pip should install for nvcc, and nothing where nvcc is already there
    here = find_torch()
    if isinstance(find_nvcc(), Missing) and isinstance(here, Torch) and here.cuda:
        print("\n".join(nvcc_packages(here.cuda)))
