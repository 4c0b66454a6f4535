"""Measure what an architectural choice of a language model costs in speed, and what it buys in zero-shot quality.

import benchsuite

run = benchsuite.load("runs/quick")             # a Run: manifest, cases, records
found = benchsuite.compare([run, other])        # a Comparison: rows by case, with intervals and verdicts
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchsuite.records.load import Run
    from benchsuite.report.compare import Comparison

__version__ = "0.1.0"
__all__ = ["__version__", "compare", "load"]


def load(folder: str | Path) -> Run:
    """Return the run in `folder`. Raises UserError where it is no run directory, damaged, or of a newer version."""
    from benchsuite.records.load import load

    return load(Path(folder))


def compare(runs: Sequence[Run], by: str = "run", margin: float = 0.02) -> Comparison:
    """Compare finished runs case by case (`by` run, commit or machine), or the implementations of one run.

    Differences in speed up to `margin`, a fraction, are called the same. Raises UserError with exit code 4 where the
    runs cannot be compared.
    """
    from benchsuite.report.compare import compare

    return compare(runs, by, margin)
