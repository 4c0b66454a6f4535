"""`benchsuite selftest`: the suite `operators`, each checked against float64 and timed beside its rivals."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from benchsuite.cli import options
from benchsuite.cli.numbers import finite
from benchsuite.limits import MOST_S

if TYPE_CHECKING:
    from benchsuite.suite.schema import Suite


def command(
    device: options.Device = "auto",
    quick: Annotated[
        bool, typer.Option("--quick", help="One shape of each operator, three rounds; so on a GPU always.")
    ] = False,
    check_only: Annotated[bool, typer.Option("--check-only", help="Check the operators; time nothing.")] = False,
    sanitize: Annotated[
        bool, typer.Option("--sanitize", help="Only run the checks under NVIDIA's compute-sanitizer, tool by tool.")
    ] = False,
    limit: Annotated[
        float, typer.Option(min=1, max=MOST_S, callback=finite, help="Seconds for each tool of --sanitize.")
    ] = 300.0,
    only: Annotated[list[str] | None, typer.Option(help="Operators by glob pattern: swiglu, 'attention*'.")] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="The run's directory; default: runs/operators-TIME.")
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the tables as Markdown.")] = False,
) -> None:
    """Check every custom operator against float64, and time it beside eager, torch.compile and other people's kernels.

    Measures the suite `operators` as `benchsuite run operators` does, about 15 minutes on two CPU cores, and prints its
    tables. On a GPU it takes one shape of each operator and leaves torch.compile out, so that it is done in less than
    three minutes; `benchsuite run operators` takes all. Exit codes: 0 fine, 2 usage, 5 an operator is wrong or failed,
    130 interrupted.
    """
    from benchsuite.cli import devices, rivals
    from benchsuite.errors import UserError
    from benchsuite.planning import plan

    if sanitize:
        raise typer.Exit(_sanitize(device, only or [], limit, json_))
    device = devices.chosen(device, many=False)
    machine = plan.Machine.here(device)
    if machine.no_kernels is not None:
        raise UserError(f"there are no operators to test: {machine.no_kernels}", hint="benchsuite doctor says more")
    found = machine.devices[0]
    gpu = not found.is_host and not found.scripted
    resolved = plan.resolve(_suite(quick=quick, check_only=check_only, gpu=gpu), machine, only=only or [])
    raise typer.Exit(rivals.run(resolved, output, rivals.Shown(json_, markdown)))


def _suite(*, quick: bool, check_only: bool, gpu: bool) -> Suite:
    """The suite `operators`, or what of it is asked for. On a GPU what is compiled is left out: compiling takes longer
    than all the rest."""
    from dataclasses import replace

    from benchsuite.components.operators import RIVALS
    from benchsuite.suite import source

    suite = source.read("operators")
    assert suite.speed is not None
    speed = suite.speed
    if check_only:
        speed = replace(speed, operators=())
    elif quick or gpu:
        both_ways = (entry for entry in speed.operators if entry.direction == "fwd+bwd")
        entries = tuple(replace(entry, shapes=entry.shapes[:1]) for entry in both_ways)
        if gpu:
            entries = tuple(
                replace(entry, operators=(name,), rivals=tuple(rival for rival in RIVALS[name] if rival != "compile"))
                for entry in entries
                for name in entry.operators
            )
        speed = replace(speed, operators=entries, rounds=3, most_rounds=3)
    return replace(suite, speed=speed)


def _sanitize(device: str, only: list[str], limit_s: float, as_json: bool) -> int:
    """Run the tools of compute-sanitizer, print what each found, and return the exit code."""
    from benchsuite.cli import exit_codes
    from benchsuite.devices import AUTO, named
    from benchsuite.errors import UserError
    from benchsuite.measure import sanitizers

    device = "cuda" if device == AUTO else device
    if not named(device).sanitized:
        raise UserError(f"--sanitize: compute-sanitizer checks CUDA, not {device}", hint="add --device cuda")
    found = sanitizers.run(device, only, limit_s)
    if as_json:
        import json

        print(json.dumps({"schema_version": 1, "sanitizers": found}, indent=1))
    else:
        print("\n".join(f"{tool}: {words}" for tool, words in found.items()))
    return exit_codes.FAILED if sanitizers.dirty(found) else exit_codes.FINE
