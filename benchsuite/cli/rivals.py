"""What `selftest` and `peers` share: run a suite of ours beside others' through the engine, and show its tables."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from benchsuite.cli import run as engine
from benchsuite.errors import Interrupted

if TYPE_CHECKING:
    from benchsuite.planning.plan import Plan


@dataclass(frozen=True)
class Shown:
    """How the tables are printed: as one JSON document, as Markdown, or for a terminal."""

    json: bool = False
    markdown: bool = False


def run(resolved: Plan, output: Path | None, shown: Shown) -> int:
    """Measure the plan into a run directory, write the tables there as SUITE.md, and print them. Return the exit code:
    0, 5 where something failed, or 130 where the run was interrupted."""
    from rich.console import Console

    from benchsuite import locks
    from benchsuite.records.store import Store, check_new

    console = Console(stderr=True, soft_wrap=True, highlight=False)
    folder = output or Path("runs") / f"{resolved.suite.name}-{datetime.now():%Y%m%d-%H%M%S}"
    check_new(folder)
    stop, interrupted = engine.Stop(), False
    try:
        with (
            locks.machine_lock(str(folder), wait=True, say=console.print, stop=stop, device=resolved.device),
            contextlib.closing(Store.create(folder, engine._manifest(resolved))) as store,
        ):
            engine._execute(resolved, store, console, 1, None, stop, None, None)
    except (Interrupted, KeyboardInterrupt):
        interrupted = True
        if not (folder / "manifest.json").exists():
            return engine.EXIT_INTERRUPTED
    finally:
        stop.restore()
    code = _show(folder, shown)
    if interrupted:
        console.print(f"interrupted; continue with: benchsuite run --resume {folder}", markup=False)
    console.print(f"run: {folder}", markup=False)
    return engine.EXIT_INTERRUPTED if interrupted else code


def _show(folder: Path, shown: Shown) -> int:
    """Write and print the tables of a run; return the exit code of its records."""
    from benchsuite import report, terminal
    from benchsuite.records.case import FAILED
    from benchsuite.records.load import load
    from benchsuite.report import rivals

    found = load(folder)
    failed = any(r.status in FAILED for records in found.records.values() for r in records.values())
    code = engine.EXIT_FAILED if failed else 0
    page = rivals.markdown(found)
    report.save(page, folder / f"{found.manifest.suite}.md")
    report.write(folder)
    if shown.json:
        print(json.dumps({**rivals.document(found), "exit_code": code}, indent=1, allow_nan=False))
    elif shown.markdown:
        print(page, end="")
    else:
        rivals.show(found, terminal.console())
    return code
