"""Plan the build of the kernels' library: a unit for each object, with its command and the hash of what goes into
it."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path

from benchsuite import files
from benchsuite.cache import cache_dir, digest
from benchsuite.cuda_ext import toolchain
from benchsuite.cuda_ext.toolchain import Compiler, Missing, Torch
from benchsuite.errors import UserError

CSRC = Path(__file__).parent / "csrc"
TORCH_TARGET = (2, 10)  # the oldest torch whose stable ABI has all that is used here
ISAS = {"cpu_v4": ("-march=x86-64-v4",), "cpu_v3": ("-march=x86-64-v3",), "cpu_v1": ("-march=x86-64",)}
COMMON = ("-std=c++17", "-fPIC", "-fvisibility=hidden", "-Wall")
CPU = ("-O3", "-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math", "-Wno-psabi", "-Wno-uninitialized")
# GCC 12 warns of its own AVX-512 header (GCC bug 105593); the other two compilations still warn of ours.
QUIET_V4 = ("-Wno-uninitialized", "-Wno-uninitialized")


@dataclass(frozen=True)
class Unit:
    """One object to be: `command` gets `-o FILE` at its end; `key` names all that decides its content.

    `inputs` are the source and the headers of benchsuite, each with the hash of its content.
    """

    name: str
    source: Path
    command: tuple[str, ...]
    key: str
    inputs: tuple[tuple[Path, str], ...]

    def changed(self) -> bool:
        """Return whether a file has another content than when the key was made."""
        return any(not path.is_file() or _content(path) != content for path, content in self.inputs)

    @property
    def object(self) -> Path:
        return kernels_dir("objects") / f"{self.key}.o"

    @property
    def log(self) -> Path:
        """Return what the compiler said: of CUDA code, registers, spills and shared memory of each kernel."""
        return self.object.with_suffix(".log")

    @property
    def failure(self) -> Path:
        """Exists where these very sources did not compile: the message, for those that come later."""
        return self.object.with_suffix(".failed")


@dataclass(frozen=True)
class Plan:
    """The parts of a build. `nvcc` is the compiler of the CUDA part, or why it is left out."""

    units: tuple[Unit, ...]
    link: tuple[str, ...]
    isas: tuple[str, ...]
    archs: tuple[str, ...]
    torch: Torch
    cxx: Compiler
    nvcc: Compiler | Missing

    @property
    def key(self) -> str:
        without = self.nvcc.why if isinstance(self.nvcc, Missing) else ""  # for the manifest beside it says so
        return digest([[unit.key for unit in self.units], _portable(self.link), without], 24)

    @property
    def folder(self) -> Path:
        """Return where the library and its manifest will lie."""
        return kernels_dir("libraries") / self.key


def kernels_dir(*parts: str) -> Path:
    """A folder for what is built, made if need be: under $BENCHSUITE_KERNELS_CACHE, or kernels/ in the cache folder."""
    root = os.environ.get("BENCHSUITE_KERNELS_CACHE")
    if not root:
        return cache_dir("kernels", *parts)
    folder = files.real(root).joinpath(*parts)
    files.make(folder)
    return folder


def plan(*, cpu_only: bool = False, portable: bool = False) -> Plan:
    """Return what would be built, from the environment and the sources as they are: for the CPU and the GPUs of this
    machine, or `portable`, for every machine of its kind.

    BENCHSUITE_KERNELS=cpu leaves CUDA out, BENCHSUITE_KERNELS_ONLY=activation,norm takes these families alone,
    BENCHSUITE_KERNELS_ISA=v3 (or all) and TORCH_CUDA_ARCH_LIST choose what to compile for, and
    BENCHSUITE_KERNELS_CXXFLAGS goes to g++ as it is. Raises UserError where the CPU part cannot be built.
    """
    torch, cxx, nvcc = toolchain.find_torch(), toolchain.find_cxx(), toolchain.find_nvcc()
    for part in (torch, cxx):
        if isinstance(part, Missing):
            raise UserError(f"the kernels cannot be built: {part.why}", hint=part.fix)
    assert isinstance(torch, Torch)
    assert isinstance(cxx, Compiler)
    if not (torch.include / "torch" / "csrc" / "stable" / "library.h").is_file():
        raise UserError(f"the kernels cannot be built: torch {torch.version} has no stable ABI", hint=newer_torch())
    if cpu_only or os.environ.get("BENCHSUITE_KERNELS") == "cpu":
        nvcc = Missing("it was left out on request", "")
    kernels = sources("cuda", ".cu")
    if isinstance(nvcc, Compiler) and not kernels:
        nvcc = Missing("there are no CUDA sources", "")
    archs: list[str] = []
    units: list[Unit] = []
    if isinstance(nvcc, Compiler):
        archs = toolchain.archs(nvcc) if portable else toolchain.archs_here(nvcc)
        if not archs:
            nvcc = Missing("there is no NVIDIA GPU of 8.0 or later here", "")
    if isinstance(nvcc, Missing):
        kernels = []
    else:
        units += [_cuda_unit(source, cxx, nvcc, archs) for source in kernels]
    named = _isas(portable)
    for source in sources("ops", ".cpp"):  # a family without a .cu has its CPU part alone
        units.append(_operator_unit(source, cxx, torch, any(_is_of(kernel, source.stem) for kernel in kernels), named))
    units.append(_operator_unit(CSRC / "library.cpp", cxx, torch, bool(kernels), named))
    units += [_cpu_unit(source, isa, cxx) for source in sources("cpu", ".cpp") for isa in named]
    return Plan(tuple(units), tuple(_link(torch, nvcc)), tuple(named), tuple(archs), torch, cxx, nvcc)


def sources(folder: str, suffix: str) -> list[Path]:
    """The sources in csrc/`folder`, or those of the families that BENCHSUITE_KERNELS_ONLY names: F.* and F_*.*."""
    only, found = selected(), sorted((CSRC / folder).glob(f"*{suffix}"))
    return [path for path in found if not only or any(_is_of(path, name) for name in only)]


def selected() -> list[str]:
    """The families in BENCHSUITE_KERNELS_ONLY; none means all."""
    return [name for name in os.environ.get("BENCHSUITE_KERNELS_ONLY", "").split(",") if name]


def _is_of(source: Path, family: str) -> bool:
    return source.stem == family or source.stem.startswith(f"{family}_")


def _isas(portable: bool) -> list[str]:
    """The namespaces that the CPU part is compiled into: that of this machine's instruction set, or of the lower one
    that BENCHSUITE_KERNELS_ISA names; all for any machine."""
    asked, here = os.environ.get("BENCHSUITE_KERNELS_ISA"), toolchain.isa_here()
    if not toolchain.is_x86():
        return ["cpu_v1"]
    if portable or asked == "all" or here is None:
        return list(ISAS)
    if asked and f"cpu_{asked}" not in ISAS:
        raise UserError(f"BENCHSUITE_KERNELS_ISA is v4, v3, v1 or all, not {asked!r}")
    return [f"cpu_{min(asked or here, here)}"]


def headers(source: Path) -> list[Path]:
    """Our own headers that `source` includes, directly or not."""
    seen: set[Path] = set()
    waiting = [source]
    while waiting:
        file = waiting.pop()
        for name in re.findall(r'^\s*#\s*(?:include|define\s+BENCHSUITE_FAMILY)\s+"([^"]+)"', file.read_text(), re.M):
            path = next((p for p in (file.parent / name, CSRC / name) if p.is_file()), None)
            if path is not None and path.resolve() not in seen:
                seen.add(path.resolve())
                waiting.append(path.resolve())
    return sorted(seen)


def source_hash() -> str:
    """The hash of all of csrc/: a prebuilt library carries that of the sources it was made from."""
    files = sorted(path for path in CSRC.rglob("*") if path.is_file())
    return digest([[str(path.relative_to(CSRC)), _content(path)] for path in files], 24)


def newer_torch() -> str:
    return f"pip install 'torch>={TORCH_TARGET[0]}.{TORCH_TARGET[1]}'"


def _content(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _portable(command: tuple[str, ...] | list[str]) -> list[str]:
    """A command without the folders of this machine, so that two checkouts share what is the same."""
    own = ("-L", "-ffile-prefix-map", "/")
    return [part.replace(str(CSRC), ".") for part in command if not part.startswith(own)]


def _unit(name: str, source: Path, command: list[str], versions: list[str]) -> Unit:
    inputs = tuple((path, _content(path)) for path in [source, *headers(source)])
    key = digest([_portable(command), versions, [[path.name, content] for path, content in inputs]], 24)
    return Unit(name, source, tuple(command), key, inputs)


def _extra() -> list[str]:
    return os.environ.get("BENCHSUITE_KERNELS_CXXFLAGS", "").split()


def _prefix() -> str:
    return f"-ffile-prefix-map={CSRC}=."


def _cpu_unit(source: Path, isa: str, cxx: Compiler) -> Unit:
    march = [*ISAS[isa], *(QUIET_V4 if isa == "cpu_v4" else ())] if toolchain.is_x86() else []
    command = [cxx.path, *COMMON, *CPU, *march, _prefix(), f"-DBENCHSUITE_ISA={isa}", f"-I{CSRC}", *_extra()]
    return _unit(f"{source.stem} {isa}", source, [*command, "-c", str(source)], [cxx.version])


def _operator_unit(source: Path, cxx: Compiler, torch: Torch, cuda: bool, isas: list[str]) -> Unit:
    target = f"-DTORCH_TARGET_VERSION=0x{TORCH_TARGET[0]:02x}{TORCH_TARGET[1]:02x}000000000000"
    command = [cxx.path, *COMMON, "-O2", _prefix(), target, f"-DBENCHSUITE_CUDA={int(cuda)}", f"-I{CSRC}"]
    command += [f"-DBENCHSUITE_ONLY_ISA={isas[0][-1]}"] if len(isas) == 1 else []
    command += [f"-ffile-prefix-map={torch.root}=torch", "-isystem", str(torch.include), *_extra(), "-c", str(source)]
    return _unit(f"{source.stem} ops", source, command, [cxx.version, torch.version])


def _cuda_unit(source: Path, cxx: Compiler, nvcc: Compiler, archs: list[str]) -> Unit:
    try:
        targets = toolchain.gencode(archs)
    except ValueError as error:
        raise UserError(str(error)) from error
    command = [nvcc.path, "-std=c++17", "-O3", "-ccbin", cxx.path, "-Xcompiler", "-fPIC,-fvisibility=hidden", *targets]
    command += ["-Xcompiler", _prefix(), "-Xptxas=-v", "-cudart=static", f"-I{CSRC}"]
    command += ["-isystem", nvcc.include, "-c", str(source)]
    return _unit(f"{source.stem} cuda", source, command, [nvcc.version, cxx.version])


def _link(torch: Torch, nvcc: Compiler | Missing) -> list[str]:
    # Python opens torch's libraries for themselves alone, so ours names them; libtorch.so brings the CUDA one along
    # where there is one.
    link = ["-shared", "-Wl,-Bsymbolic", "-Wl,--exclude-libs,ALL", *_extra(), f"-L{torch.root / 'lib'}"]
    link += ["-Wl,--no-as-needed", "-ltorch", "-ltorch_cpu", "-Wl,--as-needed", "-Wl,--allow-shlib-undefined"]
    if not any(option.startswith("-fsanitize") for option in _extra()):  # whose own library the program brings
        link.append("-Wl,-z,defs")
    if isinstance(nvcc, Compiler):
        link += [f"-L{nvcc.library}", "-lcudart_static", "-ldl", "-lrt", "-lpthread"]
    return link
