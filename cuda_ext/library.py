"""Choose the library of kernels to load: the one that came in the wheel, one in the cache, or one to be built now.

found = locate()       # found.path, found.origin; None where it would have to be built
"""

from __future__ import annotations

import json
import os
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchsuite.cuda_ext import build_plan, toolchain
from benchsuite.cuda_ext.build import MANIFEST, NAME, build, failure_of
from benchsuite.cuda_ext.toolchain import Missing
from benchsuite.errors import UserError

PREBUILT = Path(__file__).parent / "lib"


@dataclass(frozen=True)
class Library:
    """A library that can be loaded. `origin` is "wheel" or "cache", `about` its manifest."""

    path: Path
    origin: str
    about: dict[str, Any]


def locate(*, build_allowed: bool = False) -> Library | None:
    """The library for the sources as they are, or None where there is none yet.

    A prebuilt one is taken where it was made from these sources and the environment asks for nothing else; then one in
    the cache; `build_allowed` builds it otherwise. Raises UserError where there is none and it cannot be built.
    """
    too_old = _torch_too_old()
    if too_old:
        raise UserError(too_old, hint=build_plan.newer_torch())
    development = os.environ.get("BENCHSUITE_KERNELS") == "cpu" or build_plan.selected()
    if not development:
        prebuilt = _usable(PREBUILT, "wheel")
        if prebuilt:
            return prebuilt
    try:
        todo = build_plan.plan()
    except UserError:
        cached = None if development else _any_cached()  # built before the compiler went away
        if cached:
            return cached
        raise
    if build_allowed:
        return _usable(build().parent, "cache")
    failure = failure_of(todo)
    if failure:
        raise UserError(failure, hint="`benchsuite kernels build` tries again")
    return _usable(todo.folder, "cache")


def _torch_too_old() -> str | None:
    torch = toolchain.find_torch()
    if isinstance(torch, Missing):
        return None
    version = tuple(int(part) for part in torch.version.split("+")[0].split(".")[:2] if part.isdigit())
    if version >= build_plan.TORCH_TARGET:
        return None
    return f"the kernels need torch {'.'.join(map(str, build_plan.TORCH_TARGET))} or later, and this is {torch.version}"


def _usable(folder: Path, origin: str) -> Library | None:
    """The library in `folder`, where it is for this kind of machine and was made from the sources as they are."""
    try:
        about = json.loads((folder / MANIFEST).read_text())
    except (OSError, ValueError):
        return None
    here = toolchain.isa_here() if toolchain.is_x86() else None
    runs = here is None or any(isa[-2:] <= here for isa in about.get("isas", ()))
    fits = about.get("machine") == platform.machine() and runs and (folder / NAME).is_file()
    if not fits or (
        origin == "wheel" and build_plan.CSRC.is_dir() and about.get("sources") != build_plan.source_hash()
    ):
        return None
    return Library(folder / NAME, origin, about)


def _any_cached() -> Library | None:
    wanted = build_plan.source_hash()
    for folder in sorted(build_plan.kernels_dir("libraries").iterdir()):
        found = _usable(folder, "cache")
        if found and found.about.get("sources") == wanted and found.about.get("families") == "all":
            return found
    return None


def about() -> dict[str, Any] | None:
    """Return which kernels these are: the hash of their sources, the compilers and architectures of the library where
    it is built; None where the operators cannot run."""
    try:
        found = locate()
    except UserError:
        return None
    if found is None:
        return {"sources": build_plan.source_hash()}
    return {key: found.about.get(key) for key in ("sources", "cxx", "nvcc", "archs")}


def status() -> tuple[bool, str, str]:
    """Return whether the operators can run, why, and what would fix it or add the CUDA part, for people. Builds
    nothing."""
    try:
        found = locate()
    except UserError as error:
        return False, error.message, error.hint
    nvcc = toolchain.find_nvcc() if found else build_plan.plan().nvcc
    if found:
        cuda = ", ".join(found.about["archs"]) or None
        where = "from the wheel" if found.origin == "wheel" else "in the cache"
        why = f"library {where}, " + (f"CUDA {cuda}" if cuda else f"CPU only: {found.about['no_cuda_because']}")
    else:
        parts = f"CPU only: {nvcc.why}" if isinstance(nvcc, Missing) else f"CPU and CUDA, nvcc {nvcc.version}"
        why, cuda = f"the first use builds it ({parts})", None
    return True, why, nvcc.fix if isinstance(nvcc, Missing) and not cuda else ""
