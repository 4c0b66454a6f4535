"""Where people look: JUnit, GitHub's annotations and summary, margins, time budgets, and the Action's own steps."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest import mock
from xml.etree import ElementTree

import pytest
import yaml
from support import command
from support.command import ask_here

from benchsuite.gating import calibrations
from benchsuite.gating.margins import Own, Rules
from benchsuite.gating.sides import Side
from benchsuite.report import gate_page as page
from benchsuite.stats.decisions import Rule

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
SUITE = """
name: paper
model: {layers: 1, width: 8, heads: 2, vocab: 300, seq: 8}
speed:
  sample_s: 0.02
  timeout_s: 20
  cases:
    - {component: activation, variants: [swiglu, geglu], shape: {batch: 2}}
"""
SWIGLU, GEGLU = (f"activation/{name}/eager/layer/fwd+bwd" for name in ("swiglu", "geglu"))
BASE: list[dict[str, Any]] = [{"case": "*", "time_s": [0.002], "spread": 0.005, "peak_bytes": 10_000_000}]
HEAD = [
    *BASE,
    {"case": "activation/swiglu/*", "time_s": [0.0022]},
    {"case": "activation/geglu/*", "fails": "error"},
]


def run(
    folder: Path, base: list[dict[str, Any]], head: list[dict[str, Any]], *options: str, **variables: str
) -> subprocess.CompletedProcess[str]:
    (folder / "paper.yaml").write_text(SUITE)
    for name, script in (("base", base), ("head", head)):
        (folder / f"{name}.json").write_text(json.dumps(script))
    words = ["gate", "paper.yaml", "--device=fake", "-o", "out", *options]
    words += [f"--{name}=env:BENCHSUITE_FAKE_DEVICE={folder / name}.json" for name in ("base", "head")]
    return call(folder, *words, **variables)


def call(folder: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """A command in this process. Its sides are asked here too, since they differ in their variables only."""
    with mock.patch.object(Side, "_ask", ask_here):
        return command.call(*words, folder=folder, BENCHSUITE_CACHE=str(folder / "cache"), **variables)


def test_junit_annotations_and_summary_name_what_is_worse(tmp_path: Path) -> None:
    summary = tmp_path / "summary.md"
    done = run(tmp_path, BASE, HEAD, GITHUB_ACTIONS="true", GITHUB_STEP_SUMMARY=str(summary))
    assert done.returncode == 1, done.stderr
    suite = ElementTree.parse(tmp_path / "out" / "gate.xml").getroot()
    assert {key: suite.get(key) for key in ("tests", "failures", "errors", "skipped")} == {
        "tests": "3",
        "failures": "2",
        "errors": "0",
        "skipped": "0",
    }
    failures = {test.get("name"): test.find("failure") for test in suite.iter("testcase")}
    assert failures.pop("activation/gelu/eager/layer/fwd+bwd") is None
    assert failures[SWIGLU].get("message").startswith("slower: 1.1")
    assert "error at head" in failures[GEGLU].get("message")
    errors = [line for line in done.stderr.splitlines() if line.startswith("::error ")]
    assert len(errors) == 2
    assert any(line.startswith(f"::error title=benchsuite slower%3A {SWIGLU}::1.1") for line in errors)
    assert summary.read_text().startswith(page.MARKER)
    assert summary.read_text() == (tmp_path / "out" / "gate.md").read_text() + "\n"


def test_annotations_are_escaped() -> None:
    document = {
        "cases": [],
        "findings": [{"case": "a:b,c", "kind": "fails", "text": "50% of\nit", "regression": True}],
    }
    assert list(page.github(document)) == ["::error title=benchsuite fails%3A a%3Ab%2Cc::50%25 of%0Ait"]


def test_margins_of_single_cases_accept_what_they_say(tmp_path: Path) -> None:
    margins = tmp_path / "margins.yaml"
    head = [*BASE, {"case": "activation/swiglu/*", "time_s": [0.0022]}]
    margins.write_text("- {case: 'activation/swiglu/*', margin: 15%}\n")
    done = run(tmp_path, BASE, head, f"--margins={margins}")
    assert done.returncode == 0, done.stdout
    document = json.loads((tmp_path / "out" / "gate.json").read_text())
    (row,) = [row for row in document["cases"] if row["case"] == SWIGLU]
    assert (row["margin"], row["catch"], row["verdict"]) == (0.15, 0.3, "same")


def test_the_last_line_that_fits_counts() -> None:
    rules = Rules(Rule(), (Own(case="*", margin="3%"), Own(case="a*", margin=0.04), Own(case="ab", catch="50%")))
    assert (rules.of("b").margin, rules.of("b").catch) == (0.03, 0.06)
    assert (rules.of("ab").margin, rules.of("ab").catch) == (0.04, 0.5)
    assert Rule(floor_s=1e-5).at(1e-3).margin == 0.02
    assert Rule(floor_s=1e-5).at(1e-4).margin == pytest.approx(0.1)


def test_a_pattern_that_fits_nothing_is_named() -> None:
    rules = Rules(Rule(), (Own(case="activation/*"), Own(case="activatoin/*"), Own(case="test[a]")))
    assert rules.idle(["activation/gelu", "test[a]"]) == ["activatoin/*"]


@pytest.mark.parametrize(
    "text",
    [
        "[",
        "- {margin: 5%}",
        "- {case: x, margin: much}",
        "- {case: x, colour: 1}",
        "- {case: x, margin: 9, catch: 1}",
        "- {case: x, floor_s: .inf}",
    ],
)
def test_margins_that_are_none_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "margins.yaml").write_text(text)
    done = run(tmp_path, BASE, BASE, f"--margins={tmp_path / 'margins.yaml'}")
    assert done.returncode == 2
    assert "gives no margins" in done.stderr


def test_a_budget_of_time_ends_it_and_is_said(tmp_path: Path) -> None:
    noisy = [{"case": "*", "time_s": [0.002], "spread": 0.5}]
    done = run(tmp_path, noisy, noisy, "--minutes=0.02", "--strict")
    assert done.returncode == 3, done.stderr
    assert "the budget of time was used up" in done.stdout
    document = json.loads((tmp_path / "out" / "gate.json").read_text())
    assert document["pairs"] < 40


def test_an_interrupted_gate_tells_what_it_knows(tmp_path: Path) -> None:
    (tmp_path / "paper.yaml").write_text(SUITE)
    (tmp_path / "noisy.json").write_text(json.dumps([{"case": "*", "time_s": [0.002], "spread": 0.5}]))
    words = [sys.executable, "-m", "benchsuite", "gate", "paper.yaml", "--device=fake", "-o", "out", "--base=."]
    env = {**os.environ, "BENCHSUITE_CACHE": str(tmp_path / "cache")}
    env["BENCHSUITE_FAKE_DEVICE"] = str(tmp_path / "noisy.json")
    process = subprocess.Popen([*words, "--pairs=1000"], env=env, cwd=tmp_path, stderr=subprocess.DEVNULL)
    records = tmp_path / "out" / "head" / "records.jsonl"
    while not records.exists() or records.read_bytes().count(b"\n") < 9:
        assert process.poll() is None
    process.send_signal(2)
    assert process.wait(60) == 130
    document = json.loads((tmp_path / "out" / "gate.json").read_text())
    assert document["stopped"] == "it was interrupted"
    assert document["exit_code"] == 130
    assert all(row["pairs"] >= 2 for row in document["cases"])


@pytest.mark.long
def test_a_calibration_is_found_again_and_told(tmp_path: Path) -> None:
    (tmp_path / "base.json").write_text(json.dumps(BASE))
    (tmp_path / "paper.yaml").write_text(SUITE)
    words = ["calibrate", "paper.yaml", "--device=fake", "--pairs=6", "--json", "--minutes=2"]
    done = call(tmp_path, *words, BENCHSUITE_FAKE_DEVICE=str(tmp_path / "base.json"))
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert [row["pairs"] for row in found["power"]] == [20, 40, 80, 160, 320]
    assert found["power"][0]["minutes"] < found["power"][1]["minutes"]
    assert found["pairs"] == pytest.approx(120 / found["pair_s"], abs=2)
    told = run(tmp_path, BASE, BASE)
    assert "Calibrated on this machine" in told.stdout
    document = json.loads((tmp_path / "out" / "gate.json").read_text())
    assert all(row["catches_here"] for row in document["cases"])


def test_a_calibration_by_another_margin_says_nothing_of_this_gate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENCHSUITE_CACHE", str(tmp_path))
    for margin in (0.02, 0.04):
        rule = {"margin": margin, "catch": 0.1, "false_alarm": 0.01}
        calibrations.keep({"cases": {"a": {}, "b": {}}, "rule": rule, "told": margin}, "cpu", {"cpu": "x"})
    for margin, told in ((0.02, 0.02), (0.04, 0.04), (0.03, None)):
        found = calibrations.find(["a"], "cpu", {"cpu": "x"}, {**rule, "margin": margin, "catch": 0.2})
        assert (found and found["told"]) == told
    assert calibrations.find(["a", "c"], "cpu", {"cpu": "x"}, rule) is None
    assert calibrations.find(["a"], "cpu", {"cpu": "y"}, rule) is None


# ---- action.yml --------------------------------------------------------------------------------


def steps(inputs: dict[str, str]) -> list[dict[str, Any]]:
    """The Action's steps with what the runner puts in for its expressions."""
    action = yaml.safe_load((ROOT / "action.yml").read_text())
    values = {"github.action_path": str(ROOT), "github.event.pull_request.base.sha": ""}
    for name, about in action["inputs"].items():
        values[f"inputs.{name}"] = inputs.get(name, str(about.get("default", "")))
    found = []
    for step in action["runs"]["steps"]:
        env = {key: _filled(str(value), values) for key, value in step.get("env", {}).items()}
        assert "${{" not in step["run"], "inputs reach a shell as variables only"
        found.append({**step, "env": env})
    return found


def _filled(text: str, values: dict[str, str]) -> str:
    for _ in range(2):  # a default may be an expression
        text = re.sub(r"\$\{\{ (.*?) \}\}", lambda match: values[match[1]], text)
    return text


@pytest.mark.long
def test_the_steps_of_the_action_run_as_they_are_written(tmp_path: Path) -> None:
    project = tmp_path / "project"
    project.mkdir()
    (project / "paper.yaml").write_text(SUITE)
    git = ["git", "-C", str(project), "-c", "user.name=x", "-c", "user.email=x@example.org"]
    (project / "pyproject.toml").write_text(
        "[project]\nname = 'empty-project'\nversion = '1'\n[tool.setuptools]\npy-modules = []\n"
    )
    for words in (
        ["init", "-q"],
        ["add", "-A"],
        ["commit", "-qm", "first"],
        ["commit", "-qm", "second", "--allow-empty"],
    ):
        subprocess.run([*git, *words], check=True)
    (tmp_path / "base.json").write_text(json.dumps(BASE))
    head = [*BASE, {"case": "activation/swiglu/*", "time_s": [0.0022]}]
    (tmp_path / "head.json").write_text(json.dumps(head))
    inputs = {
        "suite": "paper.yaml",
        "head": f"env:BENCHSUITE_FAKE_DEVICE={tmp_path / 'head.json'}",
        "options": "--device=fake --pairs 30",
    }
    outputs, variables = tmp_path / "outputs", tmp_path / "variables"
    env = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    env |= {"GITHUB_OUTPUT": str(outputs), "GITHUB_ENV": str(variables), "BENCHSUITE_CACHE": str(tmp_path / "cache")}
    env |= {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md")}
    env["BENCHSUITE_FAKE_DEVICE"] = str(tmp_path / "base.json")
    codes = []
    for step in steps(inputs):
        if variables.exists():
            env |= dict(line.split("=", 1) for line in variables.read_text().splitlines())
        words = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]]
        done = subprocess.run(words, cwd=project, env=env | step["env"], capture_output=True, text=True, check=False)
        codes.append(done.returncode)
    assert codes == [0, 0, 1], done.stderr
    assert outputs.read_text() == "verdict=regression\n"
    assert "benchsuite" in (tmp_path / "summary.md").read_text()


# ---- the workflows of docs/guides/ci.md ----------------------------------------------------------------

DOCUMENT: dict[str, Any] = {
    "suite": "tests", "base": "main", "head": ".", "verdict": "fine", "notes": [], "pairs": 0, "time_s": 1.0,
    "rule": {"false_alarm": 0.01, "margin": 0.02, "catch": 0.05, "miss": 0.05}, "stopped": None, "cases": [],
    "findings": [], "calibration": None,
}  # fmt: skip
GH = """#!/bin/bash
printf '%s\\n' "$@" >> "$LOG"
case "$*" in
  *PATCH*) ;;
  *issues/*/comments*) echo "$COMMENTS" ;;
  api*) echo "$FOUND" ;;
esac
"""


def workflows() -> dict[str, Any]:
    blocks = re.findall(
        r"```yaml\n# \.github/workflows/(\S+)\n(.*?)```", (ROOT / "docs/guides/ci.md").read_text(), re.DOTALL
    )
    return {name: yaml.load(text, yaml.BaseLoader) for name, text in blocks}


@pytest.mark.parametrize(("found", "comments"), [("7", ""), ("7", "31\n32"), ("", "31")])
def test_the_comment_goes_where_github_says_and_not_where_the_artifact_does(
    tmp_path: Path, found: str, comments: str
) -> None:
    job = workflows()["speed-comment.yml"]["jobs"]["comment"]
    install, script = [step["run"] for step in job["steps"] if "run" in step]
    assert install == "pip install pydantic && pip install --no-deps benchsuite"
    assert "${{" not in script, "what others wrote reaches a shell as variables only"
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "gh").write_text(GH)
    (tmp_path / "bin" / "gh").chmod(0o755)
    (tmp_path / "gate").mkdir()
    for folder in (tmp_path, tmp_path / "gate"):
        (folder / "number").write_text("999\n")
    (tmp_path / "gate" / "gate.json").write_text(json.dumps(DOCUMENT))
    (tmp_path / "gate" / "gate.md").write_text("the bot likes this change")
    (tmp_path / "benchsuite.py").write_text("print('hacked')")  # the artifact may bring any file
    python = Path(sys.executable).parent
    env = {"PATH": f"{tmp_path / 'bin'}:{python}:{os.environ['PATH']}", "LOG": str(tmp_path / "log"), "FOUND": found}
    env["COMMENTS"] = comments
    env |= {"GH_REPO": "owner/project", "SHA": "c" * 40, "BRANCH": "them:$(touch hacked)&state=closed"}
    done = subprocess.run(["bash", "-eo", "pipefail", "-c", script], cwd=tmp_path, env=env, check=False)
    assert done.returncode == 0
    words = (tmp_path / "log").read_text().splitlines()
    assert words[:4] == ["api", "--method", "GET", "repos/owner/project/pulls"]
    assert f"head={env['BRANCH']}" in words
    assert not (tmp_path / "hacked").exists()
    if not found:
        assert words[words.index("--jq") + 2 :] == []
        assert not (tmp_path / "comment.md").exists()
        return
    assert (tmp_path / "comment.md").read_text() == page.markdown(DOCUMENT)
    new = ["pr", "comment", "7", "--body-file", "comment.md"]
    update = [
        "api",
        "--silent",
        "--method",
        "PATCH",
        "repos/owner/project/issues/comments/31",
        "-F",
        "body=@comment.md",
    ]
    assert words[-len(update) :] == update if comments else words[-len(new) :] == new
    chosen = next(word for word in words if word.startswith(".[] | select(.user.login"))
    assert f'startswith("{page.MARKER}")' in chosen
    assert '.user.login == "github-actions[bot]"' in chosen


def test_the_job_that_runs_the_code_of_others_hands_on_data_alone() -> None:
    speed = workflows()["speed.yml"]
    assert speed["permissions"] == {"contents": "read"}
    (path,) = [step["with"]["path"] for step in speed["jobs"]["gate"]["steps"] if "path" in step.get("with", {})]
    assert path == "benchsuite-gate/gate.json"
