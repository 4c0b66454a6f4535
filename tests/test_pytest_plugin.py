"""The pytest plug-in: the fixture in ordinary sessions, in pytest-benchmark's files, and in a gate."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.command import call

pytestmark = pytest.mark.slow

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


def gate(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """A gate in this process; its sides are asked and measured in theirs."""
    return call(*words, folder=folder, BENCHSUITE_CACHE=str(folder / "cache"))


def test_a_session_times_checks_and_fills_pytest_benchmark(tests: Path) -> None:
    done = session(tests, "--benchmark-json=out.json")
    assert "2 failed, 3 passed, 1 skipped" in done.stdout, done.stdout
    assert "the error against float64 is 0.01" in done.stdout
    assert "times one callable in a test" in done.stdout
    rows = {row["name"]: row for row in json.loads((tests / "out.json").read_text())["benchmarks"]}
    assert rows["test_sleeps"]["stats"]["median"] == pytest.approx(0.0021, rel=0.3)
    assert rows["test_right"]["extra_info"]["tokens_per_s"] == pytest.approx(
        64 / rows["test_right"]["stats"]["median"], rel=1e-4
    )
    assert rows["test_right"]["extra_info"]["error"]["forward"] < 1e-6


@pytest.mark.long
def test_a_session_gates(tests: Path) -> None:
    words = ["test_it.py::test_sleeps", "--benchsuite-gate=.", "--benchsuite-head=env:FACTOR=2"]
    done = session(tests, *words)
    assert done.returncode == 1, done.stdout + done.stderr
    (folder,) = (tests / "runs").iterdir()
    (row,) = json.loads((folder / "gate.json").read_text())["cases"]
    assert row["case"] == "test_it.py::test_sleeps"
    assert row["verdict"] == "slower"
    assert row["ratio"] == pytest.approx(2, rel=0.1)


SWITCHED = """
import pytest, torch

def called():
    with open("calls", "a") as file:
        file.write("x")

@pytest.mark.benchmark(group="mine")
def test_called(speed):
    found = speed(called, tokens=3)
    assert (found["tokens_per_s"] is None) == (not found["samples_s"])

def test_wrong(speed):
    x = torch.ones(2)
    speed(called, results=lambda: [x], reference=lambda: [2 * x.double()])

@pytest.mark.parametrize("speed", [1])
def test_of_another_speed(speed):
    assert speed == 1
"""


@pytest.mark.parametrize(
    ("switches", "calls", "outcome"),
    [
        ("--benchmark-only", "many", "1 failed, 1 passed, 1 skipped"),
        ("--benchmark-skip", 0, "1 passed, 2 skipped"),
        ("--benchmark-disable", 2, "1 failed, 2 passed"),
        ("-n1", 2, "1 failed, 2 passed"),
        ("-n1 -p no:benchmark", 2, "1 failed, 2 passed"),
        ("-p no:benchmark", "many", "1 failed, 2 passed"),
    ],
)
def test_switches_of_pytest_benchmark_and_of_xdist_hold(
    tmp_path: Path, switches: str, calls: int | str, outcome: str
) -> None:
    (tmp_path / "test_switched.py").write_text(SWITCHED)
    (tmp_path / "calls").touch()
    done = session(tmp_path, *switches.split())
    assert outcome in done.stdout, done.stdout
    made = len((tmp_path / "calls").read_text())
    assert made > 100 if calls == "many" else made == calls
    assert ("test_switched.py::test_called  " in done.stdout) == (calls == "many"), "the table has what was measured"
    assert "was not used" not in done.stdout.partition("test_wrong")[0]


def test_the_table_tells_tokens_memory_and_error_and_groups_are_kept(tests: Path) -> None:
    (tests / "test_group.py").write_text(SWITCHED)
    done = session(tests, "test_it.py::test_right", "test_group.py::test_called")
    lines = {line.split()[0]: line.split() for line in done.stdout.splitlines() if "::" in line}
    _, _, _, tokens, *memory, error = lines["test_it.py::test_right"]
    assert (tokens[-1] in "kMG", memory[-1], float(error) < 1e-6) == (True, "KiB", True)
    assert lines["test_group.py::test_called"][-2:] == ["not", "measured"]
    assert "benchmark 'mine': 1 tests" in done.stdout


def test_a_gate_is_not_shared_out(tests: Path) -> None:
    done = session(tests, "-n2", "--benchsuite-gate=.")
    assert done.returncode == 4
    assert "leave pytest-xdist's -n out" in done.stderr


@pytest.mark.long
def test_a_projects_own_settings_do_not_keep_a_gate_from_measuring(tests: Path) -> None:
    (tests / "pytest.ini").write_text("[pytest]\naddopts = -n2 --benchmark-skip\n")
    words = ["gate", "test_it.py", "--only=*sleeps", "--base=.", "--pairs=2", "-o", "out"]
    done = gate(tests, *words)
    assert done.returncode == 0, done.stderr
    (row,) = json.loads((tests / "out" / "gate.json").read_text())["cases"]
    assert row["pairs"] == 2


NAN = """
import torch
x = torch.full((4,), float("nan"))

def test_returned(speed):
    speed(lambda: {"loss": [x]})

def test_float(speed):
    speed(lambda: float("nan"))

def test_against_a_reference(speed):
    speed(lambda: x, results=lambda: [torch.zeros(4), x], reference=lambda: [torch.zeros(4).double(), x.double() * 0])

def test_reference_itself(speed):
    speed(lambda: 0, results=lambda: [torch.zeros(4)], reference=lambda: [x.double()])

def test_results_alone(speed):
    speed(lambda: 0, results=lambda: [x])
"""


def test_nan_is_incorrect_with_a_reference_and_without(tmp_path: Path) -> None:
    (tmp_path / "test_nan.py").write_text(NAN)
    done = gate(tmp_path, "gate", "test_nan.py", "--base=.", "--pairs=2", "-o", "out")
    assert done.returncode == 5, done.stderr
    texts = {f["case"]: f["text"] for f in json.loads((tmp_path / "out" / "gate.json").read_text())["findings"]}
    assert len(texts) == 5
    for case, text in texts.items():
        name = "reference" if "itself" in case else "output"
        assert text == f"incorrect at base, incorrect at head: the {name} holds NaN"


SERVERS = """
import os, psutil, pytest

@pytest.mark.parametrize("name", "ab")
def test_server(speed, name):
    with open("servers", "a") as file:
        print(name, psutil.Process(os.getppid()).ppid(), file=file)  # above the job is its nanny
    speed(lambda: None)
"""


@pytest.mark.long
def test_each_pair_has_servers_of_its_own_which_all_cases_share(tests: Path) -> None:
    """What a server hands down to its children leans to one side: between equals it must differ from pair to pair."""
    (tests / "test_servers.py").write_text(SERVERS)
    done = gate(tests, "gate", "test_servers.py", "--base=.", "--pairs=2", "-o", "out")
    assert done.returncode == 0, done.stderr
    rows = [line.split() for line in (tests / "servers").read_text().splitlines()]
    cases = {server: {name for name, theirs in rows if theirs == server} for _, server in rows}
    assert list(cases.values()) == [{"a", "b"}] * 4, "two servers for each of two pairs"


def test_what_a_test_does_wrong_is_a_finding(tests: Path) -> None:
    done = gate(tests, "gate", "test_it.py", "--base=.", "--only=*wrong", "--only=*elsewhere", "-o", "out")
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
        (["gate", "test_ends.py", "--base=."], "pytest cannot collect"),
        (["gate", "test_leaves.py", "--base=."], "pytest cannot collect"),
        (["gate", "test_dies.py", "--base=."], "Python ended with exit status 0 before it could answer"),
        (["gate", "ending", "--base=."], "what pytest imports ends Python with exit status 0"),
    ],
)
def test_what_cannot_be_planned_is_said(tests: Path, words: list[str], said: str) -> None:
    (tests / "test_broken.py").write_text("import nothing_of_that_name\n")
    (tests / "test_ends.py").write_text("import sys\nsys.exit(0)\n")
    (tests / "test_leaves.py").write_text("import pytest\npytest.exit('enough', returncode=0)\n")
    (tests / "test_dies.py").write_text("import os\nos._exit(0)\n")
    (tests / "ending").mkdir()
    (tests / "ending" / "conftest.py").write_text("import sys\nsys.exit(0)\n")
    done = gate(tests, *words)
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
    sides = ("--base=env:SIDE=base", "--head=env:SIDE=head")
    done = gate(tests, "gate", "test_given.py", *sides, "--pairs=2", "-o", "out")
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


NOISY = """
import os, sys
print('{"cases": []}')
os.write(1, b'}{ not JSON \\xff\\n')
os.write(2, b'\\xff\\n')
print("more", file=sys.__stdout__)
"""


@pytest.mark.long
def test_what_is_printed_at_import_does_not_reach_the_gate(tests: Path) -> None:
    (tests / "conftest.py").write_text(NOISY)
    (tests / "test_noisy.py").write_text(
        NOISY + "\ndef test_quick(speed):\n    print(1)\n    speed(lambda: print(2))\n"
    )
    words = ["gate", "test_noisy.py", "--base=.", "--pairs=2", "-o", "out", "--json"]
    command = [sys.executable, "-m", "benchsuite", *words]
    env = {**os.environ, "BENCHSUITE_CACHE": str(tests / "cache")}
    done = subprocess.run(command, cwd=tests, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (row,) = json.loads(done.stdout)["cases"]
    assert row["pairs"] == 2
