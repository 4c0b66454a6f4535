"""Every block of code in README.md, CONTRIBUTING.md and docs/ is run: commands, Python, suites, workflows.

Commands run in this process and one folder, page by page. Measuring is replaced by a script that records a result for
each case, so that a run of minutes takes a second; planning, recording and reporting are real. Commands that train,
evaluate or compile are checked for their names, options and values only: `ONLY_PARSED`.
"""

from __future__ import annotations

import itertools
import random
import re
import shlex
import subprocess
import tomllib
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import yaml
from support.command import call
from support.make_run import make_run
from typer.main import get_command

from benchsuite.cli import build_app
from benchsuite.engine.scheduler import Scheduler
from benchsuite.records.case import Record

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^( *)```(\w*)[^\n]*\n(.*?)^ *```$", re.DOTALL | re.MULTILINE)
ONLY_PARSED = {
    "gate": "tests/cli/test_gate.py", "calibrate": "tests/cli/test_gate.py", "doctor": "tests/cli/test_commands.py",
    "pretrain": "tests/cli/test_commands.py", "evaluate": "tests/cli/test_commands.py",
    "selftest": "tests/cli/test_selftest.py", "pack": "tests/kit/test_kit.py",
    "kernels": "tests/cuda_ext/test_command.py",
}  # fmt: skip
NOT_HERE = (
    "--device cuda",
    "--launcher",
    "--transformers",
    "mish",
    "--corpus installed",
    "results.zip",
)  # on any machine
PARTS = ("@", "# benchsuite/", "# my_package/")  # of modules; tests/components/test_registry.py runs the variant
LANGUAGES = ("sh", "python", "yaml", "toml", "text", "cuda")


def blocks(path: Path) -> list[tuple[str, str]]:
    """Return the language and the text of each block of a page."""
    found = BLOCK.findall(path.read_text(encoding="utf-8"))
    return [(language, re.sub(rf"^{indent}", "", text, flags=re.MULTILINE)) for indent, language, text in found]


def record_everything(self: Scheduler) -> None:
    """In place of `Scheduler.run`: record a result for every case."""
    for number, case in enumerate(self.cases.values()):
        for replicate in self._missing(case):
            time_s = 0.001 * (1 + number / 100 + replicate / 1000)
            trained = {"bits_per_byte": {"value": 1 + number / 100 + replicate / 1000}}
            result: dict[str, Any] = {"time_s": time_s, "samples_s": [time_s] * 5} if case.timed else trained
            if case.kind == "search":
                lr = case.params["train"]["lr"]
                result = {"search": {"lr": lr, "tokens": 1, "bits_per_byte": 1 + 100 * abs(lr - 3e-3)}}
            if case.kind == "stability":
                result = {"stability": {"steps": 1}}
            status = "unsupported" if case.unsupported else "ok"
            self.store.append(
                Record(
                    case.id,
                    replicate,
                    status,
                    case.unsupported,
                    "",
                    1.0,
                    None if case.unsupported else result,
                    replicate,
                )
            )


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder in which the pages are run, with what they speak of."""
    folder = tmp_path_factory.mktemp("docs")
    for name in ("a", "b"):
        make_run(folder / "runs" / name, documents=10, tasks=["cloze"])
    words = ["".join(syllables) for syllables in itertools.product(("ba", "do", "ki", "lu", "me", "so"), repeat=4)]
    draw = random.Random(0)
    pages = [" ".join(f"The {' '.join(draw.choices(words, k=7))}." for _ in range(30)) for _ in range(2000)]
    (folder / "book.txt").write_text("\n\n".join(pages))
    subprocess.run(["git", "init", "--quiet"], cwd=folder, check=True)
    for page in PAGES:  # files come first: some pages use those of others
        for language, text in blocks(page):
            name = re.match(r"# (\S+\.\w+)\n", text)
            if name and language in ("yaml", "python") and not text.startswith(PARTS):
                (folder / name[1]).parent.mkdir(parents=True, exist_ok=True)
                (folder / name[1]).write_text(text)
    with mock.patch.object(Scheduler, "run", record_everything):
        yield folder


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_block_of_a_page_runs(page: Path, world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(world)
    monkeypatch.setenv("BENCHSUITE_CACHE", str(world / "cache"))
    for language, text in blocks(page):
        assert language in LANGUAGES, f"a block of {page} names no language that is checked: {text[:80]}"
        RUN[language](text)


def run_commands(text: str) -> None:
    for line in text.replace("\\\n", " ").splitlines():
        for part in line.split(" && "):
            run_command(shlex.split(part, comments=True))


def run_command(words: list[str]) -> None:
    variables = {}
    while words and re.match(r"[A-Z_]+=", words[0]):
        name, _, variables[name] = words.pop(0).partition("=")
    match words:
        case []:
            return
        case ["make", target, *_]:
            assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE), target
        case ["pip", "install", *_]:
            extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
            assert set(re.findall(r"\.\[(\w+)\]", " ".join(words))) <= set(extras)
        case ["python", "-m", module, *_]:
            assert find_spec(module), module
        case ["benchsuite", "--install-completion"]:
            pass  # typer's
        case ["benchsuite", command, *_] if command in ONLY_PARSED or any(word in " ".join(words) for word in NOT_HERE):
            parsed(words[1:])
        case ["benchsuite", *arguments]:
            done = call(*arguments, **variables)
            assert done.returncode == 0, f"{shlex.join(words)}\n{done.stderr}"
        case ["python3" | "python3.12" | "source" | "pytest" | "pre-commit" | "git" | "torchrun", *_]:
            pass  # others' commands
        case _:
            pytest.fail(f"not a command that the pages should have: {shlex.join(words)}")


def parsed(arguments: list[str]) -> None:
    """Parse a command as the command line does, and run nothing."""
    command: Any = get_command(build_app())
    while hasattr(command, "commands") and arguments and arguments[0] in command.commands:
        command = command.commands[arguments[0]]
        arguments = arguments[1:]
    command.make_context("benchsuite", arguments)


def run_python(text: str) -> None:
    if text.startswith(PARTS):
        return
    names: dict[str, Any] = {"__name__": "page"}
    with mock.patch("benchsuite.gate", gate):
        exec(compile(text, "page", "exec"), names)
    for name, function in names.items():
        if name.startswith("test_"):
            function(speed)


def gate(targets: object, *, base: object, pairs: int) -> Any:
    """In place of `benchsuite.gate`, which tests/test_api.py calls."""
    return mock.Mock(verdict="fine", decisions={})


def speed(timed: Callable[[], Any], *, tokens: int, results: Callable[[], Any], reference: Callable[[], Any]) -> None:
    """In place of the fixture: call once, and compare."""
    timed()
    for result, exact in zip(results(), reference(), strict=True):
        assert (result.double() - exact).abs().max() < 1e-4 * tokens


RUN: dict[str, Callable[[str], Any]] = {
    "sh": run_commands, "python": run_python, "yaml": yaml.safe_load, "toml": tomllib.loads, "text": str, "cuda": str,
}  # fmt: skip


def test_the_commands_in_the_table_of_tasks_run(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(world)
    monkeypatch.setenv("BENCHSUITE_CACHE", str(world / "cache"))
    rows = [line for line in (ROOT / "README.md").read_text().splitlines() if line.startswith("|")]
    commands = [command for line in rows for command in re.findall(r"`(benchsuite [^`]+)`", line)]
    assert len(commands) >= 8
    for command in commands:
        run_command(shlex.split(command))


def test_a_quiet_run_prints_where_its_report_is_and_nothing_else(world: Path) -> None:
    done = call("run", "mine.yaml", "--only", "activation/relu2/eager/*", "-q", "-o", "runs/quiet", folder=world)
    assert (done.returncode, done.stdout) == (0, "")
    [line] = done.stderr.splitlines()
    assert "report: runs/quiet/report.html" in line
    assert line.endswith("benchsuite open runs/quiet")


def test_the_output_in_the_readme_is_that_of_the_published_run() -> None:
    import io

    from rich.console import Console

    from benchsuite.report.terminal import terminal

    [shown] = [text for language, text in blocks(ROOT / "README.md") if language == "text"]
    printed = io.StringIO()
    terminal(ROOT / "reports" / "quick", Console(file=printed, width=120, highlight=False))
    assert len(shown.splitlines()) == 8
    assert set(map(str.rstrip, shown.splitlines())) <= set(map(str.rstrip, printed.getvalue().splitlines()))


def test_the_readme_is_short_and_names_the_tests() -> None:
    text = (ROOT / "README.md").read_text()
    assert len(text.splitlines()) <= 150
    assert "`make test`" in text


def test_every_link_of_the_readme_leads_to_a_file() -> None:
    for page in (ROOT / "README.md", ROOT / "CONTRIBUTING.md"):
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), target


def test_the_site_builds_without_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mkdocs.commands.build import build
    from mkdocs.config import load_config

    monkeypatch.chdir(ROOT)
    build(load_config(str(ROOT / "mkdocs.yml"), strict=True, site_dir=str(tmp_path / "site")))
    assert "0.46x" in (tmp_path / "site" / "results.html").read_text()
    assert (tmp_path / "site" / "reports" / "quick" / "report.html").is_file()


def test_the_texts_keep_the_rules_that_can_be_checked() -> None:
    from support import style

    assert sorted(style.found()) == []
    assert list(style.broken(style.PAGE, "It ends. What one hands down is told anew."))
    assert not list(style.broken(style.PAGE, "Inherited state biases the comparison. What is it?"))
