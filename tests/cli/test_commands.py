"""The small commands, as a person types them: list, doctor, pretrain, evaluate, and what they say to bad input."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.command import call

from benchsuite import __version__

HEAVY = ("torch", "transformers", "lm_eval", "datasets", "scipy", "numpy")


def process(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    """For what is looked up once in a process: compilers, and whether the hub may be reached."""
    command = [sys.executable, "-m", "benchsuite", *arguments]
    return subprocess.run(command, env={**os.environ, **env}, capture_output=True, text=True, check=False)


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [["--help"], ["list", "components"], ["list", "implementations"]])
def test_the_quick_commands_import_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import sys; from benchsuite.cli import build_app\n"
        "try: build_app()(sys.argv[1:])\n"
        "except SystemExit: pass\n"
        f"print([name for name in {HEAVY} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)
    assert done.stderr.strip() == "[]"
    assert len(done.stdout.splitlines()) > 3


@pytest.mark.slow
def test_the_version_is_printed_alone() -> None:
    assert process("--version").stdout.strip() == __version__


@pytest.mark.parametrize(
    ("what", "names"),
    [
        ("suites", {"quick", "nano"}),
        ("components", {"activation", "position", "embedding_norm"}),
        ("implementations", {"eager", "compile", "sdpa"}),
        ("corpora", {"curated", "web_raw", "web_filtered", "installed"}),
        ("tasks", {"recall_far", "arithmetic", "agreement"}),
    ],
)
def test_everything_can_be_listed_for_people_and_programs(what: str, names: set[str]) -> None:
    rows = json.loads(call("list", what, "--json").stdout)
    first = next(iter(rows[0]))
    assert names <= {row[first] for row in rows}
    for name in names:
        assert name in call("list", what, COLUMNS="200").stdout


@pytest.mark.parametrize("columns", ["60", "20", "none"])
def test_no_width_loses_a_name(columns: str) -> None:
    """Rows are folded where there is room for words, and run over where there is not; a pipe has no width."""
    names = [row["variant"] for row in json.loads(call("list", "components", "--json").stdout)]
    shown = call("list", "components", COLUMNS=columns).stdout
    assert set(names) <= set(shown.split())
    assert {"embedding_norm", "arXiv:2104.09864"} <= set(shown.split())
    if columns == "none":
        assert len(shown.splitlines()) == len(names) + 1


def test_keys_of_lists_are_words_for_programs() -> None:
    for what in ("suites", "components", "implementations", "corpora", "tasks", "bigscience27", "scales"):
        for row in json.loads(call("list", what, "--json").stdout):
            assert all(key.isidentifier() for key in row), row
    tasks = json.loads(call("list", "tasks", "--json").stdout)
    assert {type(row["random_acc"]) for row in tasks} == {float}


@pytest.mark.slow
def test_doctor_says_what_works_and_how_to_mend_the_rest(tmp_path: Path) -> None:
    env = {"PATH": str(tmp_path), "HF_HUB_OFFLINE": "1"}
    found = json.loads(process("doctor", "--json", "--noise", "0", **env).stdout)
    checks = {check["what"]: check for check in found["checks"]}
    assert checks["eager, sdpa"]["works"]
    assert not checks["compile"]["works"]
    assert checks["compile"]["fix"]
    assert checks["hub corpora"]["fix"] == "unset HF_HUB_OFFLINE"
    assert found["hardware"]["identity"]["cores"] >= 1
    assert "compile" in process("doctor", "--noise", "0.5", **env).stdout


@pytest.mark.slow
def test_doctor_claims_nothing_of_a_hub_that_it_has_not_asked() -> None:
    def hub(*options: str) -> dict[str, object]:
        env = {"HF_HUB_OFFLINE": "0", "HF_ENDPOINT": "http://127.0.0.1:9"}  # nobody listens on the discard port
        found = json.loads(process("doctor", "--json", "--noise", "0", *options, **env).stdout)
        [row] = [check for check in found["checks"] if check["what"] == "hub corpora"]
        return row

    assert hub()["works"] is None
    assert hub("--hub")["works"] is False


@pytest.mark.slow
def test_a_model_is_asked_about_what_it_read(tmp_path: Path) -> None:
    """One of other text was asked about the generated world, of which it had read nothing."""
    text = tmp_path / "own.txt"
    text.write_text("\n\n".join(f"Line {n} of my own text tells of {n * n}. It goes on." for n in range(9000)))
    small = ["--layers=1", "--width=16", "--heads=2", "--tokens=4000", "--corpus-bytes=100000", "--threads=1"]
    for name, corpus in (("own", str(text)), ("facts", "facts-eu")):
        trained = call("pretrain", "-o", str(tmp_path / name), *small, "--corpus", corpus)
        assert trained.returncode == 0, trained.stderr
        about = json.loads((tmp_path / name / "spec.json").read_text())["about"]
        assert (about["corpus"], about["seed"]) == (corpus, 0)
    refused = call("evaluate", str(tmp_path / "own"), "--threads=1", "--limit=20")
    assert refused.returncode == 2
    assert f"read {text}, which brings no tasks" in refused.stderr
    asked = call("evaluate", str(tmp_path / "own"), "--threads=1", "--limit=20", "--tasks", "world", "--json")
    assert "last_word" in json.loads(asked.stdout)
    asked = call("evaluate", str(tmp_path / "facts"), "--threads=1", "--limit=20", "--json")
    assert "facts_eu" in json.loads(asked.stdout)


def test_a_model_of_the_hub_is_found_by_its_old_name() -> None:
    done = call("evaluate", "gpt2")
    assert done.returncode == 2
    assert "gpt2 is openai-community/gpt2 on the hub" in done.stderr
    assert "name tasks for it" in done.stderr
    assert "did you mean gpt2-medium" in call("evaluate", "gpt2-mediun", "--tasks", "piqa").stderr


@pytest.mark.slow
def test_no_host_name_and_no_user_name_are_told(tmp_path: Path) -> None:
    import getpass
    import platform

    told = process("doctor", "--json", "--noise", "0", BENCHSUITE_CACHE=str(tmp_path)).stdout
    hardware = json.dumps(json.loads(told)["hardware"])
    assert f'"{platform.node()}"' not in hardware
    assert f'"{getpass.getuser()}"' not in hardware


@pytest.mark.slow
def test_a_model_is_trained_saved_and_evaluated_by_hand(tmp_path: Path) -> None:
    model = tmp_path / "model"
    small = ["--layers=1", "--width=16", "--heads=2", "--tokens=4000", "--corpus-bytes=100000", "--threads=1"]
    trained = call("pretrain", "-o", str(model), *small, "--position", "alibi")
    assert trained.returncode == 0, trained.stderr
    assert trained.stdout.strip() == str(model)
    evaluated = call("evaluate", str(model), "--threads=1", "--limit=20", "--json")
    assert evaluated.returncode == 0, evaluated.stderr
    results = json.loads(evaluated.stdout)
    assert len(results) >= 12
    assert all(0 <= task["acc"] <= 1 and task["n"] == 20 for task in results.values())
    again = call("pretrain", "-o", str(model), *small)
    assert again.returncode == 2
    assert "exists already" in again.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["pretrain", "-o", "new", "--position", "rotery"], "did you mean 'rotary'"),
        (["pretrain", "-o", "new", "--corpus", "no-such-corpus"], "no-such-corpus"),
        (["pretrain", "-o", "new", "--width", "10", "--heads", "3"], "cannot be shared by 3 heads"),
        (["evaluate", "no-such-folder"], "no-such-folder"),
        (["list", "models"], "models"),
    ],
)
def test_bad_input_gets_one_message_and_exit_2(arguments: list[str], message: str, tmp_path: Path) -> None:
    done = call(*arguments, folder=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "new").exists()
