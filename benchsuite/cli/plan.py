"""`benchsuite plan SUITE`: what a run would measure here, how long it may take, and what cannot run and why."""

from __future__ import annotations

import json
import shlex
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from benchsuite.cli import options
from benchsuite.cli.numbers import finite
from benchsuite.limits import MOST_RANKS

if TYPE_CHECKING:
    from rich.console import Console

    from benchsuite import Plan
    from benchsuite.engine.estimate import Estimate
    from benchsuite.planning.elsewhere import Elsewhere


def command(
    suite: Annotated[str, typer.Argument(help="The name of a suite, or the path of a suite file.")],
    device: Annotated[str, typer.Option(help=f"{options.DEVICES[:-1]}; or a GPU elsewhere, as h100.")] = "auto",
    only: options.Only = None,
    sets: options.Sets = None,
    seeds: options.Seeds = None,
    corpora: options.Corpora = None,
    jobs: options.Jobs = None,
    dtype: options.Dtype = None,
    scale: options.Scale = None,
    gpus: Annotated[
        int, typer.Option(min=1, max=MOST_RANKS, help="GPUs that train one model together, for the estimate.")
    ] = 8,
    mfu: Annotated[
        float,
        typer.Option(
            min=0.01, max=1.0, callback=finite, help="Share of peak FLOP/s that training reaches, for the estimate."
        ),
    ] = 0.4,
    until: options.Until = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Show the cases of a suite on this machine, with estimates. Nothing is run.

    With --device h100, or another GPU of `benchsuite list devices`, it is the plan for that GPU, which may be
    elsewhere: times and memory are then predicted from its maker's peaks.
    """
    import benchsuite
    from benchsuite.devices import AUTO
    from benchsuite.devices import kinds as known_kinds
    from benchsuite.engine import estimate
    from benchsuite.planning import elsewhere, ladder
    from benchsuite.suite import source

    kinds = {name.partition(":")[0] for name in device.split(",")}  # other words are names of GPUs
    there = None if kinds <= {AUTO, *known_kinds()} else elsewhere.named(device)
    resolved = benchsuite.plan(
        suite,
        device="cuda" if there else _here(device),
        only=only or [],
        sets=sets or [],
        seeds=seeds,
        corpora=corpora or [],
        scale=scale,
        dtype=dtype,
        until=until,
        machine=None if there is None else there.machine(),
    )
    if there is not None and (scale is None or source.ladder(suite)):
        resolved = there.planned(resolved)
        _show_elsewhere(resolved, there, estimate.of(resolved, jobs or ladder.jobs(resolved, there.machine())), as_json)
        return
    found = estimate.of(resolved, jobs or _jobs(resolved))
    if as_json:
        told = {"estimate_s": round(found.planned_s, 1), "estimate_most_s": round(found.most_s, 1)}
        told["estimate_least_s"] = round(found.least_s, 1)
        print(json.dumps({"schema_version": 1, **resolved.to_json(), **told}, indent=1))
        return
    if scale is None or source.ladder(suite):
        _print(resolved, found)
    else:
        begin = ["benchsuite", "run", suite, "--scale", scale, "--device", "cuda"]
        begin += [word for value in sets or [] for word in ("--set", value)]
        begin += [word for value in corpora or [] for word in ("--corpus", value)]
        begin += ["--seeds", str(seeds)] if seeds is not None else []
        begin += ["--dtype", dtype] if dtype is not None else []
        begin += ["--until", until] if until is not None else []
        _print_budget(resolved, scale, shlex.join(begin), gpus, mfu)


def _here(device: str) -> str:
    """The device, which must be here. Raises UserError with the way to plan for one that is not."""
    from benchsuite.cli import devices
    from benchsuite.errors import UserError

    try:
        return devices.chosen(device)
    except UserError as error:
        hint = "plan for a GPU that is not here by its name, as --device h100 (`benchsuite list devices`)"
        raise UserError(error.message, hint=f"{error.hint}; or {hint}" if error.hint else hint) from error


def _jobs(resolved: Plan) -> int:
    from benchsuite.planning import ladder
    from benchsuite.planning.machine import Machine

    return ladder.jobs(resolved, Machine.here(resolved.device))


def _show_elsewhere(resolved: Plan, there: Elsewhere, found: Estimate, as_json: bool) -> None:
    """The plan for a GPU that is not here; every figure is labelled as predicted."""
    from rich.markup import escape
    from rich.table import Table

    from benchsuite import format as fmt
    from benchsuite import terminal
    from benchsuite.planning import elsewhere

    needs = {case.id: there.need(case) for case in resolved.cases if case.unsupported is None}
    if as_json:
        about = {"device": there.name, "peaks": there.peak.source, "assumed": elsewhere.ASSUMED, "also": there.also}
        predicted = {key: asdict(need) for key, need in needs.items() if need is not None}
        told = {"predicted_for": about, "predicted": predicted, "estimate_s": round(found.planned_s, 1)}
        print(json.dumps({"schema_version": 1, **resolved.to_json(), **told}, indent=1))
        return
    console = terminal.console(soft_wrap=True)
    console.print(
        f"[bold]{escape(there.name)}[/] ({there.peak.compute}), which is not here: nothing below was measured."
    )
    console.print(f"Predicted from its published peaks ({escape(there.peak.source)}), at {elsewhere.ASSUMED}.")
    if there.also:
        console.print(f"The name also fits {escape(', '.join(there.also))}.")
    table = Table(
        "case", "replicates", "one call or training", "bound by", "memory", "each, about", box=None, pad_edge=False
    )
    for case in resolved.cases:
        need = needs.get(case.id)
        if case.unsupported is not None:
            shown = ["[yellow]unsupported[/]", "", "", ""]
        elif need is None:
            shown = ["not predicted", "", "", fmt.seconds(case.estimate_s)]
        else:
            shown = [fmt.seconds(need.call_s), need.bound, fmt.bytes_(need.bytes), fmt.seconds(need.replicate_s)]
        table.add_row(escape(case.label), str(len(case.replicates)), *shown)
    terminal.show(table, console)
    _tell(resolved, console)
    console.print(f"{len(resolved.cases)} cases; about {fmt.seconds(found.planned_s)} on one such GPU, as predicted.")


def _tell(resolved: Plan, console: Console) -> None:
    """Print what cannot run and why, and the notes."""
    from rich.markup import escape

    reasons: dict[str, list[str]] = {}
    for case in resolved.cases:
        if case.unsupported is not None:
            reasons.setdefault(case.unsupported, []).append(case.label)
    for reason, labels in reasons.items():
        console.print(f"[yellow]unsupported[/]: {escape(reason)} ({escape(', '.join(labels))})")
    for note in resolved.notes:
        console.print(f"note: {escape(note)}")


def _print(resolved: Plan, found: Estimate) -> None:
    from rich.markup import escape
    from rich.table import Table

    from benchsuite import format as fmt
    from benchsuite import terminal

    console = terminal.console()
    table = Table("case", "kind", "replicates", "each, about", box=None, pad_edge=False)
    for case in resolved.cases:
        each = fmt.seconds(case.estimate_s) if case.unsupported is None else "[yellow]unsupported[/]"
        table.add_row(escape(case.label), case.kind, str(len(case.replicates)), each)
    terminal.show(table, console)
    _tell(resolved, console)
    measurements = sum(len(case.replicates) for case in resolved.cases)
    more = ""
    if found.most_s > 1.1 * found.planned_s:
        more = f", and up to {fmt.seconds(found.most_s)} where comparisons need more"
    console.print(
        f"{len(resolved.cases)} cases, {measurements} measurements, {len(resolved.comparisons)} comparisons; "
        f"about {fmt.seconds(found.planned_s)}{more}. A valid answer takes at least about "
        f"{fmt.seconds(found.least_s)} (`run --budget`)."
    )


def _print_budget(resolved: Plan, scale: str, begin: str, gpus: int, mfu: float) -> None:
    """Every training with what it takes on GPUs, and the commands that start it, which `begin` so."""
    from rich.markup import escape
    from rich.table import Table

    from benchsuite import format as fmt
    from benchsuite import terminal
    from benchsuite.planning import training_budget

    console = terminal.console(soft_wrap=True)
    budgets = training_budget.of(resolved, gpus)
    names = list(training_budget.GPUS)
    columns = ["seeds", "weights", "tokens", "FLOPs", *(f"{name}\nhours" for name in names), f"each of\n{gpus} GPUs"]
    table = Table("training", box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    totals = dict.fromkeys(names, 0.0)
    for found in budgets:
        hours = {name: found.seeds * found.hours(gpu, mfu) for name, gpu in training_budget.GPUS.items()}
        totals = {name: totals[name] + hours[name] for name in names}
        table.add_row(
            escape(found.label.removesuffix("/quality")),
            str(found.seeds),
            fmt.si(found.parameters, ""),
            fmt.si(found.tokens, ""),
            fmt.scientific(found.seeds * found.flops),
            *(f"{hours[name]:,.0f}" for name in names),
            fmt.bytes_(found.bytes_per_gpu),
        )
    terminal.show(table, console)
    for note in resolved.notes:
        console.print(f"note: {escape(note)}")
    spent = ", or ".join(f"{totals[name]:,.0f} {name}-hours" for name in names)
    console.print(f"\n{len(budgets)} models: {spent}, at {100 * mfu:g}% of the dense 16-bit peak (--mfu).")
    console.print(
        f"Memory is that of FSDP over {gpus} GPUs (--gpus): {training_budget.STATE_BYTES} bytes of state a parameter, "
        "shared; two gathered blocks; activations and logits of a micro-batch. An estimate; nothing here was measured."
    )
    folder = f"runs/{resolved.suite.name}-{scale}"
    here = f"{begin} --launcher torchrun --ranks {gpus}"
    on_slurm = f"{begin} --launcher slurm --ranks {gpus} --slurm gpus_per_node={min(gpus, 8)} --slurm partition=NAME"
    console.print(f"\nAll of it, one training after the other:\n  {escape(here)} -o {folder}")
    console.print(f"Every training a job of Slurm's, as many at once as it lets:\n  {escape(on_slurm)} -o {folder}")
    console.print("One training at a time, where another queue takes them:")
    for found in budgets:
        own = f"{folder}-{found.label.replace('/', '-')}"
        console.print(f"  {escape(here)} --only '{escape(found.label)}' -o {escape(own)}")
