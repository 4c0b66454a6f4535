"""The gate on a device of paper: planted slowdowns, failures and changes of a suite come out as they were planted."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from support import command
from support.command import ask_here

from benchsuite.gating.sides import Side

pytestmark = pytest.mark.slow

SUITE = """
name: paper
model: {layers: 1, width: 8, heads: 2, vocab: 300, seq: 8}
speed:
  sample_s: 0.05
  timeout_s: 20
  cases:
    - component: activation
      variants: [swiglu]
      shape: {batch: 2}
"""
GELU, SWIGLU = "activation/gelu/eager/layer/fwd+bwd", "activation/swiglu/eager/layer/fwd+bwd"


class Gate:
    """Two scripts for the fake device, one a side."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "paper.yaml").write_text(SUITE)

    def script(self, name: str, entries: list[dict[str, Any]]) -> str:
        path = self.folder / f"{name}.json"
        path.write_text(json.dumps(entries))
        return f"env:BENCHSUITE_FAKE_DEVICE={path}"

    def run(
        self, base: list[dict[str, Any]], head: list[dict[str, Any]], *options: str
    ) -> subprocess.CompletedProcess[str]:
        words = ["gate", "paper.yaml", "--device", "fake", "-o", "out", "--pairs=40"]
        words += ["--base", self.script("base", base), "--head", self.script("head", head), *options]
        return self.call(*words)

    def call(self, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """A command in this process. Its sides are asked here too, since they differ in their variables only."""
        with mock.patch.object(Side, "_ask", ask_here):
            return command.call(*words, folder=self.folder, BENCHSUITE_CACHE=str(self.folder / "cache"), **variables)

    def document(self) -> dict[str, Any]:
        return dict(json.loads((self.folder / "out" / "gate.json").read_text()))


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    return Gate(tmp_path)


BASE: list[dict[str, Any]] = [{"case": "*", "time_s": [0.002], "spread": 0.005, "peak_bytes": 10_000_000}]


def test_a_planted_slowdown_is_named_and_ends_with_1(gate: Gate) -> None:
    done = gate.run(BASE, [*BASE, {"case": "activation/swiglu/*", "time_s": [0.0022]}], "--json")
    assert done.returncode == 1, done.stderr
    document = json.loads(done.stdout)
    assert document == gate.document()
    assert document["verdict"] == "regression"
    found = {row["case"]: row for row in document["cases"]}
    assert found[SWIGLU]["verdict"] == "slower"
    assert found[SWIGLU]["low"] < 1.1 < found[SWIGLU]["high"]
    assert found[GELU]["verdict"] == "same"
    assert found[GELU]["pairs"] < found[SWIGLU]["pairs"], "what is decided is not measured on"
    page = (gate.folder / "out" / "gate.md").read_text()
    assert page.startswith("<!-- benchsuite gate -->")
    assert f"| {SWIGLU} | slower | 1.1" in page


@pytest.mark.long
def test_a_speedup_is_named(gate: Gate) -> None:
    done = gate.run(BASE, [*BASE, {"case": "activation/swiglu/*", "time_s": [0.0018]}])
    assert done.returncode == 0, done.stderr
    assert {row["case"]: row["verdict"] for row in gate.document()["cases"]} == {GELU: "same", SWIGLU: "faster"}


def test_no_change_is_fine_and_both_sides_are_runs(gate: Gate) -> None:
    done = gate.run(BASE, BASE)
    assert done.returncode == 0, done.stderr
    assert "no slowdown: 2 same" in done.stdout
    for side in ("base", "head"):
        report = gate.call("report", f"out/{side}", "--json")
        assert report.returncode == 0, report.stderr
    lines = (gate.folder / "out" / "head" / "records.jsonl").read_text().splitlines()
    statuses = [json.loads(line)["status"] for line in lines]
    assert len(statuses) == 80, "every planned pair has its record"
    assert set(statuses) == {"ok", "skipped"}


def test_too_much_noise_is_unclear_and_strict_says_so(gate: Gate) -> None:
    noisy = [{"case": "*", "time_s": [0.002], "spread": 0.5}]
    done = gate.run(noisy, noisy, "--pairs", "4", "--strict")
    assert done.returncode == 3, done.stderr
    assert "unclear: 2 unclear" in done.stdout
    assert "a single slowdown among 2 cases takes 9 pairs; --pairs is 4" in done.stderr


def test_what_newly_fails_or_takes_more_memory_is_a_finding_and_is_not_repeated(gate: Gate) -> None:
    head = [{"case": "activation/swiglu/*", "fails": "wrong"}, {"case": "activation/relu/*", "peak_bytes": 20_000_000}]
    done = gate.run(BASE, [*BASE, *head], "--set", "speed.cases.0.variants=[swiglu, relu]")
    assert done.returncode == 1, done.stderr
    findings = {finding["case"]: finding for finding in gate.document()["findings"]}
    assert {case: finding["kind"] for case, finding in findings.items()} == {
        SWIGLU: "fails",
        SWIGLU.replace("swiglu", "relu"): "memory",
    }
    assert "incorrect at head" in findings[SWIGLU]["text"]
    for side in ("base", "head"):
        lines = (gate.folder / "out" / side / "records.jsonl").read_text().splitlines()
        assert len(lines) == 120, "every planned pair has its record"


@pytest.mark.long
def test_what_fails_on_both_sides_ends_with_5(gate: Gate) -> None:
    broken = [*BASE, {"case": "activation/swiglu/*", "fails": "error"}]
    done = gate.run(broken, broken)
    assert done.returncode == 5, done.stderr
    assert gate.document()["findings"][0]["kind"] == "unmeasured"


def test_other_cases_on_the_sides_are_findings(gate: Gate) -> None:
    done = gate.run(BASE, BASE, "--head", "set:speed.cases.0.variants=[geglu]")
    assert done.returncode == 0, done.stderr
    assert {finding["kind"] for finding in gate.document()["findings"]} == {"new", "missing"}


def test_a_calibration_tells_the_noise_and_what_it_hides(gate: Gate) -> None:
    name, path = gate.script("base", [{"case": "*", "time_s": [0.002], "spread": 0.01}]).removeprefix("env:").split("=")
    words = ["calibrate", "paper.yaml", "--device", "fake", "--pairs", "8", "--json", "-o", "out"]
    done = gate.call(*words, **{name: path})
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["measured_pairs"] == 8
    assert document["alarms"] <= 10 + 0.01 * document["suites"]
    assert document["low"] <= 0.01
    for noise in document["cases"].values():
        assert 0.003 < noise["spread"] < 0.05, "1% of each process, so 1.4% of a pair"
        assert noise["catches"] is not None
    assert "smallest slowdown found" in (gate.folder / "out" / "calibration.md").read_text()


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--base", "no-such-ref"], 4, "no commit 'no-such-ref'"),
        (["--base", "python:/no/such"], 2, "there is no interpreter"),
        (["--base", "env:X"], 2, "should be env:NAME=VALUE"),
        (["--base", "set:X"], 2, "should be set:KEY=VALUE"),
        (["--base", ".", "--margin", "5%"], 2, "must be below"),
        (["--base", ".", "--catch", "much"], 2, "should be a share"),
        (["--base", ".", "--set", "speed.sample=1"], 2, "speed.sample"),
    ],
)
def test_what_cannot_be_compared_is_said(tmp_path: Path, words: list[str], code: int, message: str) -> None:
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    (tmp_path / "paper.yaml").write_text(SUITE)
    done = command.call("gate", "paper.yaml", *words, folder=tmp_path, BENCHSUITE_CACHE=str(tmp_path / "cache"))
    assert done.returncode == code, done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr


# A project of its own: a plug-in with one variant, which a commit makes slower.

PROJECT = """
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"
[project]
name = "mish-plugin"
version = "1"
[project.entry-points."benchsuite.components"]
mish = "mish_plugin"
[tool.setuptools]
py-modules = ["mish_plugin"]
"""
PLUGIN = """
from benchsuite.components import variant

@variant("activation", "mish", summary="x tanh(softplus(x))", source="arXiv:1908.08681")
def mish():
    from torch.nn.functional import mish
    return mish
"""
SLOWER = PLUGIN.replace("    return mish\n", "    return lambda x: [mish(x) for _ in range(8)][0]\n")
OF_A_PROJECT = """
name: project
model: {layers: 1, width: 64, heads: 2, vocab: 300, seq: 64}
speed:
  sample_s: 0.03
  threads: 1
  cases:
    - {component: activation, variants: [mish], direction: fwd, shape: {batch: 2}}
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with the tags `first`, `comment` and `slower`. The environment of `first` is made once."""
    folder = tmp_path_factory.mktemp("project") / "project"
    folder.mkdir()
    (folder / "pyproject.toml").write_text(PROJECT)
    (folder / "suite.yaml").write_text(OF_A_PROJECT)
    git = ["git", "-C", str(folder), "-c", "user.name=x", "-c", "user.email=x@example.org"]
    subprocess.run([*git, "init", "-q"], check=True)
    for tag, source in (("first", PLUGIN), ("comment", PLUGIN + "# a comment\n"), ("slower", SLOWER)):
        (folder / "mish_plugin.py").write_text(source)
        subprocess.run([*git, "add", "-A"], check=True)
        subprocess.run([*git, "commit", "-q", "-m", tag], check=True)
        subprocess.run([*git, "tag", tag], check=True)
    return folder


@pytest.mark.long
@pytest.mark.parametrize(("head", "code"), [("slower", 1), ("comment", 0)])
def test_commits_of_a_project_are_compared_each_as_it_was(project: Path, head: str, code: int) -> None:
    words = [sys.executable, "-m", "benchsuite", "gate", "suite.yaml", "--base", "first", "--head", head]
    env = {**os.environ, "BENCHSUITE_CACHE": str(project.parent / "cache")}
    done = subprocess.run(
        [*words, "-o", f"out-{head}", "--json", "--pairs=20", "--margin=20%", "--catch=90%"],
        env=env,
        cwd=project,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stderr
    document = json.loads(done.stdout)
    slower = [row["case"] for row in document["cases"] if row["verdict"] == "slower"]
    assert slower == (["activation/mish/eager/layer/fwd"] if code else [])
    assert not document["findings"]
    status = ["git", "-C", str(project), "worktree", "list"]
    assert len(subprocess.run(status, capture_output=True, text=True, check=True).stdout.splitlines()) == 1
