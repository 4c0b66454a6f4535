"""Writes the report: one HTML page without network or scripts, the same in Markdown, and the JSON document.

Rendering is a pure function of the document: the same run gives the same bytes.
"""

from __future__ import annotations

import json
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined

from benchsuite import files
from benchsuite.cache import write_atomically
from benchsuite.errors import UserError
from benchsuite.report import figures, html, md, view
from benchsuite.report.blocks import Block, Section
from benchsuite.report.join import join
from benchsuite.report.sections import SECTIONS

Fields = dict[str, Any]

TITLE = "What each choice costs in speed, and what it brings in quality"
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
        return _markdown(document)
    if name == "html":
        return _html(document)
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


def _markdown(document: Fields) -> str:
    lead = [f"Run {document['run']}. {view.noise_sentence(document)}"]
    lead += [f"Warning: {warning}" for warning in document["warnings"]]
    return md.page(TITLE, lead, _sections(document))


def _html(document: Fields) -> str:
    found = _sections(document)
    absent = [s.absent for s in SECTIONS if s.absent and s.key not in {section.key for section, _ in found}]
    return template(
        "report.html.j2",
        title=TITLE,
        document=document,
        noise=html.prose(view.noise_sentence(document)),
        sections=[(section, html.blocks(blocks)) for section, blocks in found],
        absent=absent,
    )


def _sections(document: Fields) -> list[tuple[Section, list[Block]]]:
    """Return the sections that have something to show, with their blocks."""
    found = [(section, section.blocks(document)) for section in SECTIONS]
    return [(section, blocks) for section, blocks in found if blocks]


@cache
def _environment() -> Environment:
    templates = resources.files("benchsuite.reports") / "templates"
    return Environment(
        loader=FunctionLoader(lambda name: (templates / name).read_text(encoding="utf-8")),
        autoescape=lambda name: name is not None and ".html" in name,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
