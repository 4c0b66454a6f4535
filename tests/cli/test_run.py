"""`benchsuite run` as a process: interrupted, killed, resumed, refused, and with variants that go wrong."""

from __future__ import annotations

import json
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import typer
from support.processes import (
    MEASUREMENTS,
    SUITE,
    begin,
    environment_of,
    finish,
    gone,
    relatives,
    rows,
    run,
    wait_for_records,
)
from typer.testing import CliRunner

import benchsuite
from benchsuite.cli import run as run_command
from benchsuite.engine import session
from benchsuite.errors import UserError
from benchsuite.records import schema
from benchsuite.records.case import SCHEMA_VERSION

pytestmark = pytest.mark.slow


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text(SUITE)
    return path


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return environment_of(tmp_path)


def test_a_run_leaves_one_record_for_each_planned_measurement(
    tmp_path: Path, suite: Path, environment: dict[str, str]
) -> None:
    code, out, err = run(environment, "run", suite, "-o", tmp_path / "run")
    assert code == 0, err
    assert "a short table" in out
    assert f"[{MEASUREMENTS}/{MEASUREMENTS}] ok" in err
    assert str(tmp_path / "run/report.html") in err
    manifest = json.loads((tmp_path / "run/manifest.json").read_text())
    assert manifest["schema_version"] == SCHEMA_VERSION
    assert {"suite", "created", "command", "benchsuite_version", "resolved_suite", "hardware"} <= set(manifest)
    planned = [(case["id"], replicate) for case in manifest["cases"] for replicate in case["replicates"]]
    recorded = [(row["case_id"], row["replicate"]) for row in rows(tmp_path / "run")]
    assert sorted(recorded) == sorted(planned)
    assert len(planned) == MEASUREMENTS
    kinds = [comparison["kind"] for comparison in manifest["comparisons"]]
    assert kinds == ["speed", "speed", "quality", "quality", "control"]


def test_json_is_the_only_thing_on_stdout(tmp_path: Path, suite: Path, environment: dict[str, str]) -> None:
    code, out, _ = run(environment, "run", suite, "-o", tmp_path / "run", "--json", "--only", "activation/*")
    assert code == 0
    document = json.loads(out)
    assert document["cases"] == {"ok": 12}
    assert document["exit_code"] == 0
    assert document["report"] == {kind: str(tmp_path / f"run/report.{kind}") for kind in ("html", "md", "json")}


def test_four_bad_variants_leave_four_records_and_exit_5(
    tmp_path: Path, suite: Path, environment: dict[str, str]
) -> None:
    overrides = ["speed.cases.0.variants=[raise, memory, hang, segfault]", "speed.rounds=1", "speed.timeout_s=2"]
    options = [part for override in overrides for part in ("--set", override)]
    folder = tmp_path / "run"
    code, out, err = run(
        environment, "run", suite, "-o", folder, *options, "--only", "activation/*", "--memory-limit", "300M", "--json"
    )
    assert code == 5, err
    assert [row["status"] for row in rows(folder)] == ["ok", "error", "oom", "timeout", "error"]
    assert json.loads(out)["cases"] == {"ok": 1, "error": 2, "oom": 1, "timeout": 1}
    assert "4 measurements failed (1 oom, 1 timeout, 2 error)" in err


def kill_and_resume(folder: Path, suite: Path, environment: dict[str, str], seed: int, kills: int = 5) -> None:
    """Run the suite into `folder`, killed so many times: while it starts, or after its next record."""
    moments = random.Random(seed)
    process = begin(environment, "run", suite, "-o", folder)
    wait_for_records(folder, 1)
    for _ in range(kills):
        time.sleep(moments.uniform(0.0, 0.25))
        process.kill()
        process.communicate()
        assert any(gone(process.pid)), f"processes of the killed run live on: {relatives(process.pid)}"
        if moments.random() < 0.5:  # what a crash in the middle of a write leaves
            with open(folder / "records.jsonl", "ab") as file:
                file.write(b'{"schema_version": 1, "case_id": "tor')
        before = len([line for line in (folder / "records.jsonl").read_bytes().split(b"\n") if line.endswith(b"}")])
        process = begin(environment, "run", "--resume", folder)
        if moments.random() < 0.75:
            wait_for_records(folder, min(before + 1, MEASUREMENTS))
        else:
            time.sleep(moments.uniform(0.0, 1.0))
    code, _, err = finish(process)
    assert code == 0, err


def essence(folder: Path) -> list[Any]:
    """All of the planned records that does not depend on the moment, and the models. Where a kill cost one of them its
    round, the others of the ring have a further record."""
    found: list[Any] = []
    planned = {case["id"]: case["replicates"] for case in json.loads((folder / "manifest.json").read_text())["cases"]}
    recorded = [(row["case_id"], row["replicate"]) for row in rows(folder)]
    assert len(set(recorded)) == len(recorded)
    for row in rows(folder):
        if row["replicate"] not in planned[row["case_id"]]:
            continue
        passing = ("pid", "context", "samples_s", "monitor")
        result = {key: value for key, value in row["result"].items() if key not in passing}
        found.append((row["case_id"], row["replicate"], row["status"], row["reason"], json.dumps(result)))
    return [sorted(found), sorted(p.name for p in (folder / "models").iterdir())]


def test_killed_at_random_moments_and_resumed_it_is_the_same_run(
    tmp_path: Path, suite: Path, environment: dict[str, str]
) -> None:
    kill_and_resume(tmp_path / "killed", suite, environment, seed=7, kills=3)
    assert run(environment, "run", suite, "-o", tmp_path / "whole")[0] == 0
    assert essence(tmp_path / "killed") == essence(tmp_path / "whole")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """What a run that nobody killed leaves."""
    folder = tmp_path_factory.mktemp("whole")
    (folder / "small.yaml").write_text(SUITE)
    assert run(environment_of(folder), "run", folder / "small.yaml", "-o", folder / "run")[0] == 0
    return essence(folder / "run")


@pytest.mark.long
@pytest.mark.parametrize("seed", range(40))
def test_two_hundred_kill_points(
    tmp_path: Path, suite: Path, environment: dict[str, str], whole: list[Any], seed: int
) -> None:
    kill_and_resume(tmp_path / "killed", suite, environment, seed)
    assert essence(tmp_path / "killed") == whole


def test_a_budget_below_the_least_is_refused_before_anything_begins(
    tmp_path: Path, suite: Path, environment: dict[str, str]
) -> None:
    folder = tmp_path / "run"
    code, _, err = run(environment, "run", suite, "-o", folder, "--budget", "5s")
    assert code == 2
    assert "5.0 s are less than a valid answer takes, about" in err
    assert "3 rounds of each speed comparison and 2 seeds of each model" in err
    assert not folder.exists()
    enough = re.search(r"try --budget (\d+m)", err)
    assert enough, err
    code, _, err = run(environment, "run", suite, "-o", folder, "--budget", enough[1])
    assert code == 0, err
    assert not re.search(r"\b0\.0 s left", err)
    done = run(environment, "run", "--resume", folder, "--budget", "6s")
    assert done[0] == 0, "what is done takes no time"


def test_a_torn_line_is_repaired_and_said(tmp_path: Path, suite: Path, environment: dict[str, str]) -> None:
    folder = tmp_path / "run"
    run(environment, "run", suite, "-o", folder, "--only", "activation/*")
    path = folder / "records.jsonl"
    path.write_bytes(path.read_bytes()[:-30])
    code, _, err = run(environment, "run", "--resume", folder)
    assert code == 0
    assert "torn" in err
    assert "12 measurements, 11 of them recorded already" in err
    recorded = {(row["case_id"], row["replicate"]) for row in rows(folder)}
    manifest = json.loads((folder / "manifest.json").read_text())
    assert {(case["id"], replicate) for case in manifest["cases"] for replicate in case["replicates"]} <= recorded
    assert len(rows(folder)) == len(recorded) == 13, "the case whose record was lost, and its baseline, in a new round"


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_interrupted_it_exits_130_and_says_how_to_go_on(
    tmp_path: Path, suite: Path, environment: dict[str, str], signum: signal.Signals
) -> None:
    folder = tmp_path / "run"
    process = begin(environment, "run", suite, "-o", folder, "--set", "speed.sample_s=0.2", "--json")
    wait_for_records(folder, 2)
    process.send_signal(signum)
    code, out, err = finish(process)
    assert code == 130
    assert f"benchsuite run --resume {folder}" in err
    assert json.loads(out)["resume"] == f"benchsuite run --resume {folder}"
    assert not relatives(process.pid)
    assert 2 <= len(rows(folder)) < MEASUREMENTS


def test_a_second_run_waits_for_the_first_or_refuses(tmp_path: Path, suite: Path, environment: dict[str, str]) -> None:
    first = begin(environment, "run", suite, "-o", tmp_path / "first", "--set", "speed.sample_s=60")
    while not (tmp_path / "first/manifest.json").exists():
        assert first.poll() is None
        time.sleep(0.02)
    code, _, err = run(environment, "run", suite, "-o", tmp_path / "refused", "--no-wait")
    assert code == 2
    assert str(tmp_path / "first") in err
    assert str(first.pid) in err
    assert not (tmp_path / "refused").exists()
    waiting = begin(environment, "run", suite, "-o", tmp_path / "second", "--only", "activation/relu*")
    assert waiting.stderr is not None
    assert waiting.stderr.readline().startswith("device: cpu")
    assert "waiting for it to end" in waiting.stderr.readline()
    first.kill()
    first.communicate()
    code, _, err = finish(waiting)
    assert code == 0
    assert "it has ended" in err


def test_resume_continues_only_the_same_run(suite: Path) -> None:
    resolved = benchsuite.plan(suite)
    manifest = json.loads(json.dumps(session.manifest(resolved)))
    manifest["schema_version"] = SCHEMA_VERSION

    def again(content: dict[str, Any], suite: str | None) -> benchsuite.Plan:
        return session.planned_again(schema.MANIFEST.validate_python(content), suite)

    assert again(manifest, None) == resolved
    assert again(manifest, str(suite)) == resolved

    def refused(change: dict[str, Any], suite: str | None = None) -> str:
        with pytest.raises(UserError) as error:
            again({**manifest, **change}, suite)
        return error.value.message

    cases = [{**case, "id": "0" * 12} if n == 0 else case for n, case in enumerate(manifest["cases"])]
    assert "other cases" in refused({"cases": cases})
    hardware = {"identity": {**manifest["hardware"]["identity"], "cpu": "an abacus"}}
    assert "an abacus" in refused({"hardware": hardware})
    with pytest.raises(UserError, match="so --seeds cannot change it"):
        run_command.command(resume=suite.parent, seeds=3)
    assert "of the suite 'other'" in refused({"suite": "other"}, suite=str(suite))


def test_resume_refuses_what_is_no_run_or_has_another_schema(tmp_path: Path, environment: dict[str, str]) -> None:
    code, _, err = run(environment, "run", "--resume", tmp_path)
    assert code == 2
    assert "is not a run directory" in err
    (tmp_path / "manifest.json").write_text('{"schema_version": 99}')
    code, _, err = run(environment, "run", "--resume", tmp_path)
    assert code == 2
    assert "schema_version 99 is newer" in err


def test_a_directory_with_something_in_it_is_left_alone(
    tmp_path: Path, suite: Path, environment: dict[str, str]
) -> None:
    folder = tmp_path / "full"
    folder.mkdir()
    (folder / "thesis.tex").write_text("ten years")
    code, _, err = run(environment, "run", suite, "-o", folder)
    assert code == 2
    assert "not empty" in err
    assert [path.name for path in folder.iterdir()] == ["thesis.tex"]


WRONG_FILES = {
    "empty.yaml": (b"", "empty.yaml: the file is empty"),
    "binary.yaml": (bytes(range(256)), "binary.yaml:2: byte 0x80"),
    "key.yaml": (SUITE.replace("seeds:", "sedes:").encode(), "key.yaml:11: quality.sedes: unknown key"),
    "type.yaml": (
        SUITE.replace("60k", "[1]").encode(),
        "type.yaml:12: quality.train.tokens: should be a valid",
    ),
    "variant.yaml": (SUITE.replace("alibi", "alibo").encode(), "variant.yaml:13: quality.variants.position: there is"),
    "cycle.yaml": (b"include: cycle.yaml", "include one another in a circle"),
}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "which suite?"),
        (["no_such_suite"], "there is no suite 'no_such_suite'"),
        (["SUITE", "--only", "activaton/*"], "no case has such a label"),
        (["SUITE", "--corpus", "no_such_corpus"], "there is no corpus 'no_such_corpus'"),
        (["SUITE", "--memory-limit", "much"], "--memory-limit much"),
        (["SUITE", "--set", "quality.train.tokns=1"], "did you mean 'tokens'?"),
        (["SUITE", "--device", "tpu"], "unknown device 'tpu'"),
        *(([name], words) for name, (_, words) in WRONG_FILES.items()),
        (["large.yaml"], "large.yaml has 104,857,600 bytes"),
    ],
)
def test_wrong_usage_is_one_message_and_nothing_is_begun(
    tmp_path: Path, suite: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, (data, _) in WRONG_FILES.items():
        Path(name).write_bytes(data)
    with open("large.yaml", "wb") as file:
        file.truncate(100 * 1024**2)
    app = typer.Typer()
    app.command()(run_command.command)
    given = [str(suite) if argument == "SUITE" else argument for argument in arguments]
    result = CliRunner().invoke(app, [*given, "-o", "run"])
    assert isinstance(result.exception, UserError)
    assert result.exception.exit_code == 2
    assert words in result.exception.message
    assert not Path("run").exists()


def test_a_user_error_exits_2_without_traceback(suite: Path, environment: dict[str, str]) -> None:
    code, out, err = run(environment, "run", suite, "--set", "quality.sedes=3")
    assert (code, out) == (2, "")
    [device, said] = err.splitlines()
    assert device.startswith("device: cpu")
    assert said == "benchsuite: --set quality.sedes=3: quality.sedes: unknown key; did you mean 'seeds'?"


PLUGIN = """
import ctypes, time
from benchsuite.components import variant

@variant("activation", "plug_raise", summary="raises", source="a test")
def plug_raise():
    raise ValueError("the variant raises")

@variant("activation", "plug_memory", summary="wants too much", source="a test")
def plug_memory():
    import torch
    return lambda x: torch.empty(2**42)

@variant("activation", "plug_hang", summary="hangs", source="a test")
def plug_hang():
    return lambda x: time.sleep(3600)

@variant("activation", "plug_segfault", summary="crashes", source="a test")
def plug_segfault():
    return lambda x: ctypes.string_at(0)
"""


@pytest.mark.long
def test_bad_plug_in_variants_are_measured_as_any_other(tmp_path: Path, environment: dict[str, str]) -> None:
    """The whole path, nothing replaced: an installed plug-in, torch in the workers, records, report, exit code."""
    plugins = tmp_path / "site"
    (plugins / "bad_variants-1.0.dist-info").mkdir(parents=True)
    (plugins / "bad_variants-1.0.dist-info/METADATA").write_text(
        "Metadata-Version: 2.1\nName: bad-variants\nVersion: 1\n"
    )
    (plugins / "bad_variants-1.0.dist-info/entry_points.txt").write_text(
        "[benchsuite.components]\nbad = bad_variants\n"
    )
    (plugins / "bad_variants.py").write_text(PLUGIN)
    path = tmp_path / "bad.yaml"
    path.write_text("""
name: bad
model: {layers: 1, width: 8, heads: 2, vocab: 300, seq: 8}
speed:
  rounds: 1
  most_rounds: 1
  sample_s: 0.05
  timeout_s: 6
  cases:
    - component: activation
      variants: [plug_raise, plug_memory, plug_hang, plug_segfault, relu]
      shape: {batch: 1}
""")
    folder = tmp_path / "run"
    command = [sys.executable, "-m", "benchsuite", "run", str(path), "-o", str(folder)]
    done = subprocess.run(
        command, env={**environment, "PYTHONPATH": str(plugins)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 5, done.stderr
    found = {row["status"]: row["reason"] for row in rows(folder)}
    labels = {case["id"]: case["label"] for case in json.loads((folder / "manifest.json").read_text())["cases"]}
    statuses = {labels[row["case_id"]].split("/")[1]: row["status"] for row in rows(folder)}
    bad = {"plug_raise": "error", "plug_memory": "oom", "plug_hang": "timeout", "plug_segfault": "error"}
    assert statuses == {"gelu": "ok", "relu": "ok", **bad}
    assert "SIGSEGV" in found["error"]
    assert "no result within" in found["timeout"]
    assert (folder / "report.html").exists()
