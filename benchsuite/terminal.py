"""Print text and tables for people on stdout, and lose nothing, whatever the width.

On a terminal tables fold their text to its width; where a table's words and numbers need more, its lines run over, as
no name is cut. What goes into a pipe or a file is as wide as it is, unless COLUMNS says how wide.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

PIPED_WIDTH = 10_000


def console(*, soft_wrap: bool = False) -> Console:
    """The console of stdout. With `soft_wrap` lines that may be copied, such as commands and paths, are not broken."""
    from rich.console import Console

    piped = not sys.stdout.isatty() and not os.environ.get("COLUMNS", "").isdecimal()
    return Console(highlight=False, width=PIPED_WIDTH if piped else None, soft_wrap=soft_wrap)


def show(table: Table, to: Console | None = None) -> None:
    """Print a table in the console's width, or in the least width in which no word of it is cut."""
    from rich.measure import Measurement

    to = to or console()
    unbounded = to.options.update(width=PIPED_WIDTH)
    for column in table.columns:
        column.overflow = "fold"
        cells = [column.header, *column.cells]
        column.min_width = max(Measurement.get(to, unbounded, cell).minimum for cell in cells)
    least = Measurement.get(to, unbounded, table).minimum
    to.print(table, width=max(to.width, least), crop=False)
