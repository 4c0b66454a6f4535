"""Baselines and histories, made of runs on the fake device."""

from __future__ import annotations

import json
import shutil
import subprocess
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
  sample_s: 0.02
  rounds: 16
  most_rounds: 16
  cases:
    - component: activation
      variants: [swiglu]
      shape: {batch: 2}
"""
SWIGLU = "activation/swiglu/eager/layer/fwd+bwd"


class Project:
    """A folder with a suite, runs and baselines."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "paper.yaml").write_text(SUITE)

    def call(
        self, *words: str, script: list[dict[str, Any]] | None = None, width: int | None = 200
    ) -> subprocess.CompletedProcess[str]:
        path = self.folder / "script.json"
        path.write_text(json.dumps([{"case": "*", "time_s": [0.002], "spread": 0.005}, *(script or [])]))
        variables = {"BENCHSUITE_CACHE": str(self.folder / "cache"), "COLUMNS": str(width or "")}
        with mock.patch.object(Side, "_ask", ask_here):
            return command.call(*words, folder=self.folder, BENCHSUITE_FAKE_DEVICE=str(path), **variables)


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One run of sixteen processes a case."""
    project = Project(tmp_path_factory.mktemp("measured"))
    done = project.call("run", "paper.yaml", "--device=fake", "-o", "first")
    assert done.returncode == 0, done.stderr
    return project.folder / "first"


@pytest.fixture
def project(tmp_path: Path, measured: Path) -> Project:
    """A project that has that run in `first`."""
    shutil.copytree(measured, tmp_path / "first")
    return Project(tmp_path)


SLOWER = [{"case": "activation/swiglu/*", "time_s": [0.0022]}]


def test_a_baseline_is_saved_shown_promoted_and_gated_against(project: Project) -> None:
    assert project.call("baseline", "save", "v1", "first").stdout.strip() == "baselines/v1"
    assert sorted(path.name for path in (project.folder / "baselines" / "v1").iterdir()) == [
        "manifest.json",
        "records.jsonl",
    ]
    again = project.call("baseline", "save", "v1", "first")
    assert (again.returncode, "--replace" in again.stderr) == (2, True)
    assert project.call("baseline", "save", "v1", "first", "--replace").returncode == 0
    assert "2.0" in project.call("baseline", "show", "v1").stdout
    without = project.call("gate", "paper.yaml", "--device=fake", "--base=baseline:")
    assert (without.returncode, "promote" in without.stderr) == (4, True)
    assert project.call("baseline", "promote", "v1").returncode == 0
    (row,) = json.loads(project.call("baseline", "list", "--json").stdout)["baselines"]
    assert (row["name"], row["current"], row["suite"], row["cases"], row["age_days"]) == ("v1", True, "paper", 2, 0)

    same = project.call("gate", "paper.yaml", "--device=fake", "--base=baseline:", "-o", "same")
    assert same.returncode == 0, same.stderr
    assert "measured earlier, not side by side" in same.stderr
    slower = project.call("gate", "paper.yaml", "--device=fake", "--base=baseline:v1", "-o", "out", script=SLOWER)
    assert slower.returncode == 1, slower.stderr
    document = json.loads((project.folder / "out" / "gate.json").read_text())
    assert [row["case"] for row in document["cases"] if row["verdict"] == "slower"] == [SWIGLU]


def test_a_baseline_with_a_quality_part_is_shown(project: Project) -> None:
    """A record of a trained model has no time for a call."""
    manifest = json.loads((project.folder / "first" / "manifest.json").read_text())
    trained = {**manifest["cases"][0], "id": "0" * 12, "kind": "quality", "label": "baseline/quality"}
    imported = {**manifest["cases"][0], "id": "1" * 12, "label": "imported"}
    manifest["cases"] += [trained, imported]
    (project.folder / "first" / "manifest.json").write_text(json.dumps(manifest))
    with open(project.folder / "first" / "records.jsonl", "a") as file:
        for case, result in ((trained, {"train": {}, "tasks": {}}), (imported, {"time_s": None, "samples_s": []})):
            row = {"schema_version": 2, "case_id": case["id"], "replicate": 0, "status": "ok", "reason": None}
            file.write(json.dumps({**row, "started": "", "time_s": 1.0, "result": result}) + "\n")
    assert project.call("baseline", "save", "v1", "first").returncode == 0
    shown = project.call("baseline", "show", "v1")
    assert shown.returncode == 0, shown.stderr
    assert SWIGLU in shown.stdout
    assert "quality" not in shown.stdout
    assert "imported" not in shown.stdout


def test_tables_in_a_pipe_keep_their_names_and_harmful_characters_do_nothing(project: Project) -> None:
    long = "activation/" + "long" * 40
    path = project.folder / "first" / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["hardware"]["identity"]["cpu"] = "[bold]CPU \x1b[31mred\x1b[0m" + "y" * 100
    manifest["cases"][0]["label"] = long + "\u202e[red]"
    path.write_text(json.dumps(manifest))
    assert project.call("baseline", "save", "v1", "first").returncode == 0
    shown = project.call("baseline", "show", "v1", width=None)
    assert long + "\\u202e[red]" in shown.stdout, shown.stdout
    listed = project.call("baseline", "list", width=None)
    assert "[bold]CPU red" + "y" * 100 in listed.stdout, listed.stdout
    assert not {"\x1b", "\u202e"} & set(shown.stdout + listed.stdout)


def test_the_promoted_baseline_is_the_base_where_none_is_given(project: Project) -> None:
    assert project.call("baseline", "save", "v1", "first").returncode == 0
    assert project.call("baseline", "promote", "v1").returncode == 0
    done = project.call("gate", "paper.yaml", "--device=fake", "-o", "out", script=SLOWER)
    assert done.returncode == 1, done.stderr
    assert json.loads((project.folder / "out" / "gate.json").read_text())["base"] == "baseline:v1"


def test_a_baseline_of_another_suite_is_told_in_one_line(project: Project) -> None:
    assert project.call("baseline", "save", "v1", "first").returncode == 0
    other = SUITE.replace("name: paper", "name: other")
    (project.folder / "other.yaml").write_text(other.replace("batch: 2", "batch: 4"))
    done = project.call("gate", "other.yaml", "--device=fake", "--base=baseline:v1", "-o", "out")
    assert done.returncode == 4, done.stderr
    assert "baseline:v1 is a run of paper, which has no case of other" in done.stderr
    assert "missing" not in done.stdout + done.stderr
    (project.folder / "other.yaml").write_text(other.replace("[swiglu]", "[geglu]"))
    done = project.call("gate", "other.yaml", "--device=fake", "--base=baseline:v1", "-o", "some", "--pairs=10")
    assert done.returncode == 0, done.stderr
    assert "1 cases are in both and compared, 1 and 1 others left out" in done.stderr
    assert not json.loads((project.folder / "some" / "gate.json").read_text())["findings"]


def test_a_run_is_a_base_and_its_processes_are_all_there_are(project: Project) -> None:
    records = project.folder / "first" / "records.jsonl"
    kept = [line for line in records.read_text().splitlines() if json.loads(line)["replicate"] < 4]
    records.write_text("".join(line + "\n" for line in kept))
    done = project.call(
        "gate", "paper.yaml", "--device=fake", "--base=run:first", "--strict", "-o", "out", script=SLOWER
    )
    assert done.returncode == 3, done.stderr
    document = json.loads((project.folder / "out" / "gate.json").read_text())
    assert {row["pairs"] for row in document["cases"]} == {4}


def test_another_machine_and_other_parameters_are_not_compared(project: Project) -> None:
    path = project.folder / "first" / "manifest.json"
    manifest = json.loads(path.read_text())
    cpu = manifest["hardware"]["identity"]["cpu"]
    manifest["hardware"]["identity"]["cpu"] = "another"
    path.write_text(json.dumps(manifest))
    done = project.call("gate", "paper.yaml", "--device=fake", "--base=run:first")
    assert done.returncode == 4, done.stderr
    assert f"cpu was another and is {cpu[:20]}" in done.stderr

    manifest["hardware"]["identity"]["cpu"] = cpu
    manifest["created"] = "2020-01-01T00:00:00+00:00"
    path.write_text(json.dumps(manifest))
    done = project.call(
        "gate", "paper.yaml", "--device=fake", "--base=run:first", "--set=speed.cases.0.shape.batch=4", "-o", "out"
    )
    assert done.returncode == 4, done.stderr
    assert "days old" in done.stderr
    document = json.loads((project.folder / "out" / "gate.json").read_text())
    assert {finding["kind"] for finding in document["findings"]} == {"changed"}


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["baseline", "save", "../x", "first"], 2, "is no name"),
        (["baseline", "save", "v1", "nothing"], 2, "not a run directory"),
        (["baseline", "promote", "nothing"], 4, "no baseline 'nothing'"),
        (["baseline", "show"], 4, "no baseline is promoted"),
        (["gate", "paper.yaml", "--device=fake", "--base=baseline:nothing"], 4, "no baseline 'nothing'"),
        (["gate", "paper.yaml", "--device=fake", "--base=run:nothing"], 4, "no run"),
        (["gate", "paper.yaml", "--device=fake", "--base=run:x", "--base=env:A=b"], 2, "nothing adds to it"),
        (["gate", "paper.yaml", "--device=fake", "--base=.", "--head=run:x"], 2, "can only be a base"),
        (["history", "nothing"], 2, "no folder"),
        (["history", "empty"], 2, "no run in these folders"),
        (["history", "first", "-o", "paper.yaml"], 2, "paper.yaml cannot be made"),
        (["gate", "paper.yaml", "--device=fake"], 4, "no baseline is promoted"),
        (["baseline", "list"], 0, "baselines/torn/manifest.json is not a run's manifest"),
        (["baseline", "show", "emptied"], 2, "holds no measured speed"),
    ],
)
def test_what_is_not_there_is_said(project: Project, words: list[str], code: int, said: str) -> None:
    (project.folder / "empty").mkdir()
    for name in ("torn", "emptied"):
        (project.folder / "baselines" / name).mkdir(parents=True, exist_ok=True)
    (project.folder / "baselines" / "torn" / "manifest.json").write_text("{")
    shutil.copy(project.folder / "first" / "manifest.json", project.folder / "baselines" / "emptied")
    done = project.call(*words)
    assert done.returncode == code, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_history_names_the_run_and_the_commit_since_which_a_case_is_slower(project: Project) -> None:
    cases = json.loads((project.folder / "first" / "manifest.json").read_text())["cases"]
    swiglu = next(case["id"] for case in cases if case["label"] == SWIGLU)
    for number in range(10):
        shutil.copytree(project.folder / "first", project.folder / "runs" / str(number))
        path = project.folder / "runs" / str(number) / "manifest.json"
        records = path.with_name("records.jsonl")
        rows = [json.loads(line) for line in records.read_text().splitlines()]
        for row in rows:
            slower = 0.1 if number >= 6 and row["case_id"] == swiglu else 0.0
            row["result"]["time_s"] *= 1 + 0.002 * (number % 3) + slower
        records.write_text("".join(json.dumps(row) + "\n" for row in rows))
        manifest = json.loads(path.read_text())
        manifest["created"] = f"2026-01-{number + 1:02d}T00:00:00+00:00"
        manifest["hardware"]["context"]["commit"] = f"{number:040x}"
        path.write_text(json.dumps(manifest))
    done = project.call("history", "runs", "--fail", "-o", "pages")
    assert done.returncode == 1, done.stderr
    document = json.loads((project.folder / "pages" / "history.json").read_text())
    first, second = document["cases"]
    assert (first["case"], first["verdict"], second["verdict"]) == (SWIGLU, "slower", "steady")
    assert first["change"] == pytest.approx(1.1, rel=0.02)
    assert first["since"] == {"run": "6", "created": "2026-01-07T00:00:00+00:00", "commit": f"{6:040x}"}
    page = (project.folder / "pages" / "history.html").read_text()
    assert page.count("<figure") == 2
    assert "since 6, commit 000000000000" in page
    assert "<script" not in page
    assert f"| {SWIGLU} | slower 1." in (project.folder / "pages" / "history.md").read_text()
    assert project.call("history", "runs", "--margin=20%", "--fail").returncode == 0
