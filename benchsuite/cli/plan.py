"""`benchsuite plan SUITE`: what a run would measure here, how long it may take, and what cannot run and why."""

from __future__ import annotations

import json
from typing import Annotated

import typer


def command(
    suite: Annotated[str, typer.Argument(help="The name of a suite, or the path of a suite file.")],
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1, mps, xpu")] = "cpu",
    only: Annotated[
        list[str] | None, typer.Option(help="Keep cases with such labels, as 'activation/swiglu*'.")
    ] = None,
    sets: Annotated[list[str] | None, typer.Option("--set", help="Override a key: quality.train.tokens=200k.")] = None,
    seeds: Annotated[int | None, typer.Option(min=1, help="Seeds of the quality part.")] = None,
    corpus: Annotated[
        list[str] | None, typer.Option(help="Train on this text; give it again to compare with further ones.")
    ] = None,
    jobs: Annotated[int | None, typer.Option(min=1, help="Quality jobs side by side; default: one a core.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Show the cases of a suite on this machine, with estimates. Nothing is run."""
    from benchsuite.runs import plan, suite_file

    machine = plan.Machine.here(device)
    read = suite_file.read(suite, sets=sets or [])
    resolved = plan.resolve(read, machine, only=only or [], seeds=seeds, corpora=corpus or [])
    total_s = resolved.total_s(jobs or machine.cores)
    if as_json:
        print(json.dumps({"schema_version": 1, **resolved.to_json(), "estimate_s": round(total_s, 1)}, indent=1))
    else:
        _print(resolved, total_s)


def _print(resolved: object, total_s: float) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from benchsuite import format as fmt
    from benchsuite.runs.plan import Plan

    assert isinstance(resolved, Plan)
    console = Console(highlight=False)
    table = Table("case", "kind", "replicates", "each, about", box=None, pad_edge=False)
    table.columns[0].overflow = "fold"
    for case in resolved.cases:
        each = fmt.seconds(case.estimate_s) if case.unsupported is None else "[yellow]unsupported[/]"
        table.add_row(escape(case.label), case.kind, str(len(case.replicates)), each)
    console.print(table)
    reasons: dict[str, list[str]] = {}
    for case in resolved.cases:
        if case.unsupported is not None:
            reasons.setdefault(case.unsupported, []).append(case.label)
    for reason, labels in reasons.items():
        console.print(f"[yellow]unsupported[/]: {escape(reason)} ({escape(', '.join(labels))})")
    for note in resolved.notes:
        console.print(f"note: {escape(note)}")
    measurements = sum(len(case.replicates) for case in resolved.cases)
    console.print(
        f"{len(resolved.cases)} cases, {measurements} measurements, {len(resolved.comparisons)} comparisons; "
        f"about {fmt.seconds(total_s)} (a first guess; a run learns from its first cases)"
    )
