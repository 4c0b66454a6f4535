"""Numbers that options take. Every one of them has a least and a most (`benchsuite.limits`)."""

from __future__ import annotations

import math

import typer


def finite(value: float | None) -> float | None:
    """Return `value`; refuse NaN, which a least and a most let pass. The callback of an option that takes a float."""
    if value is not None and math.isnan(value):
        raise typer.BadParameter("nan is not a number")
    return value
