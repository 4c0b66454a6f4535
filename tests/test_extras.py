"""A small installation: the gate needs no package of the other extras, and a missing one is named with its extra."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from support.command import call

from benchsuite import extras

ROOT = Path(__file__).parents[1]
DISTRIBUTIONS = {"lm_eval": "lm-eval", "pytest_benchmark": "pytest-benchmark"}
BLOCKER = f"""
from importlib.machinery import PathFinder

found = PathFinder.find_spec

def find_spec(name, path=None, target=None):
    absent = name.partition(".")[0] in {set(extras.PACKAGES["tables"] + extras.PACKAGES["quality"])}
    return None if absent else found(name, path, target)

PathFinder.find_spec = staticmethod(find_spec)
"""
SUITE = """
name: small
model: {layers: 1, width: 8, heads: 2, vocab: 300, seq: 8}
speed:
  sample_s: 0.02
  threads: 1
  cases:
    - {component: activation, variants: [relu], shape: {batch: 1}}
"""


def test_every_package_of_an_extra_is_in_the_project_file() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for extra, packages in extras.PACKAGES.items():
        names = {requirement.split(">")[0] for requirement in declared[extra]}
        assert names == {DISTRIBUTIONS.get(name, name) for name in packages}


def test_a_missing_package_is_named_with_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extras, "find_spec", lambda name: None if name == "lm_eval" else object())
    done = call("run", "quick", folder=tmp_path)
    assert done.returncode == 2
    assert "training models needs lm_eval, which is not installed" in done.stderr
    assert "pip install 'benchsuite[quality]'" in done.stderr
    assert list(tmp_path.iterdir()) == []
    missing = extras.missing(ModuleNotFoundError("No module named 'lm_eval.tasks'", name="lm_eval.tasks"))
    assert missing is not None
    assert "benchsuite[quality]" in missing.hint
    assert extras.missing(ModuleNotFoundError("No module named 'numpy'", name="numpy")) is None


@pytest.mark.long
def test_the_gate_runs_without_the_other_extras(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(BLOCKER)
    (tmp_path / "small.yaml").write_text(SUITE)

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "benchsuite", *words]
        env = {**os.environ, "PYTHONPATH": str(tmp_path)}
        return subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)

    gated = run("gate", "small.yaml", "--base", ".", "--pairs", "2", "-o", "gate")
    assert gated.returncode == 0, gated.stderr
    assert (tmp_path / "gate" / "gate.md").is_file()
    assert run("report", "gate/head").returncode == 0
    exported = run("export", "gate/head", "--parquet", "out.parquet")
    assert exported.returncode == 2
    assert "benchsuite[tables]" in exported.stderr


def test_other_systems_are_refused_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    done = call("doctor")
    assert done.returncode == 2
    assert done.stderr.splitlines()[0] == "benchsuite: benchsuite runs on Linux only"
