"""`benchsuite selftest` and `peers` on a device of paper: the engine's records, the tables, and the exit codes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from benchsuite.cli import build_app, selftest
from benchsuite.engine import estimate
from benchsuite.errors import UserError
from benchsuite.measure import sanitizers
from benchsuite.planning import plan
from benchsuite.planning.plan import Machine


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Writes the script of the device: our kernels take 1 ms, everything else 3 ms, and what else is given."""

    def write(*entries: dict[str, Any]) -> None:
        path = tmp_path / "script.yaml"
        ours = {"case": "operator/*/fused/*", "time_s": [0.001]}
        path.write_text(json.dumps([{"case": "*", "time_s": [0.003]}, ours, *entries]))
        monkeypatch.setenv("BENCHSUITE_FAKE_DEVICE", str(path))

    write()
    return write


pytestmark = pytest.mark.slow


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(build_app(), [*arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout


def test_operators_are_checked_timed_in_rounds_and_shown(script: Any, tmp_path: Path) -> None:
    command = ("selftest", "--device", "fake", "--quick", "--only", "swiglu", "--markdown", "-o", str(tmp_path / "run"))
    code, page = run(*command)
    assert code == 0
    assert page == (tmp_path / "run" / "operators.md").read_text()
    assert "4 of 4 checks against float64 passed" in page
    assert "| swiglu | 1 | 3.00x [3.00, 3.00] | 3.00x [3.00, 3.00] | 3.00x [3.00, 3.00] |" in page
    assert "## Every shape, forward and backward, float32" in page
    records = [json.loads(line) for line in (tmp_path / "run" / "records.jsonl").read_text().splitlines()]
    timed = [row for row in records if row["result"] and row["result"]["samples_s"]]
    assert {row["replicate"] for row in timed} == {0, 1, 2}
    rounds = {row["round"] for row in timed}
    assert len(rounds) == 3
    assert all(sum(row["round"] == number for row in timed) == 3 for number in rounds)
    assert (tmp_path / "run" / "report.md").exists()


def test_a_wrong_operator_exits_5_and_is_in_no_summary(script: Any, tmp_path: Path) -> None:
    script({"case": "operator/swiglu/fused/check/*", "fails": "wrong"})
    command = ("selftest", "--device", "fake", "--quick", "--only", "swiglu", "-o", str(tmp_path / "run"), "--json")
    code, out = run(*command)
    document = json.loads(out)
    assert code == document["exit_code"] == 5
    assert (document["checks"], document["passed"], document["summary"]) == (4, 0, [])
    assert any("incorrect, 1x1: the error against float64" in words for words in document["wrong"])


def test_an_operator_that_is_wrong_where_it_is_timed_has_no_time(script: Any, tmp_path: Path) -> None:
    script({"case": "operator/swiglu/fused/operator/*", "fails": "wrong"})
    command = ("selftest", "--device", "fake", "--quick", "--only", "swiglu", "-o", str(tmp_path / "run"), "--json")
    code, out = run(*command)
    document = json.loads(out)
    assert code == 5
    assert document["passed"] == 4
    assert {row["time_s"] for row in document["rows"]} == {None}
    assert {rival["ratio"] for row in document["rows"] for rival in row["rivals"]} == {None}


def test_check_only_times_nothing(script: Any, tmp_path: Path) -> None:
    command = ("selftest", "--device", "fake", "--check-only", "--only", "*norm", "-o", str(tmp_path / "run"), "--json")
    code, out = run(*command)
    document = json.loads(out)
    assert code == 0
    assert (document["checks"], document["passed"], document["rows"]) == (8, 8, [])


def test_what_cannot_be_is_said(script: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no case has such a label"):
        run("selftest", "--device", "fake", "--only", "swiglew")
    with pytest.raises(UserError, match="unknown device"):
        run("selftest", "--device", "tpu")
    monkeypatch.setattr(Machine, "here", lambda device: Machine(cores=2, no_kernels="no compiler"))
    with pytest.raises(UserError, match="no operators to test: no compiler"):
        run("selftest")
    assert not list(tmp_path.glob("run*"))


@pytest.mark.parametrize(("code", "words"), [(0, "clean"), (9, "exit code 9: 1 error / of this kind")])
def test_compute_sanitizer_runs_with_every_tool_where_it_is(
    code: int, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool = tmp_path / "compute-sanitizer"
    tool.write_text(f"#!/bin/sh\necho $@ >> {tmp_path}/calls\necho 1 error\necho of this kind\nexit {code}\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    found = sanitizers.run("cuda:1", ("swiglu",), 60)
    assert found == dict.fromkeys(sanitizers.TOOLS, words)
    assert sanitizers.dirty(found) == (code != 0)
    calls = (tmp_path / "calls").read_text().splitlines()
    assert [call.split()[1] for call in calls] == list(sanitizers.TOOLS)
    assert all("selftest --device cuda:1 --check-only" in call and call.endswith("--only swiglu") for call in calls)


def test_without_compute_sanitizer_it_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    found = sanitizers.run("cuda", (), 60)
    assert set(found.values()) == {"not run: compute-sanitizer is not on PATH"}
    assert not sanitizers.dirty(found)


def test_a_tool_that_does_not_end_is_ended_with_what_it_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool = tmp_path / "compute-sanitizer"
    tool.write_text(f"#!/bin/sh\nsleep 600 &\necho $! >> {tmp_path}/children\nwait\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(sanitizers, "TOOLS", ("memcheck",))
    code, out = run("selftest", "--device", "cuda", "--sanitize", "--limit", "1", "--json")
    assert json.loads(out)["sanitizers"] == {"memcheck": "not finished after 1 s"}
    assert code == 0
    child = Path("/proc", (tmp_path / "children").read_text().strip(), "stat")
    assert not child.exists() or child.read_text().split()[2] == "Z"


def test_the_sanitizers_are_of_cuda() -> None:
    with pytest.raises(UserError, match="compute-sanitizer checks CUDA, not cpu"):
        run("selftest", "--device", "cpu", "--sanitize")


def test_on_a_gpu_it_is_planned_for_less_than_three_minutes() -> None:
    machine = Machine(cores=8, device="cuda")
    planned = plan.resolve(selftest._suite(quick=False, check_only=False, gpu=True), machine)
    assert {case.kind for case in planned.cases} == {"check", "operator"}
    starts = sum(case.kind == "check" for case in planned.cases) + 3 * len({c.group for c in planned.cases})
    assert estimate.of(planned, 1).most_s + starts * 1.0 < 180  # a second for CUDA in each process, or ring of them
