"""Format numbers. Tables, figures, pages and the terminal all take their strings from here.

Unknown is `None` and reads "not measured"; it is never shown as 0.

>>> si(21_543.0, "tokens/s")
'21.5k tokens/s'
>>> bytes_(3_200_000)
'3.05 MiB'
>>> seconds(0.00123)
'1.23 ms'
>>> ratio(0.883, 0.85, 0.91)
'0.88x [0.85, 0.91]'
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

UNKNOWN = "not measured"


def significant(value: float, digits: int = 3) -> str:
    """`value` with `digits` significant digits and no exponent: 0.0123, 1.23, 123, 12300."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    return f"{value:.{decimals}f}"


def si(value: float | None, unit: str) -> str:
    """A rate or a count with a decimal prefix: 21.5k tokens/s, 1.32G FLOP."""
    if value is None:
        return UNKNOWN
    for factor, prefix in ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= factor * 0.9995:
            return f"{significant(value / factor)}{prefix} {unit}".rstrip()
    return f"{significant(value)} {unit}".rstrip()


def bytes_(value: float | None) -> str:
    """Bytes with a binary prefix: 512 B, 3.05 MiB."""
    if value is None:
        return UNKNOWN
    for power, prefix in ((4, "TiB"), (3, "GiB"), (2, "MiB"), (1, "KiB")):
        if abs(value) >= 1024**power:
            return f"{significant(value / 1024**power)} {prefix}"
    return f"{value:.0f} B"


def seconds(value: float | None) -> str:
    """A duration in the unit that suits it: 830 ns, 1.23 ms, 45.0 s, 6 min 12 s, 1 h 05 min."""
    if value is None:
        return UNKNOWN
    if value >= 3600:
        return f"{int(value // 3600)} h {int(value % 3600 // 60):02d} min"
    if value >= 60:
        return f"{int(value // 60)} min {int(value % 60):02d} s"
    if value >= 1 or value == 0:
        return f"{value:.1f} s"
    for factor, unit in ((1e-3, "ms"), (1e-6, "µs")):
        if value >= factor:
            return f"{significant(value / factor)} {unit}"
    return f"{significant(value / 1e-9)} ns"


def ratio(value: float | None, low: float | None = None, high: float | None = None) -> str:
    """A ratio and its interval: 0.88x [0.85, 0.91]."""
    if value is None:
        return UNKNOWN
    interval = "" if low is None or high is None else f" [{low:.2f}, {high:.2f}]"
    return f"{value:.2f}x{interval}"


def bounded(found: Mapping[str, Any] | None) -> str:
    """A ratio with `low`, `high` and what of it is only a bound, as reports hold it.

    >>> bounded({"ratio": 0.62, "low": 0.55, "high": 0.7, "bound": "", "low_open": False, "high_open": False})
    '0.62x [0.55, 0.70]'
    >>> bounded({"ratio": 0.25, "low": 0.25, "high": 0.31, "bound": "<", "low_open": True, "high_open": False})
    '<0.25x [<0.25, 0.31]'
    """
    if found is None or found["ratio"] is None:
        return UNKNOWN
    low = f"{'<' if found['low_open'] else ''}{found['low']:.2f}"
    high = f"{'>' if found['high_open'] else ''}{found['high']:.2f}"
    return f"{found['bound']}{found['ratio']:.2f}x [{low}, {high}]"


def points(value: float | None, low: float | None = None, high: float | None = None) -> str:
    """A difference of accuracies in percentage points, always signed: +1.8 [+0.6, +3.0]."""
    if value is None:
        return UNKNOWN
    interval = "" if low is None or high is None else f" [{100 * low:+.1f}, {100 * high:+.1f}]"
    return f"{100 * value:+.1f}{interval}"


def percent(value: float | None, digits: int = 1) -> str:
    """A fraction as percent: 0.4312 is 43.1%."""
    return UNKNOWN if value is None else f"{100 * value:.{digits}f}%"


def share(value: float | None, low: float | None = None, high: float | None = None) -> str:
    """A change as percent with its interval, in words: 12% (9 to 15%), 4.6% (3.1 to 6.2%).

    >>> share(0.12, 0.09, 0.15), share(0.046, 0.031, 0.062)
    ('12% (9 to 15%)', '4.6% (3.1 to 6.2%)')
    """
    if value is None:
        return UNKNOWN
    digits = 0 if abs(value) >= 0.0995 else 1
    interval = "" if low is None or high is None else f" ({100 * low:.{digits}f} to {100 * high:.{digits}f}%)"
    return f"{100 * value:.{digits}f}%{interval}"


def margin(value: float) -> str:
    """A margin of equivalence: 2%, 0.5%."""
    return f"{100 * value:.3g}%"


def points_in_words(value: float | None, low: float | None = None, high: float | None = None) -> str:
    """The size of a difference of accuracies: 1.8 points (0.6 to 3.0)."""
    if value is None:
        return UNKNOWN
    interval = "" if low is None or high is None else f" ({100 * low:.1f} to {100 * high:.1f})"
    return f"{100 * value:.1f} points{interval}"


def points_size(value: float | None) -> str:
    """The size of a difference of accuracies in percentage points, unsigned: 1.8."""
    return UNKNOWN if value is None else f"{100 * value:.1f}"


def tick(value: float) -> str:
    """A number on an axis, as short as it can be: 0.95, 3k, 1.5M.

    >>> tick(0.95), tick(3000), tick(1_500_000), tick(0)
    ('0.95', '3k', '1.5M', '0')
    """
    for factor, prefix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= factor:
            return f"{value / factor:.4g}{prefix}"
    return f"{value:.4g}"


def scientific(value: float | None) -> str:
    """A very small or very large number, such as a relative error or a training's FLOPs: 1.2e-07, 1.0e+21."""
    return UNKNOWN if value is None else f"{value:.1e}"


def number(value: float | None) -> str:
    """A plain number with three significant digits."""
    return UNKNOWN if value is None else significant(value)


def span(low: float | None, high: float | None) -> str:
    """An interval of accuracies in points: -0.4 to +1.2."""
    return UNKNOWN if low is None or high is None else f"{100 * low:+.1f} to {100 * high:+.1f}"


def bits(value: float | None, low: float | None = None, high: float | None = None) -> str:
    """A difference in bits per byte, signed: -0.012 [-0.015, -0.009]."""
    if value is None:
        return UNKNOWN
    interval = "" if low is None or high is None else f" [{low:+.3f}, {high:+.3f}]"
    return f"{value:+.3f}{interval}"


def p_value(value: float | None) -> str:
    """A p-value: 0.032, <0.001."""
    if value is None:
        return UNKNOWN
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def exact(value: float) -> str:
    """A number to be read by programs: short, and exact to nine digits."""
    return f"{value:.9g}"
