"""`benchsuite export` and `import`: runs as tables, pytest-benchmark's JSON both ways, and models for transformers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer


def command(
    runs: Annotated[
        list[Path] | None, typer.Argument(help="Run directories; for --transformers the folder of one saved model.")
    ] = None,
    csv: Annotated[Path | None, typer.Option(help="One row for each record, as CSV.")] = None,
    parquet: Annotated[Path | None, typer.Option(help="The same as Parquet, samples as lists.")] = None,
    pytest_benchmark: Annotated[
        Path | None, typer.Option(help="The speed cases of one run as pytest-benchmark writes them.")
    ] = None,
    transformers: Annotated[
        Path | None,
        typer.Option(
            help="The model as a folder that AutoModelForCausalLM and AutoTokenizer load, and so `lm_eval --model hf`."
        ),
    ] = None,
    schema: Annotated[bool, typer.Option("--schema", help="Print the JSON Schema of a run's files.")] = False,
) -> None:
    """Write runs as a table (CSV, Parquet) or as pytest-benchmark's JSON, or a model for transformers.

    With DuckDB, say: SELECT label, median("time_s") FROM 'run.parquet' GROUP BY label

    `benchsuite export MODEL --transformers DIR` writes config, safetensors and tokenizer. A model that GPT-2, BLOOM or
    GPT-NeoX computes is written as one of these, and does not need benchsuite installed. Any other needs benchsuite and
    trust_remote_code=True, which runs one import.
    """
    from benchsuite.errors import UserError

    if schema:
        from benchsuite.records.schema import json_schema

        print(json.dumps(json_schema(), indent=2))
        return
    if transformers:
        if not runs or len(runs) > 1 or csv or parquet or pytest_benchmark:
            raise UserError("--transformers exports one model", hint="benchsuite export MODEL --transformers DIR")
        _model(runs[0], transformers)
        return
    if not runs:
        raise UserError("no run to export", hint="give run directories, as `benchsuite run` printed them")
    if not (csv or parquet or pytest_benchmark):
        hint = "give --csv, --parquet or --pytest-benchmark FILE, or --transformers DIR"
        raise UserError("no format to export to", hint=hint)
    if pytest_benchmark and len(runs) > 1:
        raise UserError("pytest-benchmark's file holds one run", hint="export the runs one by one")
    import benchsuite
    from benchsuite import files
    from benchsuite.cache import write_atomically
    from benchsuite.records import exchange

    loaded = [benchsuite.load(run) for run in runs]
    for run in loaded:
        for warning in run.warnings:
            typer.echo(f"note: {run.name}: {warning}", err=True)
    table = exchange.rows(loaded) if csv or parquet else []
    try:
        for path, kind in ((csv, "csv"), (parquet, "parquet")):
            if path:
                with write_atomically(files.named(path)) as temporary:
                    exchange.write_table(table, temporary, kind)
                typer.echo(f"{path}: {len(table)} records", err=True)
        if pytest_benchmark:
            document, left_out = exchange.to_pytest_benchmark(loaded[0])
            with write_atomically(files.named(pytest_benchmark)) as temporary:
                temporary.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
            said = f"; {len(left_out)} cases have no figures and are left out" if left_out else ""
            typer.echo(f"{pytest_benchmark}: {len(document['benchmarks'])} benchmarks{said}", err=True)
    except OSError as error:
        raise UserError(f"{error.filename} cannot be written: {error.strerror}", hint="choose another place") from error


def _model(model: Path, folder: Path) -> None:
    """Write a saved model for transformers, and says how lm-eval loads it."""
    import transformers

    from benchsuite.errors import UserError
    from benchsuite.model import bridge, checkpoint

    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder} exists already", hint="name another folder, or remove it")
    transformers.utils.logging.disable_progress_bar()
    loaded, tokenizer = checkpoint.load(model)
    kind = bridge.export(loaded, tokenizer, folder)
    remote = ",trust_remote_code=True" if kind == "benchsuite" else ""
    typer.echo(f"{folder}: a {kind} of transformers", err=True)
    typer.echo(f"lm_eval run --model hf --model_args pretrained={folder}{remote} --device cpu --tasks TASKS")


def import_command(
    file: Annotated[Path, typer.Argument(help="What `pytest --benchmark-json=FILE` wrote.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The run directory to make.")],
) -> None:
    """Make a run directory of what pytest-benchmark measured."""
    from benchsuite.records import exchange
    from benchsuite.records.store import Store

    manifest, records = exchange.from_pytest_benchmark(file)
    store = Store.create(output, manifest)
    for record in records:
        store.append(record)
    store.close()
    typer.echo(f"{output}: {len(records)} benchmarks", err=True)
