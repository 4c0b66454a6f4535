"""Writes the report: one HTML page without network or scripts, the same in Markdown, and the JSON document.

Rendering is a pure function of the document: the same run gives the same bytes.
"""

from __future__ import annotations

import base64
import hashlib
import json
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from benchsuite import files
from benchsuite.cache import write_atomically
from benchsuite.errors import UserError
from benchsuite.report import choice, html, md, view
from benchsuite.report.blocks import Block, Section, Warn, several
from benchsuite.report.join import join
from benchsuite.report.sections import SECTIONS, pareto

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
        return _markdown(document)
    if name == "html":
        return _html(document)
    if name == "svg":
        figure = pareto.figure(document)
        if figure is None:
            raise UserError("there is no figure: no variant has both a speed and a quality", hint="see --format md")
        return standalone(figure)
    raise UserError(f"unknown format {name!r}", hint=f"choose from: {', '.join(FORMATS)}, svg")


def template(name: str, **values: Any) -> str:
    """A template of `reports/templates`, filled."""
    return _environment().get_template(name).render(**values)


def standalone(svg: str) -> str:
    """Return an inline figure as a file of its own: with the page's style, light and dark, and its background."""
    style = template("style.css.j2").replace("figure svg text", "text").replace("figure ", "")
    head, body = svg.replace(' aria-hidden="true"', "", 1).split(">", 1)
    return (
        f'{head} xmlns="http://www.w3.org/2000/svg" role="img">\n<style>{style}</style>\n'
        f'<rect width="100%" height="100%" style="fill: var(--page)"/>{body}\n'
    )


def _markdown(document: Fields) -> str:
    lead, sure = _lead(document)
    notices = md.blocks(_warned(document, ""))
    found = [(section, _warned(document, section.key) + blocks) for section, blocks in _sections(document)]
    absent = [s.absent for s in SECTIONS if s.absent and s.key not in {section.key for section, _ in found}]
    end = [f"Not measured in this run: {'; '.join(absent)}."] if absent else []
    return md.page(
        choice.headline(document), [f"{document['run']}: {_where(document)}.", *lead, sure], notices, found, end
    )


def _html(document: Fields) -> str:
    found = [(section, html.blocks(_warned(document, section.key) + blocks)) for section, blocks in _sections(document)]
    present = {section.key for section, _ in found}
    script = Markup(_template_text("script.js").strip())  # ours: nothing of a run is in it
    digest = base64.b64encode(hashlib.sha256(f"\n{script}\n".encode()).digest()).decode()
    lead, sure = _lead(document)
    return template(
        "report.html.j2",
        document=document,
        answer=choice.headline(document),
        where=html.prose(_where(document)),
        lead=[html.prose(text) for text in lead],
        sure=html.prose(sure),
        notices=html.blocks(_warned(document, "")),
        shown=[(section, content) for section, content in found if not section.fold],
        folded=[(section, content) for section, content in found if section.fold],
        absent=[s.absent for s in SECTIONS if s.absent and s.key not in present],
        script=script,
        script_hash=f"sha256-{digest}",
    )


def _lead(document: Fields) -> tuple[list[str], str]:
    """Return the sentences below the answer, and how sure it is."""
    found = choice.choices(document)
    picked = [one.told for one in found if one.pick and not several(document)]
    kept = [one for one in found if not one.pick and not one.clear and one.judged and not several(document)]
    told = picked + [f"{one.told} {one.sure}" for one in kept]
    outcomes = [control["passed"] for control in document["controls"] if control["passed"] is not None]
    sure = f"{sum(outcomes)} of {len(outcomes)} controls passed. " if outcomes else ""
    return told, sure + view.noise_sentence(document)


def _where(document: Fields) -> str:
    """Return the machine and the budget that the answer holds for."""
    if several(document):
        return f"{len(document['runs'])} runs"
    run = document["runs"][0]
    dtypes = ", ".join(dict.fromkeys(row["dtype"] for row in document["rows"] if row.get("dtype")))
    parts = [choice.machine(run["hardware"]), dtypes, choice.budget(document, run["name"]), (run["created"] or "")[:10]]
    return " · ".join(part for part in parts if part)


def _warned(document: Fields, about: str) -> list[Block]:
    return [Warn(notice["text"], notice["do"]) for notice in document["notices"] if notice["about"] == about]


def _sections(document: Fields) -> list[tuple[Section, list[Block]]]:
    """Return the sections that have something to show, with their blocks."""
    found = [(section, section.blocks(document)) for section in SECTIONS]
    return [(section, blocks) for section, blocks in found if blocks]


@cache
def _environment() -> Environment:
    return Environment(
        loader=FunctionLoader(_template_text),
        autoescape=lambda name: name is not None and ".html" in name,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _template_text(name: str) -> str:
    return (resources.files("benchsuite.reports") / "templates" / name).read_text(encoding="utf-8")
