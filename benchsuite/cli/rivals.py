"""Run the suites behind `selftest` and `peers` through the engine, and show their tables."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from benchsuite.cli import exit_codes
from benchsuite.errors import Interrupted

if TYPE_CHECKING:
    from benchsuite.planning.plan import Plan


@dataclass(frozen=True)
class Shown:
    """The format of the printed tables: one JSON document, Markdown, or (neither) for a terminal."""

    json: bool = False
    markdown: bool = False


def run(resolved: Plan, output: Path | None, shown: Shown) -> int:
    """Measure the plan into a run directory, write the tables there as SUITE.md, and print them. Return the exit code:
    0, 5 where something failed, or 130 where the run was interrupted."""
    from rich.console import Console

    from benchsuite.engine import progress, session

    console = Console(stderr=True, soft_wrap=True, highlight=False)
    folder = output or Path("runs") / f"{resolved.suite.name}-{datetime.now():%Y%m%d-%H%M%S}"
    display = progress.observer(console)
    interrupted = False
    try:
        session.measure(resolved, folder, jobs=1, say=lambda text: console.print(text, markup=False), observer=display)
    except Interrupted:
        interrupted = True
        if not (folder / "manifest.json").exists():
            return exit_codes.INTERRUPTED
    finally:
        display.close()
    code = _show(folder, shown)
    if interrupted:
        console.print(f"interrupted; continue with: benchsuite run --resume {folder}", markup=False)
    console.print(f"run: {folder}", markup=False)
    return exit_codes.INTERRUPTED if interrupted else code


def _show(folder: Path, shown: Shown) -> int:
    """Write and print the tables of a run; return the exit code of its records."""
    from benchsuite import terminal
    from benchsuite.records.case import FAILED
    from benchsuite.records.load import load
    from benchsuite.report import rivals, rivals_page
    from benchsuite.report.render import save, write

    found = load(folder)
    failed = any(record.status in FAILED for record in found)
    code = exit_codes.FAILED if failed else exit_codes.FINE
    page = rivals_page.markdown(found)
    save(page, folder / f"{found.manifest.suite}.md")
    write(folder)
    if shown.json:
        print(json.dumps({**rivals.document(found), "exit_code": code}, indent=1, allow_nan=False))
    elif shown.markdown:
        print(page, end="")
    else:
        rivals_page.show(found, terminal.console())
    return code
