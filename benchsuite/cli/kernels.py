"""`benchsuite kernels`: the custom C++/CUDA operators, built, described, and checked without a GPU."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from benchsuite.cli import output as output_

if TYPE_CHECKING:
    from benchsuite.cuda_ext.library import Library

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="Build and describe the custom C++/CUDA operators, and check their CUDA code without a GPU.",
)


@app.command("build")
def build_command(
    cpu_only: Annotated[bool, typer.Option("--cpu-only", help="Leave the CUDA part out.")] = False,
    clean: Annotated[bool, typer.Option("--clean", help="Delete existing build artifacts first.")] = False,
) -> None:
    """Build the operators now, from the sources in the checkout or the wheel, and print the library's path.

    A checkout does this on first use. Sources that have not changed are not compiled again.
    """
    from benchsuite.cuda_ext.build import build
    from benchsuite.cuda_ext.build_plan import kernels_dir

    if clean:
        from benchsuite import files

        files.remove_tree(files.real(kernels_dir()))
    print(build(cpu_only=cpu_only, again=True))


@app.command("info")
def info_command(
    json_: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")] = False,
) -> None:
    """Show which library is used, its contents, and the compilers on this machine. Builds nothing."""
    found = _info()
    if json_:
        import json

        print(json.dumps(found, indent=2))
        return
    from benchsuite import format, terminal

    console = terminal.console(soft_wrap=True)
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
            if compiler["fix"] and (library is None or library["origin"] != "wheel"):  # which needs no compiler
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
    launches: Annotated[
        Path | None, typer.Option("--launches", help="Python file with LAUNCHES to execute, for kernels of your own.")
    ] = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Folder for check.json and check.md.")] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")] = False,
) -> None:
    """Check CUDA code without a GPU: compile it for each architecture, and execute its PTX on the CPU.

    Compiling says what each kernel takes: registers, spills, shared memory, occupancy. Executing finds accesses out of
    bounds, misaligned, or of what nobody wrote; races; barriers and shuffles that not all reach; and counts bytes,
    sectors and bank conflicts. Kernels of benchsuite's own have their launches here; name those of yours by --launches.

    Exits with 5 where a launch has a fault, or where a kernel of benchsuite's own spills registers.
    """
    from dataclasses import asdict

    from benchsuite.cuda_ext import check
    from benchsuite.cuda_ext.build_plan import sources
    from benchsuite.cuda_ext.resources import resources
    from benchsuite.errors import UserError
    from benchsuite.report import kernels_page as page

    for file in files or []:
        if not file.is_file() or file.suffix not in (".cu", ".ptx"):
            raise UserError(f"{file} is not a .cu or .ptx file")
    chosen = check.launches_of(launches) if launches else [] if files else list(check.own_launches())
    names = [name for name in archs.split(",") if name]
    rows = [
        {"file": file.name, **asdict(row)} for file in files or sources("cuda", ".cu") for row in resources(file, names)
    ]
    executed = [asdict(one) for one in output_.counted(check.run(chosen), len(chosen), "executing")]
    shown = check.readable(sorted({row["kernel"] for row in [*rows, *executed]}))
    for row in [*rows, *executed]:
        row["name"] = shown[row["kernel"]]
    spilling = [row for row in rows if row["spill_stores"] or row["spill_loads"]]
    faults = [row for row in executed if row["fault"] or row["unknown"]]
    document = {"kernels": rows, "executed": executed, "spilling": len(spilling), "faults": len(faults)}
    _leave("check", document, page.check_markdown(document), output, json_)
    if not json_:
        page.show_check(document)
    if faults:
        first = faults[0]
        raise UserError(f"{first['name']}: {first['fault'] or 'not interpreted: ' + first['unknown']}", exit_code=5)
    if spilling and not files:
        raise UserError(f"{spilling[0]['name']} spills registers on {spilling[0]['arch']}", exit_code=5)


@app.command("predict")
def predict_command(
    device: Annotated[list[str] | None, typer.Option(help="As NVML names it; default: A100 and H100.")] = None,
    dtype: Annotated[str, typer.Option(help="bfloat16, float16 or float32.")] = "bfloat16",
    model: Annotated[list[str] | None, typer.Option(help="125m, 1b3, 13b, 176b; default: all.")] = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Folder for predicted.json and .md.")] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")] = False,
) -> None:
    """Predict each kernel's time on a GPU that is not here, from executed instructions and the maker's peaks.

    A bound from below, not a measurement: it says which resource binds, and how much of its peak a kernel can reach.
    """
    from benchsuite.cuda_ext import launches, predict
    from benchsuite.errors import UserError
    from benchsuite.hardware.peaks import devices
    from benchsuite.report import kernels_page as page

    ours = ("sm_8", "sm_9", "sm_1")  # the kernels are for sm_80 and up
    known = {name: peak for name, peak in devices().items() if peak.compute.startswith(ours)}
    chosen = device or ["NVIDIA A100-SXM4-80GB", "NVIDIA H100 80GB HBM3"]
    for name in chosen:
        if name not in known:
            raise UserError(f"no published peaks of {name!r}", hint=f"choose from: {', '.join(known)}")
    if dtype not in launches.TYPES:
        raise UserError(f"unknown type {dtype!r}", hint=f"choose from: {', '.join(launches.TYPES)}")
    models = [one for one in launches.MODELS if not model or one.name in model]
    if len(models) < len(set(model or ())):
        raise UserError("unknown model", hint=f"choose from: {', '.join(m.name for m in launches.MODELS)}")
    works = [work for one in models for work in launches.works(one, dtype)]
    rows = []
    for work in output_.counted(works, len(works), "executing"):
        counts = predict.count(work)
        for name in chosen:
            found = predict.predict(counts, known[name], dtype)
            rows.append(
                {
                    "operator": work.operator,
                    "direction": work.direction,
                    "shape": work.shape,
                    "device": name,
                    "time_s": found.time_s,
                    "bound": found.bound,
                    "fraction": found.fraction,
                    "bytes": counts.bytes,
                    "matrix_flops": counts.flops,
                    "warp_instructions": counts.instructions,
                }
            )
    document = {
        "predicted": True,
        "dtype": dtype,
        "models": [vars(m) for m in models],
        "sources": {name: known[name].source for name in chosen},
        "rows": rows,
    }
    _leave("predicted", document, page.predicted_markdown(document), output, json_)
    if not json_:
        page.show_predicted(document)


def _leave(name: str, document: dict[str, Any], markdown: str, output: Path | None, json_: bool) -> None:
    if json_:
        import json

        print(json.dumps(document, indent=1))
    if output is not None:
        output_.write(output, name, document, markdown)
