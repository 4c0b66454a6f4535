"""What a gate writes: sentences that are some, and nothing of another's text that acts."""

from __future__ import annotations

import io
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.console import Console
from support.hostile import HOSTILE_TEXT, LINKED, rendered

from benchsuite.cli.output import progress
from benchsuite.gating.paired import Finding, Paired, _memory
from benchsuite.records.results import SpeedResult
from benchsuite.report import gate_page as page
from benchsuite.stats.decisions import Decision, Rule
from benchsuite.text import line

ABOUT = {"suite": "tests", "base": "main", "head": ".", "run": "out", "notes": [], "calibration": None, "exit_code": 0}


def document(verdict: str, decisions: dict[str, str], findings: list[Finding], **about: Any) -> dict[str, Any]:
    found = {case: Decision(verdict=told, ratio=1.1, low=1.0, high=1.2, pairs=8) for case, told in decisions.items()}
    outcome = Paired(
        logs={},
        decisions=found,
        findings=tuple(findings),
        times_s=dict.fromkeys(decisions, (1.0, 1.1)),
        pairs=8 if decisions else 0,
    )
    return page.document(outcome, lambda label: Rule(), Rule(), {**ABOUT, "verdict": verdict, **about})


FAILS = Finding(case="a", kind="fails", text="error at head", regression=True)
MEMORY = Finding(case="b", kind="memory", text="more", regression=True)


@pytest.mark.parametrize("finding", [FAILS, MEMORY])
def test_one_finding_is_enough_for_a_regression(finding: Finding) -> None:
    same = Decision(verdict="same", ratio=1.0, low=0.99, high=1.01, pairs=8)
    for findings, verdict in (((), "fine"), ((finding,), "regression")):
        outcome = Paired(logs={}, decisions={"b": same}, findings=findings, times_s={}, pairs=8)
        assert outcome.verdict == verdict


@pytest.mark.parametrize(
    ("verdict", "decisions", "findings", "told"),
    [
        ("fine", {"a": "same", "b": "same"}, [], "no slowdown: 2 same"),
        ("regression", {"a": "slower", "b": "same"}, [], "slower or worse: 1 slower, 1 same"),
        ("regression", {}, [FAILS], "slower or worse: 1 newly failing"),
        ("regression", {"b": "same"}, [FAILS, MEMORY], "slower or worse: 1 same, 1 newly failing, 1 with more memory"),
        ("fine", {}, [Finding(case="a", kind="unsupported", text="")], "nothing was compared: 1 unsupported"),
        ("unclear", {}, [Finding(case="a", kind="missing", text="")] * 2, "unclear: 2 missing"),
        ("fine", {}, [], "nothing was compared"),
    ],
)
def test_the_summary_counts_what_stands_behind_the_verdict(
    verdict: str, decisions: dict[str, str], findings: list[Finding], told: str
) -> None:
    found = document(verdict, decisions, findings)
    assert page.summary(found) == told
    assert ("up to 8 a case" in page.promise(found)) == bool(decisions)
    assert ("up to 0" in page.markdown(found)) is False


def test_the_promise_names_what_it_assumes_and_the_notes_what_breaks_it() -> None:
    found = document("unclear", {"a": "unclear", "b": "same"}, [])
    assert "If the sides of equal programs can be exchanged in each pair" in page.promise(found)
    assert not any("order" in note for note in page.notes(found))
    found["cases"][0]["reason"] = "its pairs are alike"
    assert "1 unclear for their order, as a: its pairs are alike." in page.notes(found)


def test_more_memory_is_told_in_mib_and_as_a_ratio() -> None:
    base, head = (
        SimpleNamespace(results=lambda label, n=n: [SpeedResult(peak_bytes=n)]) for n in (10 * 2**20, 25 * 2**20)
    )
    (finding,) = _memory(base, head, "a", Rule())  # type: ignore[arg-type]
    assert finding.text == "peak memory grew to 2.50x, from 10.0 MiB to 25.0 MiB"


def test_junit_keeps_every_finding_of_a_case() -> None:
    other = Finding(case="b", kind="changed", text="measured otherwise")
    (case,) = ElementTree.fromstring(page.junit(document("regression", {"b": "same"}, [MEMORY, other])))
    (failure,) = case
    assert str(failure.get("message")).endswith("; more; measured otherwise")


def test_the_xml_says_its_encoding_whatever_the_locale() -> None:
    assert page.junit(document("fine", {}, [])).startswith('<?xml version="1.0" encoding="utf-8"?>\n')


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(*[HOSTILE_TEXT] * 4, st.sampled_from(["same", "slower", "unclear"]))
def test_no_text_of_others_acts(one: str, two: str, three: str, four: str, verdict: str) -> None:
    findings = [
        Finding(case=two, kind="fails", text=three, regression=True),
        Finding(case=one, kind="memory", text=four, regression=False),
    ]
    wild = {"suite": one, "base": two, "head": three, "run": four, "notes": [one, four]}
    found = document("regression", {one: verdict}, findings, **wild)

    told = page.markdown(found)
    assert told.startswith(page.MARKER + "\n")
    assert told.count(page.MARKER) == 1
    shown = rendered(told.removeprefix(page.MARKER))
    tags = {"h3", "p", "strong", "ul", "li", "table", "thead", "tbody", "tr", "th", "td", "details", "summary", "code"}
    assert set(shown.tags) <= tags
    assert shown.tags.count("table") == 1
    assert shown.comments == []
    assert not LINKED.search(shown.data)

    suite = ElementTree.fromstring(page.junit(found).encode())
    assert len(suite) == int(suite.get("tests", "")) >= 1

    for command in page.github(found):
        assert command.startswith("::")
        assert "\n" not in command
        assert "\r" not in command

    console = Console(file=io.StringIO(), width=100, force_terminal=False)
    page.terminal(found, console)
    said = console.file.getvalue()  # type: ignore[attr-defined]
    assert "\x1b" not in said
    said.encode("utf-8")


@pytest.mark.parametrize("name", ["test_a[/]", "test_a[/b]", "[red]", "\x1b[31m\udcff\n"])
def test_a_bar_shows_any_name(name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "120")
    with progress() as say:
        say(name, 1, 2)
    assert line(name) in capsys.readouterr().err
