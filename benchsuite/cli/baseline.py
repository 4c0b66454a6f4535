"""`benchsuite baseline`: runs kept under a name, for a gate to compare with."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from benchsuite.errors import UserError

app = typer.Typer(
    no_args_is_help=True, rich_markup_mode="markdown", help="Keep runs as plain files, for a gate to compare with."
)


@app.command()
def save(
    name: Annotated[str, typer.Argument(help="A name: letters, digits, points, dashes.")],
    run: Annotated[Path, typer.Argument(help="The run's directory.")],
    replace: Annotated[bool, typer.Option("--replace", help="Overwrite the baseline of that name.")] = False,
) -> None:
    """Keep a run's measurements as baselines/NAME (or in $BENCHSUITE_BASELINES)."""
    from benchsuite.records import baselines

    print(baselines.save(name, run, replace=replace))


@app.command(name="list")
def list_(as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False) -> None:
    """Show the baselines with their age and machine; the promoted one has a star."""
    from rich.markup import escape
    from rich.table import Table

    from benchsuite import terminal
    from benchsuite.records import baselines
    from benchsuite.records.load import read_manifest
    from benchsuite.text import line

    rows = []
    for name in baselines.names():
        try:
            plan = read_manifest(baselines.folder() / name)
        except UserError as error:
            print(f"note: left out: {line(error.message)}", file=sys.stderr)
            continue
        age = baselines.age_days({"created": plan.created})
        rows.append(
            {
                "name": name,
                "current": name == baselines.current(),
                "suite": plan.suite,
                "created": plan.created,
                "age_days": age,
                "cases": sum(case.timed for case in plan.cases),
                "machine": str(plan.hardware.identity.get("cpu", "unknown")),
            }
        )
    if as_json:
        print(json.dumps({"schema_version": 1, "folder": str(baselines.folder()), "baselines": rows}, indent=1))
        return
    if not rows:
        print(f"no baselines in {baselines.folder()}; keep one: benchsuite baseline save NAME RUN")
        return
    table = Table("name", "suite", "days old", "cases", "machine", box=None, pad_edge=False)
    for row in rows:
        star = "* " if row["current"] else ""
        age_days = "?" if row["age_days"] is None else str(row["age_days"])
        table.add_row(
            f"{star}{escape(line(str(row['name'])))}",
            escape(line(str(row["suite"]))),
            age_days,
            str(row["cases"]),
            escape(line(str(row["machine"]))),
        )
    terminal.show(table)


@app.command()
def show(name: Annotated[str, typer.Argument(help="A baseline; without one the promoted.")] = "") -> None:
    """Print each case's time, as the median over its processes, and how far these lie apart."""
    import statistics

    from rich.markup import escape
    from rich.table import Table

    import benchsuite
    from benchsuite import format as fmt
    from benchsuite import terminal
    from benchsuite.records import baselines
    from benchsuite.text import line

    run = benchsuite.load(baselines.find(name))
    table = Table("case", "processes", "time", "spread", box=None, pad_edge=False)
    for case in run.manifest.cases:
        records = [record for record in run.records.get(case.id, {}).values() if record.status == "ok"]
        times = [record.speed.time_s for record in records if record.speed and record.speed.time_s]
        if not times:
            continue
        middle = statistics.median(times)
        spread = fmt.percent((max(times) - min(times)) / middle)
        table.add_row(escape(line(case.label)), str(len(times)), fmt.seconds(middle), spread)
    if not table.rows:
        raise UserError(
            f"{run.folder} holds no measured speed", hint="save it again: benchsuite baseline save NAME RUN --replace"
        )
    terminal.show(table)
    machine = run.manifest.hardware.identity.get("cpu", "an unknown machine")
    print(line(f"{run.manifest.suite}, measured {run.manifest.created} on {machine}"))


@app.command()
def promote(name: Annotated[str, typer.Argument(help="The baseline to compare with by default.")]) -> None:
    """Make a baseline the default of `gate --base`."""
    from benchsuite.records import baselines

    baselines.promote(name)
    print(f"{name} is the current baseline of {baselines.folder()}")
