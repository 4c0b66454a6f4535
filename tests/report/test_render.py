import json
import re
from html.parser import HTMLParser

import pytest
from rich.console import Console
from support.make_run import make_run

from benchsuite.errors import UserError
from benchsuite.report.join import join
from benchsuite.report.render import render, write
from benchsuite.report.terminal import terminal

HOSTILE = "<script>alert('x')</script>\"&|`$\\alpha$ {{ 7 * 7 }} ]]> --> \n# \x1b[31m é 中 \udce9\ud800 \u202e @octocat https://evil.example"
VOID = {"meta", "link", "br", "img", "input", "hr"}


class Strict(HTMLParser):
    """Fails on tags that do not nest; collects tags, attributes and text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open, self.tags, self.ids, self.text = [], [], [], []
        self.attributes: list[tuple[str, str | None]] = []
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        self.ids += [value for name, value in attrs if name == "id"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        self.ids += [value for name, value in attrs if name == "id"]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


@pytest.fixture(scope="module")
def document(quick):
    return join([quick])


@pytest.fixture(scope="module")
def page(document):
    return render(document, "html")


def hostile(small, edit):
    def rename(manifest):
        for case in manifest["cases"]:
            case["label"] = HOSTILE
            case["unsupported"] = case["unsupported"] and HOSTILE
        for c in manifest["comparisons"]:
            for key in ("component", "variant", "baseline", "name", "description", "source", "implementation", "scope"):
                if key in c:
                    c[key] = HOSTILE + c[key]
        manifest |= {"suite": HOSTILE, "command": [HOSTILE], "hardware": {HOSTILE: HOSTILE}, "notes": [HOSTILE]}

    def rename_tasks(rows):
        for row in rows:
            row["reason"] = row["reason"] and HOSTILE
            if row["result"] and "tasks" in row["result"]:
                tasks = row["result"]["tasks"]
                row["result"]["tasks"] = {HOSTILE + n: {**t, "family": HOSTILE} for n, t in tasks.items()}
                row["result"]["digests"] = {HOSTILE: HOSTILE}

    return join([edit(small, manifest=rename, records=rename_tasks)])


def test_write_gives_three_files_and_the_json_is_the_document(small):
    paths = write(small)
    assert {name: path.name for name, path in paths.items()} == {
        "html": "report.html",
        "md": "report.md",
        "json": "report.json",
    }
    assert json.loads(paths["json"].read_text()) == join([small])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["html", "md", "json"])
def test_rendering_is_deterministic(quick, name):
    assert render(join([quick]), name) == render(join([quick]), name)


def test_the_page_is_one_small_file_without_network(page):
    parsed = Strict(page)
    assert len(page.encode()) < 2_000_000
    assert parsed.tags.count("script") == 1
    assert not {"link", "iframe", "img", "object", "embed"} & set(parsed.tags)
    assert not [name for name, _ in parsed.attributes if name.startswith("on")]
    targets = [value for name, value in parsed.attributes if name in ("href", "src", "xlink:href", "action")]
    assert targets
    assert all(value.startswith("#") for value in targets)
    assert not re.search(r"@import|url\((?!#)|https?:", page)


def test_ids_are_unique_and_every_reference_has_its_target(page):
    parsed = Strict(page)
    assert len(parsed.ids) == len(set(parsed.ids))
    used = set(re.findall(r"url\(#([^)]*)\)|href=\"#([^\"]*)\"", page))
    assert {a or b for a, b in used} <= set(parsed.ids)


def test_the_page_says_what_the_document_says(page, document):
    text = " ".join(Strict(page).text).replace("−", "-")
    for finding in document["findings"]:
        assert finding["sentence"].replace("−", "-") in text
    for word in ("not measured", "unresolved", "A against A", "needs a C++ compiler", "benchsuite run quick"):
        assert word in text
    assert "Recall".lower() in text


@pytest.mark.parametrize("name", ["html", "md", "json"])
def test_hostile_names_stay_text(small, edit, name):
    text = render(hostile(small, edit), name)
    text.encode("utf-8")
    assert "\u202e" not in text
    if name == "json":
        json.loads(text)
        return
    if name == "html":
        parsed = Strict(text)
        assert parsed.tags.count("script") == 1
        assert "49" not in [t.strip() for t in parsed.text]
        assert "alert('x')" in " ".join(parsed.text)
        return
    outside_code = re.sub(r"```text.*?```|(?<!\\)`[^`\n]*`", "", text, flags=re.DOTALL)
    assert "<script" not in outside_code
    assert not re.search(r"@octocat|https://evil", outside_code)
    assert "alert" in outside_code
    assert "\x1b" not in text
    assert "\n# " not in text.removeprefix("# ")


def test_markdown_tables_keep_their_columns_whatever_the_names(small, edit):
    text = render(hostile(small, edit), "md")
    columns = None
    for line in text.splitlines():
        if not line.startswith("|"):
            columns = None
            continue
        cells = len(re.findall(r"(?<!\\)\|", line))
        assert columns in (None, cells), line
        columns = cells


def test_the_terminal_shows_hostile_names_as_text(small, edit):
    hostile(small, edit)
    console = Console(width=120, record=True, force_terminal=False, file=open("/dev/null", "w"))  # noqa: SIM115
    terminal(small, console)
    text = console.export_text()
    assert "alert" in text
    assert "\x1b[31m" not in text


@pytest.mark.slow
@pytest.mark.parametrize("name", ["html", "md", "json"])
def test_every_kind_of_poor_run_renders(tmp_path, edit, name):
    runs = [
        make_run(tmp_path / "one-seed", seeds=1, documents=10, replicates=1),
        make_run(tmp_path / "one-task", documents=10, tasks=["cloze"], replicates=3),
    ]
    failed = make_run(tmp_path / "failed", documents=10, tasks=["cloze"], replicates=2)
    edit(failed, records=lambda rows: [{**r, "status": "timeout", "reason": None, "result": None} for r in rows])
    begun = make_run(tmp_path / "begun", documents=10, tasks=["cloze"], replicates=2)
    (begun / "records.jsonl").unlink()
    empty = make_run(tmp_path / "empty", documents=10, tasks=["cloze"], replicates=2)
    edit(empty, manifest=lambda m: {**m, "cases": [], "comparisons": [], "hardware": {}, "command": []})
    (empty / "records.jsonl").write_text("")
    for folders in ([runs[0]], [runs[1]], [failed], [begun], [empty], [*runs, failed, begun, empty]):
        text = render(join(folders), name)
        if name == "html":
            Strict(text)
        assert "nan" not in re.sub(r"[a-z]nan|nan[a-z]", "", text.lower().replace("nano", ""))


def test_one_seed_promises_nothing(tmp_path):
    text = render(join([make_run(tmp_path / "one", seeds=1, documents=10, replicates=1)]), "md")
    assert "With one seed this run resolves no difference" in text
    assert "four times in five," not in text


@pytest.mark.slow
def test_an_absurd_speed_does_not_break_the_figure(small, edit):
    def absurd(rows):
        for row in rows:
            if row["result"] and "tokens_per_s" in row["result"]:
                row["result"]["tokens_per_s"] *= 10.0 ** (40 * (row["replicate"] - 1))

    Strict(render(join([edit(small, records=absurd)]), "html"))


def test_an_unknown_format_and_a_read_only_place_are_user_errors(document, tmp_path):
    with pytest.raises(UserError, match="unknown format"):
        render(document, "pdf")
    from benchsuite.report.render import save

    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        save("text", tmp_path / "file" / "report.md")


def test_the_terminal_prints_findings_table_and_controls(quick):
    console = Console(width=140, record=True, force_terminal=False, file=open("/dev/null", "w"))  # noqa: SIM115
    terminal(quick, console)
    text = console.export_text()
    assert "Rotary positions reduce training speed" in text
    assert "✓ A against A: unresolved" in text
    assert "not measured" in text
    assert "10 oom" in text


def test_the_figure_alone_is_an_svg_with_colours_of_its_own(document):
    svg = render(document, "svg")
    Strict(svg)
    assert svg.startswith("<svg ")
    assert 'xmlns="http://www.w3.org/2000/svg"' in svg
    used, defined = set(re.findall(r"var\((--\w+)\)", svg)), set(re.findall(r"(--\w+):", svg))
    assert used <= defined


def test_a_run_without_both_sides_has_no_figure(small):
    nothing = {**join([small]), "rows": []}
    with pytest.raises(UserError, match="no variant has both"):
        render(nothing, "svg")
