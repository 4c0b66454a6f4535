"""A kit from its packing to its results, without a network: the index is a folder of wheels made here."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import tarfile
import time
import zipfile
from pathlib import Path

import pytest
from support import command

from benchsuite.cli import exit_codes
from benchsuite.kit import make, results, stages, wheels
from benchsuite.kit.stages import STAGES, Stage

PYTHON = f"{sys.version_info[0]}.{sys.version_info[1]}"


def wheel(
    folder: Path, name: str, version: str, *needs: str, files: dict[str, str] | None = None, tag: str = "any"
) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path, about = folder / f"{name}-{version}-py3-none-{tag}.whl", f"{name}-{version}.dist-info"
    with zipfile.ZipFile(path, "w") as made:
        for file, text in (files or {f"{name}.py": ""}).items():
            made.writestr(file, text)
        required = "".join(f"Requires-Dist: {need}\n" for need in needs)
        made.writestr(f"{about}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{required}")
        made.writestr(f"{about}/WHEEL", f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-{tag}\n")
        made.writestr(f"{about}/RECORD", "")
    return path


def source(folder: Path, name: str) -> None:
    """A package that the index has as source alone."""
    with tarfile.open(folder / f"{name}-1.0.tar.gz", "w:gz") as archive:
        for file, text in (
            ("pyproject.toml", f"[build-system]\nrequires = ['setuptools']\nbuild-backend = 'setuptools.build_meta'\n"
             f"[project]\nname = '{name}'\nversion = '1.0'\n[tool.setuptools]\npy-modules = ['{name}']\n"),
            (f"{name}.py", ""),
        ):  # fmt: skip
            path = folder / "part"
            path.write_text(text)
            archive.add(path, f"{name}-1.0/{file}")
            path.unlink()


# --- what the machine has ---------------------------------------------------------------------------------------------


def test_what_is_there_comes_from_a_freeze_file_and_from_options(tmp_path: Path) -> None:
    freeze = tmp_path / "packages.txt"
    freeze.write_text(
        "# of the machine\nnumpy==2.1.0\nTorch==2.10.0+cu130\nbenchsuite==0.0.1\n-e git+https://x/y\nz @ file:///z\n\n"
    )
    found = wheels.there("", [str(freeze), "Typing_Extensions==4.12"])
    assert found["numpy"] == "2.1.0"
    assert found["torch"] == "2.10.0+cu130"
    assert found["typing-extensions"] == "4.12"
    assert "benchsuite" not in found
    assert wheels.there("2.11", [str(freeze)])["torch"] == "2.11"
    assert "+" not in wheels.there("2.10", ["pytest"])["pytest"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "which torch has the machine?"),
        (["--torch", "new"], "not a version"),
        (["--torch", "2.10", "--has", "no such file"], "neither a file nor a package"),
        (["--torch", "2.10", "--has", "no-such-package"], "which version"),
        (["--torch", "2.10", "--python", "2.7"], "needs 3.11 or later"),
        (["--torch", "2.10", "--wheel", "none.whl"], "there is no such file"),
        (["--torch", "2.10", "-o", "."], "exists already"),
    ],
)
def test_wrong_options_say_what_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    done = command.call("pack", *arguments)
    assert done.returncode == exit_codes.USAGE
    assert words in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_kit_has_what_the_machine_lacks_and_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index = tmp_path / "index"
    ours = wheel(tmp_path, "benchsuite", "9", "torch>=2.8", "alpha>=1", "gamma", "numpy>=2", tag="linux_x86_64")
    wheel(index, "alpha", "1.5", "beta")
    wheel(index, "beta", "2.0")
    wheel(index, "numpy", "2.1")
    wheel(index, "torch", "3.0", "nvidia-everything")
    source(index, "gamma")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    monkeypatch.setenv("PIP_NO_BUILD_ISOLATION", "0")  # which pip reads as: with setuptools from here
    arguments = ["pack", "--torch", "2.10.0a0+nv25.3", "--has", "numpy==2.1", "--wheel", str(ours), "--python", "3.12"]
    done = command.call(*arguments, "-o", str(tmp_path / "kit.tar.gz"))
    assert done.returncode == exit_codes.FINE, done.stderr
    with tarfile.open(tmp_path / "kit.tar.gz") as archive:
        names = {name.removeprefix("kit/") for name in archive.getnames()}
    packed = {f"wheels/{name}-py3-none-any.whl" for name in ("alpha-1.5", "beta-2.0", "gamma-1.0")}
    packed.add("wheels/benchsuite-9-py3-none-linux_x86_64.whl")
    assert names - {"kit", "wheels"} == packed | {"run.py", "kit.json", "README"}
    assert "start there: tar xf kit.tar.gz && python3.12 kit/run.py" in done.stderr
    (index / "beta-2.0-py3-none-any.whl").unlink()
    done = command.call(*arguments, "-o", str(tmp_path / "other"))
    assert done.returncode == exit_codes.USAGE
    assert "beta" in done.stderr
    assert not (tmp_path / "other").exists()


# --- the runner -------------------------------------------------------------------------------------------------------

RUN = """
import json, pathlib, sys
import inside
pathlib.Path(sys.argv[1], "found.json").write_text(json.dumps(inside.VALUE))
pathlib.Path(sys.argv[1], "models").mkdir()
pathlib.Path(sys.argv[1], "models", "weights").write_text("0" * 100)
print("ran", sys.argv[2])
"""
HANGS = """
import signal, subprocess, sys, time
deaf = "import signal, time; signal.signal(2, signal.SIG_IGN); time.sleep(600)"
child = subprocess.Popen([sys.executable, "-c", deaf])
print(child.pid, flush=True)
time.sleep(600)
"""


def made(folder: Path, monkeypatch: pytest.MonkeyPatch, given: tuple[Stage, ...]) -> Path:
    """A kit with these stages, and one wheel."""
    monkeypatch.setattr(stages, "STAGES", given)

    def fetch(wheel: Path, more: object, python: str, has: object, target: Path, say: object) -> list[Path]:
        target.mkdir()
        return [wheel.rename(target / wheel.name)]

    monkeypatch.setattr(wheels, "fetch", fetch)
    packages = {"inside.py": "VALUE = 1", "part-1.data/purelib/part.py": "", "part-1.data/scripts/x": ""}
    ours = wheel(folder, "benchsuite", "9", files=packages)
    return make.kit(folder / "kit", python=PYTHON, has={"torch": "2.10"}, device="cpu", wheel=ours).path


def stage(name: str, limit_s: int, *codes: str) -> Stage:
    return Stage(name, "", limit_s, tuple(("{python}", "-c", code, "{results}", "{device}") for code in codes))


@pytest.mark.slow
def test_every_stage_ends_alone_and_leaves_an_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    after = f'import zipfile; print(zipfile.ZipFile("{tmp_path}/results.zip").namelist())'
    kit = made(
        tmp_path,
        monkeypatch,
        (
            stage("fine", 60, RUN),
            stage("hangs", 9, HANGS),
            stage("fails", 60, "raise SystemExit('no GPU')", "print('went on')"),
            stage("after", 60, after),
        ),
    )
    (tmp_path / "temporary").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    done = subprocess.run([sys.executable, kit / "run.py"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == exit_codes.FAILED, done.stderr
    folder = results.extracted(tmp_path / "results.zip")
    found = {one.name: one for one in results.summary(folder).stages}
    assert [one.exit_code for one in found.values()] == [0, 124, 1, 0]
    assert found["fine"].said == "ran cpu"
    assert json.loads((folder / "fine/found.json").read_text()) == 1
    assert results.summary(folder).left_out == ("fine/models/weights",)
    assert found["hangs"].time_s < 20
    child = next(int(line) for line in (folder / "hangs/log.txt").read_text().splitlines() if line.isdigit())
    state = Path(f"/proc/{child}/stat")
    assert not state.exists() or state.read_text().split()[2] == "Z"  # ended, and not yet asked for by its new parent
    assert "went on" in (folder / "fails/log.txt").read_text()
    assert "hangs/log.txt" in found["after"].said
    assert "hangs: exit 124" in done.stdout
    assert not list((tmp_path / "temporary").iterdir()), "the temporary folder stays"


@pytest.mark.slow
def test_an_interrupted_runner_and_one_without_time_leave_what_was_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kit = made(tmp_path, monkeypatch, (stage("fine", 60, RUN), stage("hangs", 60, HANGS)))
    running = subprocess.Popen([sys.executable, kit / "run.py"], cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    assert running.stdout is not None
    while not running.stdout.readline().startswith("fine"):
        pass
    time.sleep(0.3)
    running.send_signal(signal.SIGTERM)
    assert running.wait(30) == exit_codes.INTERRUPTED
    found = results.summary(results.extracted(tmp_path / "results.zip")).stages
    assert [one.exit_code for one in found] == [0, 130]
    done = subprocess.run(
        [sys.executable, kit / "run.py", "--seconds", "1", "-o", "late.zip"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == exit_codes.FAILED
    assert [one.exit_code for one in results.summary(results.extracted(tmp_path / "late.zip")).stages] == [None, None]


@pytest.mark.slow
def test_the_runner_refuses_what_it_does_not_know(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kit = made(tmp_path, monkeypatch, (stage("fine", 60, RUN),))
    about = json.loads((kit / "kit.json").read_text())
    for arguments, python, words in (
        (["none"], PYTHON, "no stage is called none; there are fine"),
        (["-o", "none/x.zip"], PYTHON, "none/x.zip cannot be written: No such file or directory"),
        (["-o", "kit/README"], PYTHON, "kit/README exists already"),
        ([], "3.99", "this kit is for Python 3.99"),
    ):
        (kit / "kit.json").write_text(json.dumps({**about, "python": python}))
        done = subprocess.run(
            [sys.executable, kit / "run.py", *arguments], cwd=tmp_path, capture_output=True, text=True
        )
        assert done.returncode == exit_codes.USAGE
        assert words in done.stderr


@pytest.mark.slow
def test_the_results_of_an_earlier_run_stay_and_those_that_find_no_room_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = tmp_path / "there"
    there.mkdir()
    kit = made(
        tmp_path, monkeypatch, (stage("fine", 60, RUN), stage("gone", 60, f"import shutil; shutil.rmtree('{there}')"))
    )
    for name in ("results.zip", "results-2.zip"):
        done = subprocess.run([sys.executable, kit / "run.py", "fine"], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == exit_codes.FINE, done.stdout + done.stderr
        assert f"{name}: " in done.stdout.splitlines()[-1]
    given = [sys.executable, kit / "run.py", "-o", there / "results.zip"]
    done = subprocess.run(given, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == exit_codes.FAILED
    kept = Path(done.stdout.splitlines()[-1].rpartition(" ")[2])
    assert (kept / "fine" / "found.json").is_file()
    shutil.rmtree(kept.parent)


@pytest.mark.slow
def test_a_kit_that_came_in_part_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kit = made(tmp_path, monkeypatch, (stage("fine", 60, RUN),))
    (wheel,) = (kit / "wheels").iterdir()
    wheel.write_bytes(wheel.read_bytes()[:50])
    done = subprocess.run([sys.executable, kit / "run.py"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == exit_codes.USAGE
    assert f"wheels/{wheel.name} is missing or damaged" in done.stderr


def test_the_stages_fit_into_nine_minutes_and_the_sanitizers_are_last() -> None:
    assert stages.TOTAL_S <= 530
    assert STAGES[-1].name == "sanitize"
    assert sum(stage.limit_s for stage in STAGES[:-1]) <= 540
    assert [stage.name for stage in STAGES[:3]] == ["machine", "selftest", "layers"]


@pytest.mark.slow
def test_the_commands_of_the_stages_are_those_of_benchsuite() -> None:
    """What a stage asks for exists: a stage that the command line refuses would be lost on the machine."""
    for one in STAGES:
        for words in one.commands:
            assert words[:3] == ("{python}", "-m", "benchsuite")
            given = [word.format(python="", device="cpu", results="r", work="w") for word in words[3:]]
            done = command.call(*given, "--help")
            assert done.returncode == exit_codes.FINE
            options = {word for word in given if word.startswith("--")}
            assert {option for option in options if option in done.stdout} == options
