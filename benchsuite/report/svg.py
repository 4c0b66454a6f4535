"""How figures become part of the page: one style, colours as CSS variables, fixed ids, small paths."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import matplotlib
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

# drawn colour -> CSS variable; the drawn ones only have to differ from one another
PAGE_COLOURS = {
    "#010203": "var(--ink)",
    "#020304": "var(--muted)",
    "#030405": "var(--line)",
    "#040506": "var(--card)",
    "#050607": "var(--good)",
    "#060708": "var(--bad)",
    "#070809": "var(--neutral)",
}
INK, MUTED, LINE, CARD, GOOD, BAD, NEUTRAL = PAGE_COLOURS
SERIES = {f"#1{n}2030": f"var(--s{n})" for n in range(1, 7)}


@contextmanager
def style(salt: str) -> Iterator[None]:
    """Ids follow from `salt`: figures of one page must not share them, or a hidden one may own what another uses."""
    with (
        warnings.catch_warnings(),
        matplotlib.rc_context(
            {
                "svg.fonttype": "none",
                "svg.hashsalt": salt,
                "font.family": "DejaVu Sans",
                "font.size": 9.5,
                "text.parse_math": False,
                "figure.dpi": 72,
                "axes.edgecolor": LINE,
                "axes.labelcolor": MUTED,
                "axes.facecolor": "none",
                "axes.spines.top": False,
                "axes.spines.right": False,
                "axes.grid": True,
                "axes.axisbelow": True,
                "grid.color": LINE,
                "grid.linewidth": 0.6,
                "xtick.color": LINE,
                "ytick.color": LINE,
                "xtick.labelcolor": MUTED,
                "ytick.labelcolor": MUTED,
                "figure.facecolor": "none",
                "axes.unicode_minus": True,
            }
        ),
    ):
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # the page's fonts draw the text, not these
        yield


def svg(figure: Figure, title: str) -> str:
    """The figure as an <svg> element that fills its container. `title` is ours and needs no escaping."""
    buffer = io.StringIO()
    metadata = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    FigureCanvasSVG(figure).print_svg(buffer, metadata=metadata)
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", text, flags=re.DOTALL)
    text = re.sub(r"<g id=\"[^\"]*\"", "<g", text)
    text = re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)
    text = re.sub(r"'DejaVu Sans'[^;\"]*", "var(--sans)", text)
    text = re.sub(r"<svg [^>]*viewBox=\"([^\"]*)\"[^>]*>", rf'<svg viewBox="\1" role="img" aria-label="{title}">', text)
    text = text.replace("xlink:href", "href")
    text = re.sub(r" d=\"[^\"]*\"", _shorter_path, text)
    for drawn, variable in (PAGE_COLOURS | SERIES).items():
        text = text.replace(drawn, variable)
    return re.sub(r"\n\s*", "\n", text)


def _shorter_path(match: re.Match[str]) -> str:
    """Path coordinates to a tenth of a pixel, on one line."""
    rounded = re.sub(r"-?\d+\.\d+", lambda number: f"{float(number.group()):.1f}".removesuffix(".0"), match.group())
    return re.sub(r"\s+", " ", rounded).replace(' d=" ', ' d="').replace(' "', '"')
