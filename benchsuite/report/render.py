"""Writes the report: one HTML page without network or scripts, the same in Markdown, and the JSON document.

Rendering is a pure function of the document: the same run gives the same bytes.
"""

from __future__ import annotations

import json
import re
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from benchsuite import files, format
from benchsuite.cache import write_atomically
from benchsuite.errors import UserError
from benchsuite.report import evidence, figures, task_view, trained_view, view, words
from benchsuite.report.join import join
from benchsuite.text import markdown

Fields = dict[str, Any]

FORMATS = ("html", "md", "json")


def write(run_dir: str | Path) -> dict[str, Path]:
    """Writes report.html, report.md and report.json into the run directory; returns their paths by format.

    Raises UserError where the directory is no run or cannot be written.
    """
    document = join([run_dir])
    paths = {name: Path(run_dir) / f"report.{name}" for name in FORMATS}
    for name, path in paths.items():
        save(render(document, name), path)
    return paths


def save(text: str, path: Path) -> None:
    """Writes `text` in one step: a reader sees the old report or the new one. Raises UserError where it cannot, and
    where `path` is a link or a device: only the folders on the way to it may be links."""
    try:
        with write_atomically(files.named(path)) as temporary:
            temporary.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror}", hint="choose another file with -o") from error


def render(document: Fields, name: str) -> str:
    """The report in the format `name`: "html", "md" or "json"; "svg" is its speed-against-quality figure alone.

    Raises UserError for another format, and for a figure of a run that compares nothing on both sides.
    """
    if name == "json":
        return json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    if name == "md":
        text = _environment().get_template("report.md.j2").render(_tables(document), **_for_markdown(document))
        return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"
    if name == "html":
        return _environment().get_template("report.html.j2").render(_tables(document), **_figures(document))
    if name == "svg":
        return _standalone(figures.tradeoff(document))
    raise UserError(f"unknown format {name!r}", hint=f"choose from: {', '.join(FORMATS)}, svg")


def template(name: str, **values: Any) -> str:
    """A template of `reports/templates`, filled."""
    return _environment().get_template(name).render(**values)


def _standalone(svg: str | None) -> str:
    """An inline figure as a file of its own: with the page's colours, light and dark, and its background."""
    if svg is None:
        raise UserError("there is no figure: no variant has both a speed and a quality", hint="see --format md")
    style = template("style.css.j2")
    colours = style[: style.index("* { box-sizing")]
    head, body = svg.split(">", 1)
    return (
        f'{head} xmlns="http://www.w3.org/2000/svg" style="font-family: var(--sans)">\n<style>{colours}</style>\n'
        f'<rect width="100%" height="100%" fill="var(--page)"/>{body}\n'
    )


def _tables(document: Fields) -> Fields:
    return {
        "document": document,
        "groups": view.main_table(document),
        "speeds": view.speed_table(document),
        "implementations": view.implementations_table(document),
        "measurements": view.measurements_table(document),
        "task_tables": view.task_tables(document),
        "index_tables": task_view.tables(document),
        "controls": view.controls_table(document),
        "models": view.models_table(document),
        "evidence": evidence.tables(document),
        "beyond": trained_view.beyond_tables(document),
        "stability": trained_view.stability_tables(document),
        "failures": view.failures_table(document),
        "machines": [(run["name"], view.machine_lines(run)) for run in document["runs"]],
        "noise": view.noise_sentence(document),
        "digests": {run["name"]: view.data_digests(run) for run in document["runs"]},
        "several": len(document["runs"]) > 1,
        "marks": view.MARKS,
        "unknown": format.UNKNOWN,
        "glossary": words.GLOSSARY,
    }


def _figures(document: Fields) -> Fields:
    """Figures in both widths, and the small bars of the tables on one scale for each column."""
    rows = words.headline_rows(document["rows"])
    speed_reach = _reach([abs(figures.log(v)) for row in rows for v in _known(row["speed"], "ratio") if v > 0], 0.1)
    tokens_reach = _reach(
        [
            abs(figures.log(v))
            for row in rows
            if row["quality"]["tokens"]
            for v in _known(row["quality"]["tokens"], "ratio")
        ],
        0.1,
    )
    delta_reach = _reach([abs(v) for row in rows for v in _known(row["quality"], "delta")], 0.01)

    def speed_bar(values: Any) -> Markup:
        return Markup(figures.bar(values, speed_reach, 1.0, logarithmic=True))

    def tokens_bar(values: Any) -> Markup:
        return Markup(figures.bar(values, tokens_reach, 1.0, logarithmic=True))

    def delta_bar(values: Any) -> Markup:
        return Markup(figures.bar(values, delta_reach, 0.0, logarithmic=False))

    drawn = {
        f"{name}_{size}": Markup(svg) if (svg := draw(document, width)) else None
        for name, draw in (
            ("tradeoff", figures.tradeoff),
            ("curves", figures.curves),
            ("beyond", trained_view.beyond_figure),
            ("scales", evidence.figure),
        )
        for size, width in (("wide", figures.WIDE), ("narrow", figures.NARROW))
    }
    return drawn | {"speed_bar": speed_bar, "tokens_bar": tokens_bar, "delta_bar": delta_bar}


def _known(values: Fields, centre: str) -> list[float]:
    return [v for v in (values[centre], values["low"], values["high"]) if v is not None]


def _reach(sizes: list[float], least: float) -> float:
    """The half-width of a column of bars: it holds all of them, but a few absurd intervals do not flatten the rest."""
    if not sizes:
        return least
    ordinary = sorted(sizes)[int(0.75 * (len(sizes) - 1))]
    return max(least, 1.03 * min(max(sizes), 4 * ordinary))


def _for_markdown(document: Fields) -> Fields:
    """What Markdown has in place of figures: the quality intervals drawn in text."""
    rows = [row for row in words.headline_rows(document["rows"]) if row["quality"]["delta"] is not None]
    reach = _reach([abs(v) for row in rows for v in _known(row["quality"], "delta")], 0.01)
    names = [name.replace("`", "'") for name in words.names_apart(rows)]
    width = max((len(name) for name in names), default=0)
    lines = [
        f"{' '.join(name.split()):{width}}  {_forest((q['delta'], q['low'], q['high']), reach)}  {q['verdict']}"
        for name, q in zip(names, (row["quality"] for row in rows), strict=True)
    ]
    return {"cell": markdown, "forest_lines": lines, "reach_text": format.points_size(reach)}


def _forest(values: tuple[float | None, float | None, float | None], reach: float, width: int = 33) -> str:
    """An interval as text, zero in the middle: ·······|··├──●──┤·····"""
    if values[0] is None:
        return ""
    middle = width // 2

    def place(value: float) -> int:
        return middle + round(max(-1.0, min(1.0, value / reach)) * middle)

    line = ["·"] * width
    line[middle] = "│"
    if values[1] is not None and values[2] is not None:
        low, high = place(values[1]), place(values[2])
        for position in range(low, high + 1):
            line[position] = "─" if position != middle else "┼"
        line[low], line[high] = "├", "┤"
    line[place(values[0])] = "●"
    return "".join(line)


@cache
def _environment() -> Environment:
    templates = resources.files("benchsuite.reports") / "templates"
    environment = Environment(
        loader=FunctionLoader(lambda name: (templates / name).read_text(encoding="utf-8")),
        autoescape=lambda name: name is not None and ".html" in name,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["minus"] = _typographic_minus
    return environment


def _typographic_minus(text: str) -> str:
    """A real minus before digits: "-1.2" reads as a hyphen in running text."""
    return re.sub(r"(?<![\w.])-(?=\d)", "−", text)
