"""`benchsuite selftest`: the suite `operators`, each checked against float64 and timed beside its rivals."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from benchsuite.cli import options


def command(
    device: Annotated[str, typer.Option(help=options.DEVICE)] = "auto",
    quick: Annotated[bool, typer.Option("--quick", help="One shape of each operator, three rounds.")] = False,
    check_only: Annotated[bool, typer.Option("--check-only", help="Check the operators; time nothing.")] = False,
    only: Annotated[list[str] | None, typer.Option(help="Operators by glob pattern: swiglu, 'attention*'.")] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="The run's directory; default: runs/operators-TIME.")
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the tables as Markdown.")] = False,
) -> None:
    """Check every custom operator against float64, and time it beside eager, torch.compile and other people's kernels.

    Measures the suite `operators` as `benchsuite run operators` does, about 15 minutes on two CPU cores, and prints its
    tables. On CUDA the checks then run under compute-sanitizer, where it is installed. Exit codes: 0 fine, 2 usage, 5
    an operator is wrong or failed, 130 interrupted.
    """
    import os
    import sys
    from dataclasses import replace

    from benchsuite.cli import devices, exit_codes, rivals
    from benchsuite.errors import UserError
    from benchsuite.measure import sanitizers
    from benchsuite.planning import plan
    from benchsuite.suite import source

    machine = plan.Machine.here(devices.chosen(device, many=False))
    if machine.no_kernels is not None:
        raise UserError(f"there are no operators to test: {machine.no_kernels}", hint="benchsuite doctor says more")
    suite = source.read("operators")
    assert suite.speed is not None
    speed = suite.speed
    if check_only:
        speed = replace(speed, operators=())
    elif quick:
        both_ways = (entry for entry in speed.operators if entry.direction == "fwd+bwd")
        entries = tuple(replace(entry, shapes=entry.shapes[:1]) for entry in both_ways)
        speed = replace(speed, operators=entries, rounds=3, most_rounds=3)
    resolved = plan.resolve(replace(suite, speed=speed), machine, only=only or [])
    code = rivals.run(resolved, output, rivals.Shown(json_, markdown))
    if code != exit_codes.INTERRUPTED and machine.devices[0].sanitized and sanitizers.SANITIZED not in os.environ:
        found = sanitizers.run(only or ())
        print("\n".join(f"{tool}: {words}" for tool, words in found.items()), file=sys.stderr)
        code = exit_codes.FAILED if sanitizers.dirty(found) else code
    raise typer.Exit(code)
