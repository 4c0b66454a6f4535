"""`benchsuite open`: a report in the browser."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

# The pages that a run, a gate and a history leave in their folders.
PAGES = ("report.html", "history.html", "gate.md")


def command(
    folder: Annotated[
        Path | None, typer.Argument(help="A directory of a run, a gate or a history; default: the latest in runs/.")
    ] = None,
) -> None:
    """Open a report in the browser, and print its path.

    Without a graphical browser only the path is printed.
    """
    from benchsuite.errors import UserError

    chosen = folder or _latest(Path("runs"))
    page = next((chosen / name for name in PAGES if (chosen / name).is_file()), None)
    if page is None:
        if not chosen.is_dir():
            raise UserError(f"{chosen}: there is no such directory", hint="`benchsuite run quick` makes one")
        raise UserError(f"{chosen} has no report", hint=f"benchsuite report {chosen}")
    print(page)
    if _has_screen():
        import webbrowser

        webbrowser.open(page.resolve().as_uri())


def _latest(runs: Path) -> Path:
    """Return the directory in `runs` whose report is the newest. Raises UserError if there is none."""
    from benchsuite.errors import UserError

    pages = [
        path
        for folder in (runs.iterdir() if runs.is_dir() else ())
        for name in PAGES
        if (path := folder / name).is_file()
    ]
    if not pages:
        raise UserError(
            f"there is no report in {runs.resolve()}", hint="benchsuite open DIR; `benchsuite run quick` makes one"
        )
    return max(pages, key=lambda path: path.stat().st_mtime).parent


def _has_screen() -> bool:
    """Return whether a browser can show a window here; a text browser would take over the terminal."""
    import os

    return any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"))
