"""The types of the values in a suite file: counts with suffixes, names, multiples, and the limits of each."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from benchsuite.limits import (
    LEAST_RATE,
    MOST_AMOUNT,
    MOST_DOCUMENTS,
    MOST_ENTRIES,
    MOST_RATE,
    MOST_REPLICATES,
    MOST_S,
    MOST_SEED,
    MOST_SIZE,
    MOST_TEXT,
)

MULTIPLE = r"^(0*[1-9]\d*(\.\d+)?|\d*\.\d*[1-9]\d*)x$"  # above zero
SUFFIXES = {"k": 10**3, "M": 10**6, "G": 10**9}


def as_count(value: Any) -> Any:
    """`200k`, `1.5M`, `2G` as numbers; anything else as it is.

    >>> as_count("200k"), as_count("1.5M"), as_count(7)
    (200000, 1500000, 7)
    """
    if isinstance(value, str) and value[-1:] in SUFFIXES:
        try:
            number = float(value[:-1]) * SUFFIXES[value[-1]]
        except ValueError:
            return value
        return int(number) if number.is_integer() else number
    return value


def as_names(value: Any) -> Any:
    """One name or a list of names, as a tuple."""
    return (value,) if isinstance(value, str) else tuple(value) if isinstance(value, list) else value


def as_multiple(value: Any) -> Any:
    """A multiple of the recipe's, such as `0.1x`, as it is. Raises ValueError for anything else."""
    if not (isinstance(value, str) and re.fullmatch(MULTIPLE, value)):
        raise ValueError("should match NUMBERx above zero, such as 0.1x")
    return value


def as_expected(value: Any) -> Any:
    """Return the expected outcome of a control, as it is. Raises ValueError if it is none."""
    if not (isinstance(value, str) and (value in ("unresolved", "worse") or re.fullmatch(MULTIPLE, value))):
        raise ValueError("should be 'unresolved', 'worse', or a multiple of the tokens such as 0.5x")
    return value


Name = Annotated[str, Field(min_length=1, max_length=MOST_TEXT)]
Label = Annotated[str, Field(pattern=r"^[\w.+-]+$", max_length=50)]
Multiple = Annotated[str, BeforeValidator(as_multiple), Field(pattern=MULTIPLE, max_length=20)]
Size = Annotated[int, BeforeValidator(as_count), Field(ge=1, le=MOST_SIZE)]
Replicates = Annotated[int, BeforeValidator(as_count), Field(ge=1, le=MOST_REPLICATES)]
Documents = Annotated[int, BeforeValidator(as_count), Field(ge=1, le=MOST_DOCUMENTS)]
Amount = Annotated[int, BeforeValidator(as_count), Field(ge=1, le=MOST_AMOUNT)]
AmountOrNone = Annotated[int, BeforeValidator(as_count), Field(ge=0, le=MOST_AMOUNT)]
Seed = Annotated[int, Field(ge=0, le=MOST_SEED)]
Names = Annotated[tuple[Name, ...], BeforeValidator(as_names), Field(min_length=1, max_length=MOST_ENTRIES)]
Factor = Annotated[float, Field(ge=0, le=MOST_RATE)]
Seconds = Annotated[float, Field(gt=0, le=MOST_S)]
Rate = Annotated[float, Field(ge=LEAST_RATE, le=MOST_RATE)]
Precision = Literal["float32", "bfloat16", "float16"]
Fraction = Annotated[float, Field(ge=0, le=1)]
