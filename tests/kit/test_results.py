"""Archives of results, which may come from anywhere."""

from __future__ import annotations

import json
import stat
import zipfile
from pathlib import Path

import pytest
from support import command, make_run

from benchsuite.cli import exit_codes
from benchsuite.errors import UserError
from benchsuite.kit import results

SUMMARY = {
    "device": "cuda",
    "python": "3.12.1",
    "stages": [
        {"name": "machine", "exit_code": 0, "time_s": 3.0, "limit_s": 60, "said": "fine"},
        {"name": "layers", "exit_code": 124, "time_s": 130.0, "limit_s": 130, "said": "[ended] after 130 s"},
        {"name": "quick", "exit_code": None, "time_s": 0.0, "limit_s": 120, "said": "not begun"},
    ],
    "left_out": [],
}


def archive(
    path: Path, members: dict[str | zipfile.ZipInfo, bytes | str] | None = None, run: Path | None = None
) -> Path:
    with zipfile.ZipFile(path, "w") as made:
        made.writestr("summary.json", json.dumps(SUMMARY))
        for name, content in (members or {}).items():
            made.writestr(name, content)
        for file in sorted(run.rglob("*")) if run else ():
            made.write(file, f"layers/run/{file.relative_to(run).as_posix()}")
    return path


@pytest.mark.slow
def test_the_report_of_an_archive_is_that_of_its_runs(tmp_path: Path) -> None:
    run = make_run.make_run(tmp_path / "run", replicates=2, tasks=["cloze"], documents=20)
    given = archive(tmp_path / "results.zip", {"machine/log.txt": "fine"}, run)
    done = command.call("report", str(given), "--json")
    assert done.returncode == exit_codes.FINE
    assert json.loads(done.stdout)["runs"]
    assert "[ended] after 130 s" in done.stderr
    assert "not begun" in done.stderr
    assert command.call("report", str(given)).returncode == exit_codes.FINE  # from the folder that there is now
    assert (tmp_path / "results/layers/run/report.html").is_file()


def test_an_archive_without_a_run_says_where_its_logs_are(tmp_path: Path) -> None:
    done = command.call("report", str(archive(tmp_path / "results.zip", {"layers/log.txt": "no GPU"})))
    assert done.returncode == exit_codes.USAGE
    assert "holds no runs" in done.stderr
    assert (tmp_path / "results/layers/log.txt").read_text() == "no GPU"


def link(name: str, kind: int = stat.S_IFLNK) -> zipfile.ZipInfo:
    member = zipfile.ZipInfo(name)
    member.external_attr = (kind | 0o777) << 16
    return member


@pytest.mark.parametrize(
    ("member", "content", "words"),
    [
        ("../evil", "x", "leads elsewhere"),
        ("/etc/evil", "x", "leads elsewhere"),
        ("a/../../evil", "x", "leads elsewhere"),
        ("a\\..\\evil", "x", "leads elsewhere"),
        ("a\nb", "x", "leads elsewhere"),
        ("a" * 300, "x", "leads elsewhere"),
        (link("a"), "/etc/passwd", "is a link or a device"),
        (link("a", stat.S_IFIFO), "", "is a link or a device"),
        ("summary.json", "{}", "cannot be written"),  # a second time
        ("summary.json/below", "x", "cannot be written"),
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_what_does_not_belong_into_an_archive_is_refused_and_nothing_is_left(
    tmp_path: Path, member: str | zipfile.ZipInfo, content: str, words: str
) -> None:
    given = archive(tmp_path / "results.zip", {member: content})
    with pytest.raises(UserError, match=words):
        results.extracted(given)
    assert [path.name for path in tmp_path.iterdir()] == ["results.zip"]


def test_sizes_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = archive(tmp_path / "results.zip", {f"layers/{n}": b"0" * 1000 for n in range(9)})
    for name, most in (("MOST_FILES", 9), ("MOST_BYTES", 5000), ("MOST_FILE_BYTES", 999)):
        with monkeypatch.context() as patch:
            patch.setattr(results, name, most)
            with pytest.raises(UserError, match=r"more than results have|is too large"):
                results.extracted(given)
    assert not (tmp_path / "results").exists()
    results.extracted(given)


def test_a_member_that_holds_more_than_it_declares_is_no_way_around(tmp_path: Path) -> None:
    given = archive(tmp_path / "results.zip", {"layers/log.txt": "0" * 4000})
    content = given.read_bytes().replace((4000).to_bytes(4, "little"), (40).to_bytes(4, "little"))
    given.write_bytes(content)
    with pytest.raises(UserError, match="cannot be unpacked"):
        results.extracted(given)


def test_what_is_no_archive_says_so(tmp_path: Path) -> None:
    broken, named = tmp_path / "broken.zip", tmp_path / "results"
    broken.write_bytes(b"PK\3\4 and no more")
    named.write_bytes(b"")
    for given, words in (
        (broken, "cannot be unpacked"),
        (named, "ends in .zip"),
        (tmp_path / "none.zip", "cannot be read"),
    ):
        done = command.call("report", str(given))
        assert done.returncode == exit_codes.USAGE
        assert words in done.stderr
    archive(tmp_path / "other.zip")
    (tmp_path / "other").mkdir()
    with pytest.raises(UserError, match="exists already"):
        results.extracted(tmp_path / "other.zip")
