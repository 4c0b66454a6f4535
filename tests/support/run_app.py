"""The command line with measurements that take no time and four more variants, which go wrong."""

from __future__ import annotations

import sys
import types
from dataclasses import replace
from pathlib import Path
from typing import Any

import typer

from benchsuite import components
from benchsuite.cli import plan, run
from benchsuite.errors import UserError
from benchsuite.records import case

for bad in ("raise", "memory", "hang", "segfault"):
    components.variant("activation", bad, summary="a variant that goes wrong", source="test")(lambda: None)
for name, function in (("speed", "measure"), ("quality", "train_and_evaluate")):
    prepare = "support.run_fakes:prepare" if name == "quality" else None
    case.KINDS[name] = replace(case.KINDS[name], measure=f"support.run_fakes:{function}", prepare=prepare, preload=None)


def write(folder: Path) -> dict[str, Path]:
    paths = {kind: folder / f"report.{kind}" for kind in ("html", "md", "json")}
    for path in paths.values():
        path.write_text("a report")
    return paths


def terminal(folder: Path, console: Any) -> None:
    console.print("a short table")


for module, function in (("render", write), ("terminal", terminal)):  # the real ones need real results, and seconds
    stand_in: Any = types.ModuleType(f"benchsuite.report.{module}")
    setattr(stand_in, function.__name__, function)
    sys.modules[stand_in.__name__] = stand_in

app = typer.Typer(pretty_exceptions_enable=False)
app.command("run")(run.command)
app.command("plan")(plan.command)

if __name__ == "__main__":
    try:
        app()
    except UserError as error:
        print(f"benchsuite: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
