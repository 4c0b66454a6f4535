"""`benchsuite pack`: a kit for a GPU machine without a network."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def command(
    output: Annotated[
        Path, typer.Option("-o", "--output", help="The kit: a folder, or an archive NAME.tar.gz of one.")
    ] = Path("kit"),
    python: Annotated[str, typer.Option(help="The version of Python on the machine.")] = "3.12",
    torch: Annotated[str, typer.Option(help="The version of torch on the machine; it is never packed.")] = "",
    has: Annotated[
        list[str] | None,
        typer.Option(help="Its packages: a file of `pip list --format=freeze` there, NAME==VERSION, or NAME."),
    ] = None,
    with_: Annotated[
        list[str] | None, typer.Option("--with", help="A further package to pack, such as liger-kernel.")
    ] = None,
    device: Annotated[str, typer.Option(help="What the kit measures; run.py --device changes it.")] = "cuda",
    wheel: Annotated[
        Path | None, typer.Option(help="A wheel of benchsuite; default: one made of this checkout, with the kernels.")
    ] = None,
) -> None:
    """Pack a kit for a GPU machine without a network: wheels, suites, and a runner that needs nothing else.

    There, `python3 run.py` runs what is most worth knowing first, each stage within a limit, in under nine minutes, and
    writes results.zip again after every stage. Here, `benchsuite report results.zip` reads it.

    Needs the package index, for the wheels that the machine lacks, and nvcc, for the kernels.
    """
    from benchsuite import format as fmt
    from benchsuite.kit import make, wheels

    there = wheels.there(torch, has or ())

    def say(text: str) -> None:
        typer.echo(f"{text} ...", err=True)

    made = make.kit(output, python=python, has=there, more=tuple(with_ or ()), device=device, wheel=wheel, say=say)
    typer.echo(f"{made.path}: {len(made.wheels)} wheels, {fmt.bytes_(made.bytes)}", err=True)
    folder = made.path.name.removesuffix(".tgz").removesuffix(".tar.gz")
    unpack = "" if folder == made.path.name else f"tar xf {made.path.name} && "
    typer.echo(f"carry it to the machine, and start there: {unpack}python{python} {folder}/run.py", err=True)
