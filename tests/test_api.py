"""The Python API: its functions on a small suite, and what importing it costs."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.make_run import make_run

import benchsuite

pytestmark = pytest.mark.slow

SUITE = """
name: mine
model: {layers: 1, width: 8, heads: 2, vocab: 300, seq: 8}
speed:
  rounds: 3
  most_rounds: 3
  sample_s: 0.02
  threads: 1
  cases:
    - {component: activation, variants: [swiglu, relu], shape: {batch: 1}}
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the suite mine.yaml, in which the test runs."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text(SUITE)
    return tmp_path


def test_every_name_is_there_and_documented() -> None:
    for name in benchsuite.__all__:
        if not name.startswith("__"):
            assert inspect.getdoc(getattr(benchsuite, name)), name
    assert set(benchsuite.__all__) <= set(dir(benchsuite))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        benchsuite.nothing  # noqa: B018


@pytest.mark.usefixtures("fake_kinds")
def test_a_suite_is_planned_run_resumed_and_read(here: Path) -> None:
    plan = benchsuite.plan("mine.yaml", only=["activation/relu/*"])
    assert [case.label for case in plan.cases] == [
        f"activation/{name}/eager/layer/fwd+bwd" for name in ("gelu", "relu")
    ]
    said: list[str] = []
    run = benchsuite.run("mine.yaml", out="runs/mine", only=["activation/relu/*"], say=said.append)
    assert run.statuses() == {"ok": 6}
    assert {case.id for case in plan.cases} == set(run.cases)
    assert benchsuite.load("runs/mine").manifest == run.manifest
    lines = Path("runs/mine/records.jsonl").read_text().splitlines()
    Path("runs/mine/records.jsonl").write_text("\n".join(lines[:-1]) + "\n" + lines[-1][:20])
    resumed = benchsuite.resume("runs/mine", say=said.append)
    assert resumed.statuses() == {"ok": 6}
    assert any("torn" in text for text in said)


@pytest.mark.usefixtures("fake_kinds")
def test_wrong_use_is_a_user_error_and_begins_nothing(here: Path) -> None:
    with pytest.raises(benchsuite.UserError, match="--launcher 'ssh'"):
        benchsuite.run("mine.yaml", out="run", launcher="ssh")
    with pytest.raises(benchsuite.UserError, match="no case has such a label"):
        benchsuite.run("mine.yaml", out="run", only=["nothing"])
    with pytest.raises(benchsuite.UserError, match="not a run directory"):
        benchsuite.resume("run")
    with pytest.raises(benchsuite.UserError, match="margin"):
        benchsuite.gate("mine.yaml", base=["."], margin=0.5, catch=0.1, out="gate")
    assert [path.name for path in here.iterdir()] == ["mine.yaml"]


@pytest.mark.usefixtures("fake_kinds")
def test_a_gate_gives_an_outcome_and_two_runs(here: Path) -> None:
    progress: list[tuple[str, float, float]] = []
    outcome = benchsuite.gate(
        "mine.yaml", base=["."], only=["activation/relu/*"], pairs=4, out="gate",
        progress=lambda *told: progress.append(told),
    )  # fmt: skip
    assert (outcome.suite, outcome.base, outcome.head, outcome.folder) == ("mine", ".", ".", Path("gate"))
    assert outcome.verdict in ("fine", "unclear")
    assert set(outcome.decisions) == {f"activation/{name}/eager/layer/fwd+bwd" for name in ("gelu", "relu")}
    assert not outcome.failed
    assert progress
    sides = [benchsuite.load(outcome.folder / side) for side in ("base", "head")]
    assert benchsuite.compare(*sides).columns == ("base", "head")


def test_a_frame_has_a_row_for_each_record(tmp_path: Path) -> None:
    run = benchsuite.load(make_run(tmp_path / "run", documents=10, tasks=["cloze"]))
    frame = run.frame()
    assert len(frame) == len(list(run))
    first = ["run", "case_id", "label", "kind", "replicate", "round", "status", "reason", "started", "process_time_s"]
    assert list(frame.columns[: len(first)]) == first
    speed = frame[(frame.kind == "speed") & (frame.status == "ok")]
    assert (speed["time_s"] > 0).all()
    assert (frame[frame.kind == "quality"]["tasks.cloze.acc"] <= 1).all()
    assert set(frame["params.component"].dropna()) == {"activation", "position", "embedding_norm"}


@pytest.mark.parametrize("module", ["torch", "numpy", "pydantic", "rich"])
def test_importing_the_package_imports_nothing_large(module: str) -> None:
    code = f"import sys, benchsuite; sys.exit({module!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], env=os.environ, check=False).returncode == 0
