"""A comment from a gate.json of a stranger's: the page of a gate, or a refusal, and nothing that acts."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.fuzz import FEW, mutated, refused_at_most
from support.hostile import HOSTILE_TEXT, LINKED, rendered

from benchsuite.errors import UserError
from benchsuite.report import gate_comment
from benchsuite.report import gate_page as page

RULE = {"false_alarm": 0.01, "margin": 0.02, "catch": 0.05, "miss": 0.05, "floor_s": 0.0}
CASE = {"case": "test_a", "verdict": "slower", "ratio": 1.2, "low": 1.1, "high": None, "pairs": 8, "margin": 0.02}
CASE |= {"catch": 0.05, "catches_here": None, "floor_s": 0.0, "base_time_s": 1.0, "head_time_s": 1.2}
DOCUMENT: dict[str, Any] = {
    "schema_version": 1, "suite": "tests", "base": "main", "head": ".", "run": "out", "verdict": "regression",
    "exit_code": 1, "notes": ["a note"], "rule": RULE, "pairs": 8, "time_s": 9.5, "stopped": None,
    "cases": [CASE, {**CASE, "case": "test_b", "verdict": "same"}],
    "findings": [{"case": "test_c", "kind": "fails", "text": "error at head", "regression": True}],
    "calibration": {"low": 0.0, "high": 0.01, "pairs": 40, "cases": {}},
}  # fmt: skip
HOSTILE = [*(0, -1, 10**400, 1e308, float("inf"), float("nan"), True, None, "", "<b>", [], {}, [[]], [None]),
           *("@octocat", "9" * 5000, "](https://evil.example)", "</details>", page.MARKER, "x" * 20_000)]  # fmt: skip
TAGS = {"h3", "p", "strong", "ul", "li", "table", "thead", "tbody", "tr", "th", "td", "details", "summary", "code"}


@pytest.mark.slow
def test_a_gate_s_own_document_gives_its_own_page(tmp_path: Path) -> None:
    path = tmp_path / "gate.json"
    path.write_text(json.dumps(DOCUMENT))
    command = [sys.executable, "-P", "-X", "importtime", "-m", "benchsuite.report.gate_comment", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout == page.markdown(DOCUMENT)
    for heavy in ("torch", "numpy", "scipy", "rich"):  # a job that comments installs none of them
        assert not any(line.endswith(f" {heavy}") for line in done.stderr.splitlines()), heavy


def harmless(told: str) -> None:
    assert told.startswith(page.MARKER + "\n")
    assert told.count(page.MARKER) == 1
    assert len(told) < 65_536
    shown = rendered(told.removeprefix(page.MARKER))
    assert set(shown.tags) <= TAGS
    assert shown.comments == []
    assert not LINKED.search(shown.data)


@FEW
@given(data=st.data())
def test_a_document_of_others_is_shown_or_refused(data: st.DataObject, tmp_path: Path) -> None:
    path = tmp_path / "gate.json"
    text = st.sampled_from(["case", "text", "suite", "kind", "notes"])
    wild = mutated(data, DOCUMENT, HOSTILE, ("x", "case", "kind", "verdict"))
    if isinstance(wild, dict) and data.draw(st.booleans()):
        wild[data.draw(text)] = data.draw(HOSTILE_TEXT)
        wild["findings"] = [{"case": data.draw(HOSTILE_TEXT), "kind": "fails", "text": data.draw(HOSTILE_TEXT),
                             "regression": False}]  # fmt: skip
    path.write_bytes(json.dumps(wild).encode("utf-8", "surrogatepass"))
    with refused_at_most():
        harmless(gate_comment.comment(gate_comment.read(path)))


@pytest.mark.parametrize(
    "wrong", [b"", b"[]", b"\xff", b"[" * 100_000, b"{}", json.dumps({**DOCUMENT, "pairs": "<b>"}).encode()]
)
def test_what_is_no_document_is_refused(tmp_path: Path, wrong: bytes) -> None:
    (tmp_path / "gate.json").write_bytes(wrong)
    with pytest.raises(UserError, match="is no document of a gate"):
        gate_comment.read(tmp_path / "gate.json")
    assert gate_comment.main([str(tmp_path / "gate.json")]) == 2


def test_a_long_page_is_cut_after_a_line(tmp_path: Path) -> None:
    cases = [{**CASE, "case": f"test_{n}"} for n in range(5000)]
    told = gate_comment.comment({**DOCUMENT, "cases": cases})
    harmless(told)
    assert told.endswith("8 |" + gate_comment.CUT)
