"""The pytest plug-in: the fixture in ordinary sessions, in pytest-benchmark's files, and in a gate."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = """
import os, time
import pytest, torch

def test_sleeps(speed):
    speed(lambda: time.sleep(0.002 * float(os.environ.get("FACTOR", 1))), threads=1)

def test_right(speed):
    x = torch.randn(64, 64)
    found = speed(lambda: torch.exp(x), tokens=64, results=lambda: [torch.exp(x)], reference=lambda: [x.double().exp()])
    assert found["tokens_per_s"] > 0
    assert found["peak_bytes"] >= 64 * 64 * 4

def test_wrong(speed):
    x = torch.randn(64, 64)
    speed(lambda: x, results=lambda: [x * 1.01], reference=lambda: [x.double()])

def test_elsewhere(speed):
    speed(lambda: None, device="mps")

def test_twice(speed):
    speed(lambda: None)
    speed(lambda: None)

def test_of_something_else():
    pass
"""


@pytest.fixture
def tests(tmp_path: Path) -> Path:
    (tmp_path / "test_it.py").write_text(TESTS)
    return tmp_path


def session(folder: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "BENCHSUITE_CACHE": str(folder / "cache"), "COLUMNS": "200", **variables}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *words]
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)


def test_a_session_times_checks_and_fills_pytest_benchmark(tests: Path) -> None:
    done = session(tests, "--benchmark-json=out.json")
    assert "2 failed, 3 passed, 1 skipped" in done.stdout, done.stdout
    assert "the error against float64 is 0.01" in done.stdout
    assert "times one callable in a test" in done.stdout
    rows = {row["name"]: row for row in json.loads((tests / "out.json").read_text())["benchmarks"]}
    assert rows["test_sleeps"]["stats"]["median"] == pytest.approx(0.0021, rel=0.3)
    assert rows["test_right"]["extra_info"]["tokens_per_s"] == pytest.approx(64 / rows["test_right"]["stats"]["median"])
    assert rows["test_right"]["extra_info"]["error"]["forward"] < 1e-6


def test_a_session_gates(tests: Path) -> None:
    words = ["test_it.py::test_sleeps", "--benchsuite-gate=.", "--benchsuite-head=env:FACTOR=1.3"]
    done = session(tests, *words)
    assert done.returncode == 1, done.stdout + done.stderr
    (folder,) = (tests / "runs").iterdir()
    (row,) = json.loads((folder / "gate.json").read_text())["cases"]
    assert row["case"] == "test_it.py::test_sleeps"
    assert row["verdict"] == "slower"
    assert row["ratio"] == pytest.approx(1.3, rel=0.05)


SERVERS = """
import os, pytest

@pytest.mark.parametrize("name", "ab")
def test_server(speed, name):
    with open("servers", "a") as file:
        print(name, os.getppid(), file=file)
    speed(lambda: None)
"""


def test_each_pair_has_servers_of_its_own_which_all_cases_share(tests: Path) -> None:
    """What a server hands down to its children leans to one side: between equals it must differ from pair to pair."""
    (tests / "test_servers.py").write_text(SERVERS)
    command = [sys.executable, "-m", "benchsuite", "gate", "test_servers.py", "--base=.", "--pairs=4", "-o", "out"]
    env = {**os.environ, "BENCHSUITE_CACHE": str(tests / "cache")}
    done = subprocess.run(command, cwd=tests, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rows = [line.split() for line in (tests / "servers").read_text().splitlines()]
    cases = {server: {name for name, theirs in rows if theirs == server} for _, server in rows}
    assert list(cases.values()) == [{"a", "b"}] * 8, "two servers for each of four pairs"


def test_what_a_test_does_wrong_is_a_finding(tests: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "benchsuite",
        "gate",
        "test_it.py",
        "--base=.",
        "--only=*wrong",
        "--only=*elsewhere",
    ]
    env = {**os.environ, "BENCHSUITE_CACHE": str(tests / "cache")}
    done = subprocess.run([*command, "-o", "out"], cwd=tests, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 5, done.stderr
    findings = {f["case"]: f for f in json.loads((tests / "out" / "gate.json").read_text())["findings"]}
    assert findings["test_it.py::test_wrong"]["kind"] == "unmeasured"
    assert "the error against float64" in findings["test_it.py::test_wrong"]["text"]
    assert findings["test_it.py::test_elsewhere"]["kind"] == "unsupported"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["gate", "test_it.py::test_of_something_else", "--base=."], "uses the fixture 'speed'"),
        (["gate", "test_it.py", "--base=.", "--set=a=b"], "tests have no keys"),
        (["gate", "test_broken.py", "--base=."], "pytest cannot collect"),
    ],
)
def test_what_cannot_be_planned_is_said(tests: Path, words: list[str], said: str) -> None:
    (tests / "test_broken.py").write_text("import nothing_of_that_name\n")
    done = subprocess.run(
        [sys.executable, "-m", "benchsuite", *words], cwd=tests, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr


GIVEN = """
import os
import pytest, torch

head = os.environ["SIDE"] == "head"
x = torch.randn(64)

def test_tokens(speed):
    speed(lambda: x + 1, tokens=2000 if head else 20000)

def test_dtype(speed):
    speed(lambda: x + 1, dtype="bfloat16" if head else "float32")

def test_threads(speed):
    speed(lambda: x + 1, threads=1 if head else 2)

def test_reference(speed):
    checks = {} if head else {"results": lambda: [x + 1], "reference": lambda: [x.double() + 1]}
    speed(lambda: x + 1, **checks)

@pytest.mark.parametrize("n", [2000 if head else 20000], ids=["small"])
def test_parameter(speed, n):
    speed(lambda: x + 1)

def test_equal(speed):
    speed(lambda: x + 1, tokens=64)
"""


def test_what_the_fixture_is_given_is_part_of_the_case(tests: Path) -> None:
    (tests / "test_given.py").write_text(GIVEN)
    command = [sys.executable, "-m", "benchsuite", "gate", "test_given.py", "--base=env:SIDE=base"]
    command += ["--head=env:SIDE=head", "--pairs=2", "-o", "out"]
    env = {**os.environ, "BENCHSUITE_CACHE": str(tests / "cache")}
    done = subprocess.run(command, cwd=tests, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    document = json.loads((tests / "out" / "gate.json").read_text())
    assert [row["case"] for row in document["cases"]] == ["test_given.py::test_equal"]
    assert document["verdict"] == "unclear", "what is another measurement was not compared"
    found = {row["case"].partition("::test_")[2]: row["text"] for row in document["findings"]}
    assert {row["kind"] for row in document["findings"]} == {"changed"}
    assert {name: text.partition(": ")[2] for name, text in found.items()} == {
        "tokens": "tokens was 20000 and is 2000",
        "dtype": "dtype was float32 and is bfloat16",
        "threads": "threads was 2 and is 1",
        "reference": "checked was True and is False",
        "parameter[small]": "parameters was {'n': '20000'} and is {'n': '2000'}",
    }
    lines = (tests / "out" / "head" / "records.jsonl").read_text().splitlines()
    results = [row["result"] for row in map(json.loads, lines) if row["result"]]
    given = next(result["given"] for result in results if result["tokens"] == 64)
    assert (given["dtype"], given["device"], given["checked"]) == ("float32", "cpu", False)
