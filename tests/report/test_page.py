"""The page by its structure: what is there, in which order, for whom it can be read, and that it is one safe file."""

import base64
import hashlib
import json
import re
from importlib import resources

import pytest
from support.make_run import make_run

from benchsuite.report.join import join
from benchsuite.report.render import render
from benchsuite.report.sections import SECTIONS


@pytest.fixture(scope="module")
def document(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page") / "run"
    return join([make_run(folder, seeds=2, documents=20, tasks=["cloze", "reading"], curve=True)])


@pytest.fixture(scope="module")
def page(document):
    return render(document, "html")


def test_the_answer_is_first_then_the_ranking_then_the_evidence(page):
    keys = ["<h1>On this machine", 'id="answer"', 'id="pareto"', 'id="components"', 'id="equal"', 'id="curves"']
    keys += ['id="tasks"', 'id="controls"', 'id="more"', 'id="speeds"', 'id="hardware"']
    places = [page.index(key) for key in keys]
    assert places == sorted(places)


def test_every_section_that_has_something_is_there_once_and_no_other(page, document):
    for section in SECTIONS:
        assert page.count(f'id="{section.key}"') == bool(section.blocks(document))
    assert re.search(r"Not measured in this run: [^<]*text beyond the training length; ", page)


def test_the_script_is_the_one_that_the_policy_allows(page):
    (script,) = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in page
    assert not re.search(r"fetch\(|XMLHttpRequest|import\(|eval\(|innerHTML", script)
    assert len(script) < 8_000


def test_every_figure_has_a_text_and_numbers_behind_it_or_beside_it(page):
    figures = re.findall(r"<figure>(.*?)</figure>", page, re.DOTALL)
    assert len(figures) >= 5
    for figure in figures:
        assert re.search(r'role="img" aria-label="[^"]{20,}"', figure)
        assert "<figcaption>" in figure
    assert sum("<summary>The numbers</summary>" in figure for figure in figures) >= 3


def test_tables_have_headings_and_names(page):
    for table in re.findall(r"<table.*?</table>", page, re.DOTALL):
        assert '<th scope="col"' in table
        assert '<th scope="row"' in table
    assert page.count('role="region" aria-label="') == page.count("<table ")


def test_a_warning_stands_at_the_row_that_it_concerns_and_says_what_to_do(document):
    row = next(row for row in document["rows"] if row["variant"] == "alibi" and row["scope"] == "step")
    marked = {**row, "speed": {**row["speed"], "flags": {"disturbed": 2}}}
    text = render({**document, "rows": [marked]}, "html")
    assert "2 disturbed: run again while nothing else uses the machine" in text
    notice = {"run": None, "text": "It is odd.", "about": "controls", "do": "Do this."}
    text = render({**document, "notices": [notice]}, "html")
    assert text.index('id="controls"') < text.index("It is odd.") < text.index('id="more"')


def test_a_failed_control_warns_at_the_answer(document):
    notice = {"run": None, "text": "The control failed.", "about": "", "do": ""}
    text = render({**document, "notices": [notice]}, "html")
    assert text.index("The control failed.") < text.index('id="answer"')


def test_the_page_survives_its_document_as_json(document, page):
    assert render(json.loads(json.dumps(document)), "html") == page
    assert len(page.encode()) < 2_000_000


def luminance(colour):
    parts = [int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_contrast_of_text_is_that_of_wcag_aa(theme):
    style = (resources.files("benchsuite.reports") / "templates" / "style.css.j2").read_text()
    found = re.search(rf"macro {theme}\(\) %}}(.*?){{% endmacro", style, re.DOTALL)
    colours = dict(re.findall(r"--([\w-]+): (#\w{6})", found[1]))
    text = ["ink", "muted", "good", "bad", "neutral", *(f"s{n}" for n in range(1, 7))]
    pairs = [(name, ground) for name in text for ground in ("page", "card")] + [("warn", "warn-page")]
    for name, ground in pairs:
        light, dark = sorted((luminance(colours[name]), luminance(colours[ground])), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5, f"{name} on {ground}"
