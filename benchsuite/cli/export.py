"""`benchsuite export` and `import`: runs as tables, and pytest-benchmark's JSON both ways."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer


def command(
    runs: Annotated[list[Path] | None, typer.Argument(help="Run directories.")] = None,
    csv: Annotated[Path | None, typer.Option(help="One row for each record, as CSV.")] = None,
    parquet: Annotated[Path | None, typer.Option(help="The same as Parquet, samples as lists.")] = None,
    pytest_benchmark: Annotated[
        Path | None, typer.Option(help="The speed cases of one run as pytest-benchmark writes them.")
    ] = None,
    schema: Annotated[bool, typer.Option("--schema", help="Print the JSON Schema of records.jsonl.")] = False,
) -> None:
    """Write runs as a table (CSV, Parquet) or as pytest-benchmark's JSON.

    With DuckDB, say: SELECT label, median("time_s") FROM 'run.parquet' GROUP BY label
    """
    from benchsuite.errors import UserError

    if schema:
        from benchsuite.schema import json_schema

        print(json.dumps(json_schema(), indent=2))
        return
    if not runs:
        raise UserError("no run to export", hint="give run directories, as `benchsuite run` printed them")
    if not (csv or parquet or pytest_benchmark):
        raise UserError("no format to export to", hint="give --csv FILE, --parquet FILE or --pytest-benchmark FILE")
    if pytest_benchmark and len(runs) > 1:
        raise UserError("pytest-benchmark's file holds one run", hint="export the runs one by one")
    from benchsuite.cache import write_atomically
    from benchsuite.runs import exchange

    table = exchange.rows(runs) if csv or parquet else []
    try:
        for path, kind in ((csv, "csv"), (parquet, "parquet")):
            if path:
                with write_atomically(path) as temporary:
                    exchange.write_table(table, temporary, kind)
                typer.echo(f"{path}: {len(table)} records", err=True)
        if pytest_benchmark:
            document, left_out = exchange.to_pytest_benchmark(runs[0])
            with write_atomically(pytest_benchmark) as temporary:
                temporary.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
            said = f"; {len(left_out)} cases have no figures and are left out" if left_out else ""
            typer.echo(f"{pytest_benchmark}: {len(document['benchmarks'])} benchmarks{said}", err=True)
    except OSError as error:
        raise UserError(f"{error.filename} cannot be written: {error.strerror}", hint="choose another place") from error


def import_command(
    file: Annotated[Path, typer.Argument(help="What `pytest --benchmark-json=FILE` wrote.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The run directory to make.")],
) -> None:
    """Make a run directory of what pytest-benchmark measured."""
    from benchsuite.runs import exchange
    from benchsuite.runs.store import Store

    manifest, records = exchange.from_pytest_benchmark(file)
    store = Store.create(output, manifest)
    for record in records:
        store.append(record)
    store.close()
    typer.echo(f"{output}: {len(records)} benchmarks", err=True)
