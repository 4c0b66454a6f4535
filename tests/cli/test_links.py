"""A run directory from elsewhere, with links laid in it: the victim is untouched, and one message says where the link
is. Every entry is tried, with every command that writes."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from support.command import call
from support.processes import SUITE, begin, environment_of, rows, run, wait_for_records

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str], str]:
    """A run that was killed in the middle of its trainings, how it was started, and the name of an unfinished job."""
    folder = tmp_path_factory.mktemp("interrupted")
    (folder / "small.yaml").write_text(SUITE)
    environment = environment_of(folder)
    options = ("--set", "speed.rounds=2", "--set", "speed.sample_s=0.001", "--set", "quality.train.tokens=300k")
    process = begin(environment, "run", folder / "small.yaml", "-o", folder / "run", *options)
    wait_for_records(folder / "run", 7)
    process.kill()
    process.communicate()
    done = {(row["case_id"], row["replicate"]) for row in rows(folder / "run")}
    planned = json.loads((folder / "run" / "manifest.json").read_text())["cases"]
    left = [f"{case['id']}-{n}" for case in planned for n in case["replicates"] if (case["id"], n) not in done]
    return folder / "run", environment, left[0]


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    """A folder of somebody else's, with what a run looks for in it."""
    folder = tmp_path / "victim"
    for name in ("file", "sub/file", "model/weights", "weights", "snapshots/file"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("precious")
    return folder


def state(folder: Path) -> dict[str, object]:
    return {
        str(path.relative_to(folder)): (path.read_bytes() if path.is_file() else None, path.lstat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
    }


def lay(entry: Path, target: Path) -> None:
    """Puts a link into the place of `entry`."""
    if entry.is_dir():
        shutil.rmtree(entry)
    entry.unlink(missing_ok=True)
    entry.parent.mkdir(exist_ok=True)
    entry.symlink_to(target)


ENTRIES = {  # and what the link leads to
    "log.txt": "file", "lock": "file", "records.jsonl": "nowhere", "work": ".", "models": ".", "work/JOB": ".",
    "work/JOB.json": "file", "work/JOB.log": "file", "work/JOB.result.json": "nowhere", "models/JOB": "sub",
}  # fmt: skip


@pytest.mark.parametrize(("entry", "target"), ENTRIES.items())
def test_a_run_is_not_continued_through_a_link(
    tmp_path: Path, interrupted: tuple[Path, dict[str, str], str], victim: Path, entry: str, target: str
) -> None:
    source, environment, job = interrupted
    folder = tmp_path / "run"
    shutil.copytree(source, folder)
    lay(folder / entry.replace("JOB", job), victim / target)
    before, recorded = state(victim), (folder / "records.jsonl").is_file() and (folder / "records.jsonl").read_bytes()
    code, _, err = run(environment, "run", "--resume", folder)
    assert state(victim) == before
    assert code == 2, err
    assert "Traceback" not in err
    assert "is a link to" in err or "is not a file" in err
    assert f"{folder / entry.replace('JOB', job)}" in err
    if recorded:
        assert (folder / "records.jsonl").read_bytes().startswith(recorded)


def test_records_are_not_added_to_a_second_name(
    tmp_path: Path, interrupted: tuple[Path, dict[str, str], str], victim: Path
) -> None:
    source, environment, _ = interrupted
    folder = tmp_path / "run"
    shutil.copytree(source, folder)
    shutil.copyfile(folder / "records.jsonl", victim / "records")
    (folder / "records.jsonl").unlink()
    os.link(victim / "records", folder / "records.jsonl")
    before = (victim / "records").read_bytes()
    code, _, err = run(environment, "run", "--resume", folder)
    assert (code, "a hard link" in err) == (2, True)
    assert (victim / "records").read_bytes() == before


def test_what_is_in_a_folder_of_a_job_may_be_a_link_and_only_it_goes(
    tmp_path: Path, interrupted: tuple[Path, dict[str, str], str], victim: Path
) -> None:
    source, environment, job = interrupted
    folder = tmp_path / "run"
    shutil.copytree(source, folder)
    (folder / "work" / job).mkdir(exist_ok=True)
    before = state(victim)
    lay(folder / "work" / job / "model", victim)
    code, _, err = run(environment, "run", "--resume", folder)
    assert state(victim) == before
    assert (code, "work" in err and "is a link to" in err) == (2, True)


@pytest.mark.parametrize("entry", ["report.html", "report.md", "report.json"])
@pytest.mark.parametrize("target", [".", "file", "nowhere"])
def test_a_report_is_not_written_through_a_link(
    tmp_path: Path, interrupted: tuple[Path, dict[str, str], str], victim: Path, entry: str, target: str,
) -> None:  # fmt: skip
    from benchsuite.errors import UserError
    from benchsuite.report.render import save

    folder = tmp_path / "run"
    shutil.copytree(interrupted[0], folder)
    before = state(victim)
    lay(folder / entry, victim / target)
    with pytest.raises(UserError, match=f"{entry} is a link to"):
        save("a page", folder / entry)
    assert state(victim) == before


WRITERS: dict[str, Callable[[Path, Path], tuple[object, ...]]] = {
    "report": lambda run, out: ("report", run, "-o", out / "page.md"),
    "export": lambda run, out: ("export", run, "--csv", out / "page.md"),
    "history": lambda run, out: ("history", run, "-o", out),
}


@pytest.mark.parametrize("command", WRITERS)
def test_a_path_that_a_user_gives_may_lead_through_a_link_and_be_none(
    tmp_path: Path, speed_run: Path, victim: Path, command: str
) -> None:
    """Folders on the way are the user's to choose; a file that is a link is more likely forgotten or laid than meant,
    and what it means is not ours to replace."""
    (tmp_path / "out").mkdir()
    (tmp_path / "shortcut").symlink_to(tmp_path / "out")
    done = call(*WRITERS[command](speed_run, tmp_path / "shortcut"))
    assert done.returncode == 0, done.stderr
    written = sorted((tmp_path / "out").iterdir())
    assert written
    for path in written:
        lay(path, victim / "file")
    before = state(victim)
    done = call(*WRITERS[command](speed_run, tmp_path / "shortcut"))
    assert (done.returncode, "is a link to" in done.stderr) == (2, True), done.stderr
    assert state(victim) == before


PAPER = """
name: paper
model: {layers: 1, width: 8, heads: 2, vocab: 300, seq: 8}
speed:
  rounds: 3
  most_rounds: 3
  sample_s: 0.05
  cases:
    - {component: activation, variants: [relu], shape: {batch: 2}}
"""


@pytest.fixture(scope="module")
def speed_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole run with real records, of a device that is scripted."""
    folder = tmp_path_factory.mktemp("speed")
    (folder / "paper.yaml").write_text(PAPER)
    (folder / "script.yaml").write_text("[{case: '*', time_s: [0.001]}]\n")
    words = ["run", folder / "paper.yaml", "-o", folder / "run", "--device", "fake"]
    done = call(*words, BENCHSUITE_FAKE_DEVICE=str(folder / "script.yaml"))
    assert done.returncode == 0, done.stderr
    return folder / "run"


@pytest.mark.parametrize("entry", ["gate.json", "gate.md", "gate.xml", "base", "head", "base/records.jsonl"])
@pytest.mark.parametrize("target", ["file", ".", "nowhere"])
def test_a_gate_is_not_begun_among_links(
    tmp_path: Path, speed_run: Path, victim: Path, entry: str, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its folder is new or empty, so there is nothing to be written through; what is there stays."""
    from benchsuite.cli import gate
    from benchsuite.errors import UserError

    (tmp_path / "out" / entry).parent.mkdir(parents=True)
    lay(tmp_path / "out" / entry, victim / target)
    monkeypatch.chdir(tmp_path)
    before = state(victim)
    with pytest.raises(UserError, match="out is not empty"):
        gate.command([str(speed_run.parent / "paper.yaml")], base=[f"run:{speed_run}"], output=Path("out"))
    assert state(victim) == before


def test_a_gate_writes_nothing_through_links_that_are_laid_while_it_runs(tmp_path: Path, victim: Path) -> None:
    from benchsuite.cli.output import write
    from benchsuite.errors import UserError
    from benchsuite.report.render import save

    before = state(victim)
    for name in ("gate.json", "gate.md", "gate.xml"):
        for target in ("file", ".", "nowhere"):
            lay(tmp_path / "out" / name, victim / target)
            with pytest.raises(UserError, match=f"{name} is a link to"):
                save("x", tmp_path / "out" / name) if name == "gate.xml" else write(tmp_path / "out", "gate", {}, "x")
            (tmp_path / "out" / name).unlink()
    assert state(victim) == before


@pytest.mark.parametrize("name", ["a.jsonl", "a.yaml"])
@pytest.mark.parametrize("target", ["file", "nowhere"])
def test_tasks_are_not_written_through_a_link(tmp_path: Path, victim: Path, name: str, target: str) -> None:
    from benchsuite.errors import UserError
    from benchsuite.zeroshot.taskfiles import TaskInfo, write_task

    lay(tmp_path / "tasks" / name, victim / target)
    before = state(victim)
    with pytest.raises(UserError, match=f"{name} is a link to"):
        write_task(tmp_path / "tasks", TaskInfo("a", "f", (), 0.5, 0, "", 0), [])
    assert state(victim) == before
    (tmp_path / "shortcut").symlink_to(tmp_path / "elsewhere")
    write_task(tmp_path / "shortcut", TaskInfo("a", "f", (), 0.5, 0, "", 0), [])
    assert sorted(path.name for path in (tmp_path / "elsewhere").iterdir()) == ["a.jsonl", "a.yaml"]
