"""`benchsuite kernels`: the custom C++/CUDA operators, built, described, and checked without a GPU."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from benchsuite.cuda_ext.library import Library

app = typer.Typer(
    no_args_is_help=True,
    help="Build the custom C++/CUDA operators, say what is in them, and check their CUDA code without a GPU.",
)


@app.command("build")
def build_command(
    cpu_only: Annotated[bool, typer.Option("--cpu-only", help="Leave the CUDA part out.")] = False,
    clean: Annotated[bool, typer.Option("--clean", help="Throw away first what was built before.")] = False,
) -> None:
    """Build the operators now, from the sources in the checkout or the wheel, and print the library's path.

    A checkout does this by itself at their first use. What has not changed is not compiled again.
    """
    from benchsuite.cuda_ext.build import build
    from benchsuite.cuda_ext.plan import kernels_dir

    if clean:
        import shutil

        shutil.rmtree(kernels_dir(), ignore_errors=True)
    print(build(cpu_only=cpu_only, again=True))


@app.command("info")
def info_command(
    json_: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")] = False,
) -> None:
    """Say which library is used, what is in it, and which compilers are here. Builds nothing."""
    found = _info()
    if json_:
        import json

        print(json.dumps(found, indent=2))
        return
    from rich.console import Console

    from benchsuite import format

    console = Console(highlight=False, soft_wrap=True)
    library = found["library"]
    if library is None:
        console.print("[yellow]no library[/yellow]: " + (found["unavailable"] or found["note"]))
    else:
        cuda = ", ".join(library["archs"]) or f"none: {library['no_cuda_because']}"
        console.print(f"[bold]{library['path']}[/bold]")
        console.print(f"from the {library['origin']}, {format.bytes_(library['bytes'])}, built {library['built']}")
        console.print(f"built by {library['cxx']}" + (f" and nvcc {library['nvcc']}" if library["nvcc"] else ""))
        console.print(f"CPU: {', '.join(library['isas'])}; in use {found['isa']}")
        console.print(f"CUDA: {cuda}")
        console.print(f"{len(found['operators'])} operators: {', '.join(found['operators'])}")
    for name, compiler in found["compilers"].items():
        if compiler["path"]:
            console.print(f"{name} here: {compiler['path']}, {compiler['version']}")
        else:
            console.print(f"{name} here: {compiler['why']}")
            if compiler["fix"]:
                console.print(f"  -> {compiler['fix']}", markup=False)


def _info() -> dict[str, Any]:
    from benchsuite.cuda_ext import load, toolchain, unavailable_reason
    from benchsuite.cuda_ext.library import locate

    reason = unavailable_reason()
    library = None if reason else locate()
    operators: list[str] = []
    isa = None
    if library:
        import torch

        load()
        operators = sorted(
            name.removeprefix("benchsuite::")
            for name in torch._C._dispatch_get_all_op_names()
            if name.startswith("benchsuite::")
        )
        isa = f"cpu_{torch.ops.benchsuite.cpu_isa()}"
    found = {"g++": toolchain.find_cxx(), "nvcc": toolchain.find_nvcc()}
    return {
        "library": _about(library) if library else None,
        "unavailable": reason,
        "note": "" if library or reason else "the first use builds it, or `benchsuite kernels build` now",
        "isa": isa,
        "operators": operators,
        "compilers": {
            name: {"path": part.path, "version": part.version, "why": None, "fix": None}
            if isinstance(part, toolchain.Compiler)
            else {"path": None, "version": None, "why": part.why, "fix": part.fix}
            for name, part in found.items()
        },
    }


def _about(library: Library) -> dict[str, Any]:
    size = library.path.stat().st_size
    return {"path": str(library.path), "origin": library.origin, "bytes": size, **library.about}


@app.command("check")
def check_command(
    files: Annotated[
        list[Path] | None, typer.Argument(help=".cu or .ptx files; all of benchsuite's own where none is named.")
    ] = None,
    archs: Annotated[str, typer.Option("--archs", help="Architectures to compile for.")] = "sm_80,sm_90,sm_100",
    json_: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")] = False,
) -> None:
    """Compile CUDA code and say what each kernel takes: registers, spills, shared memory, occupancy.

    Exits with 5 where a kernel of benchsuite's own spills registers.
    """
    from dataclasses import asdict

    from benchsuite.cuda_ext.plan import sources
    from benchsuite.cuda_ext.resources import resources
    from benchsuite.errors import UserError

    for file in files or []:
        if not file.is_file() or file.suffix not in (".cu", ".ptx"):
            raise UserError(f"{file} is not a .cu or .ptx file")
    names = [name for name in archs.split(",") if name]
    rows = [
        {"file": file.name, **asdict(row)} for file in files or sources("cuda", ".cu") for row in resources(file, names)
    ]
    spilling = [row for row in rows if row["spill_stores"] or row["spill_loads"]]
    if json_:
        import json

        print(json.dumps({"kernels": rows, "spilling": len(spilling)}, indent=2))
    else:
        _show(rows)
    if spilling and not files:
        first = spilling[0]
        raise UserError(f"{first['kernel']} spills registers on {first['arch']}", exit_code=5)


def _show(rows: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    from benchsuite import format

    heads = ("kernel", "on", "registers", "spills", "stack", "shared", "block", "occupancy")
    table = Table(*heads, box=None, header_style="bold", pad_edge=False)
    table.columns[0].overflow = "fold"
    for column in table.columns[2:]:
        column.justify = "right"
    for row in rows:
        spills, full = row["spill_stores"] + row["spill_loads"], row["occupancy"]
        table.add_row(
            row["kernel"],
            row["arch"],
            str(row["registers"]),
            f"[red]{format.bytes_(spills)}[/red]" if spills else "0",
            format.bytes_(row["stack"]),
            format.bytes_(row["shared"]),
            str(row["threads"] or "not stated"),
            "unknown" if full is None else f"{full:.0%}",
        )
    Console().print(table)
