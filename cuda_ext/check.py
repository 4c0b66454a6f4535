"""Launches executed on the interpreter, and what came of each: a fault, or its traffic."""

from __future__ import annotations

import runpy
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from benchsuite.cuda_ext.launches import MODELS, TYPES, Launch, works
from benchsuite.cuda_ext.predict import execute, program
from benchsuite.cuda_ext.ptx import PTXFault, PTXSyntaxError, UnknownInstruction
from benchsuite.errors import UserError


@dataclass(frozen=True)
class Executed:
    """One launch. `fault` is the message of what a GPU would punish, `unknown` of what is not interpreted.

    `moved` are the bytes that instructions read and wrote, `touched` counts each byte of a buffer once a direction;
    `sectors` is the share of the 32-byte sectors moved that was used, `conflicts` the passes of shared memory beyond
    the first.
    """

    file: str
    kernel: str
    fault: str | None = None
    unknown: str | None = None
    moved: int = 0
    touched: int = 0
    sectors: float = 1.0
    conflicts: int = 0
    instructions: int = 0


def own_launches() -> Iterator[Launch]:
    """Every kernel of benchsuite's own, in every type, at the smallest model's shapes."""
    for dtype in TYPES:
        for work in works(MODELS[0], dtype):
            yield from work.samples[1::2] if work.squares else work.samples  # of one and of two tiles, those of two


def launches_of(path: Path) -> list[Launch]:
    """LAUNCHES of a Python file: a list of benchsuite.cuda_ext.launches.Launch. Raises UserError."""
    if not path.is_file():
        raise UserError(f"{path} is not a file")
    try:
        found = runpy.run_path(str(path)).get("LAUNCHES")
    except Exception as error:
        raise UserError(f"{path} fails: {type(error).__name__}: {error}") from error
    if not isinstance(found, list | tuple) or not all(isinstance(one, Launch) for one in found):
        raise UserError(
            f"{path} has no LAUNCHES",
            hint="LAUNCHES = [benchsuite.cuda_ext.launches.Launch(...), ...]; see docs/guides/kernels.md",
        )
    beside = [(path.parent / one.file).resolve() for one in found]
    return [replace(one, file=str(file)) if file.exists() else one for one, file in zip(found, beside, strict=True)]


def run(launches: Iterable[Launch]) -> Iterator[Executed]:
    """Execute one after the other. Raises UserError where a file does not compile or has no such kernel."""
    for launch in launches:
        path = launch.path
        if not path.is_file():
            raise UserError(f"{launch.file} is not there")
        try:
            name = program(path, "sm_80").find(*launch.name).name
        except (LookupError, PTXSyntaxError) as error:
            raise UserError(f"{path.name}: {error}") from error
        try:
            result = execute(launch)
        except PTXFault as fault:
            yield Executed(path.name, name, fault=str(fault).removeprefix(f"{name}, "))
            continue
        except UnknownInstruction as instruction:
            yield Executed(path.name, name, unknown=str(instruction))
            continue
        counters = result.counters
        yield Executed(
            path.name,
            name,
            moved=counters.bytes.total(),
            touched=sum(result.touched.values()),
            sectors=counters.sector_efficiency,
            conflicts=counters.bank_conflicts,
            instructions=counters.instructions.total(),
        )


def readable(names: list[str]) -> dict[str, str]:
    """Kernels' names as a reader knows them: by c++filt where it is here, without namespaces and parameters."""
    tool = shutil.which("c++filt")
    if tool is None or not names:
        return {name: name for name in names}
    text = subprocess.run([tool], input="\n".join(names), capture_output=True, text=True, check=False).stdout
    return {name: _short(long) for name, long in zip(names, text.splitlines(), strict=False)}


def _short(name: str) -> str:
    name = name.removeprefix("void ")
    for prefix in ("benchsuite::cuda::", "(anonymous namespace)::", "benchsuite::"):
        name = name.replace(prefix, "")
    name = name.replace("__nv_bfloat16", "bf16").replace("__half", "f16").replace("(Sums)", "")
    depth = 0
    for at, character in enumerate(name):
        depth += {"<": 1, ">": -1}.get(character, 0)
        if character == "(" and depth == 0:
            return name[:at]
    return name
