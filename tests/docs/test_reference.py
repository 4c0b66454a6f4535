"""The reference in docs/ is generated from the command line, the suite's schema and the schema of records."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import typer
from pydantic import TypeAdapter
from support.golden import Golden
from typer.utils import get_params_from_function

from benchsuite.cli import build_app
from benchsuite.records.schema import json_schema
from benchsuite.suite.schema import Suite

GENERATED = "<!-- Generated: pytest tests/docs --update-golden -->\n"
RECORDS = """# The files of a run

A run is a directory with `manifest.json` (what is measured, and on which machine) and `records.jsonl` (one line for
each case and replicate, whatever became of it). Units are in the names: `_s` seconds, `_bytes`, `_j` joules, `_w`
watts, `_c` degrees Celsius. A value that is not known is null, never 0.

`benchsuite export --schema` prints the JSON Schema of both files. Every version reads the files of all older ones and
refuses newer ones; [the policy of `schema_version`](../development/release.md#versions) defines when the number is
raised. Readers should ignore unknown fields.
"""


def test_the_commands(golden: Golden) -> None:
    pages = [f"{GENERATED}\n# Commands\n\n[Exit codes](exit-codes.md) are the same everywhere.\n"]
    pages += [f"## benchsuite {name}\n\n{described(command)}" for name, command in commands(build_app())]
    golden("docs/reference/commands.md", "\n".join(pages))


def test_the_keys_of_a_suite(golden: Golden) -> None:
    schema = TypeAdapter(Suite).json_schema()
    head = f"{GENERATED}\n# The keys of a suite\n\nUnknown keys are refused. [Write a suite](../guides/own-suite.md).\n"
    sections = schema.pop("$defs")
    golden("docs/reference/suite.md", "\n".join([head, objects({"A suite": schema, **sections})]))


def test_the_files_of_a_run(golden: Golden) -> None:
    golden("docs/reference/records.md", f"{GENERATED}\n{RECORDS}\n{objects(json_schema()['$defs'])}")


def commands(app: typer.Typer, *names: str) -> Iterator[tuple[str, Callable[..., Any]]]:
    """Yield every command of an application with its full name."""
    for command in app.registered_commands:
        assert command.callback is not None
        yield " ".join((*names, str(command.name or command.callback.__name__.rstrip("_")))), command.callback
    for group in app.registered_groups:
        assert group.typer_instance is not None
        yield from commands(group.typer_instance, *names, str(group.name))


def described(function: Callable[..., Any]) -> str:
    """Return the help of a command: its docstring, and a table of its parameters."""
    rows = []
    for name, parameter in get_params_from_function(function).items():
        about = parameter.default  # what typer.Option or typer.Argument says
        optional = isinstance(about, typer.models.OptionInfo)
        spelt = ", ".join(about.param_decls or ()) or (
            f"--{name.rstrip('_').replace('_', '-')}" if optional else name.upper()
        )
        default = "required" if about.default is ... else f"`{about.default}`" if about.default else ""
        rows.append((f"`{spelt}`", default, " ".join((about.help or "").split())))
    text = inspect.cleandoc(function.__doc__ or "")
    return "\n".join([re.sub(r"<", "&lt;", text), "", *table("option", "default", "does", rows=rows), ""])


def objects(sections: Mapping[str, Mapping[str, Any]]) -> str:
    """Return a table of the properties of each object of a JSON Schema."""
    lines: list[str] = []
    for title, section in sections.items():
        needed = section.get("required", ())
        rows = [
            (f"`{name}`", kind(about), "required" if name in needed else default(about), about.get("description", ""))
            for name, about in section.get("properties", {}).items()
        ]
        described_here = any(row[3] for row in rows)
        heads = ("key", "type", "default", "meaning")[: 4 if described_here else 3]
        lines += [f"## {title}", "", section.get("description", ""), ""]
        lines += [*table(*heads, rows=[row[: len(heads)] for row in rows]), ""] if rows else []
    return "\n".join(lines)


def kind(about: Mapping[str, Any]) -> str:
    """Return the type of a property as people read it."""
    if "$ref" in about:
        name = about["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "enum" in about or "const" in about:
        return ", ".join(f"`{value}`" for value in about.get("enum", [about.get("const")]))
    if "anyOf" in about:
        return " or ".join(dict.fromkeys(kind(one) for one in about["anyOf"] if one.get("type") != "null"))
    if about.get("type") == "array":
        return f"list of {kind(about.get('items', {}))}"
    if isinstance(inner := about.get("additionalProperties"), Mapping):
        return f"map to {kind(inner)}"
    return str(about.get("type", "any"))


def default(about: Mapping[str, Any]) -> str:
    value = about.get("default")
    return "" if value in (None, "", []) or isinstance(value, dict) else f"`{value}`"


def table(*heads: str, rows: list[tuple[str, ...]]) -> list[str]:
    lines = [f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]
    return lines + [
        f"| {' | '.join(' '.join(cell.split()).replace('|', chr(92) + '|') for cell in row)} |" for row in rows
    ]
