"""Nothing is written, truncated or removed through a link, whichever part of a path is one."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from benchsuite import files
from benchsuite.cache import cache_dir, write_atomically
from benchsuite.errors import UserError

APPEND = os.O_WRONLY | os.O_APPEND | os.O_CREAT


@pytest.fixture
def ours(tmp_path: Path) -> Path:
    (tmp_path / "ours" / "inner").mkdir(parents=True)
    return tmp_path / "ours"


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    """A folder of somebody else's, with a file in it and one in a folder of its own."""
    folder = tmp_path / "victim"
    (folder / "sub").mkdir(parents=True)
    for path in (folder / "file", folder / "sub" / "file"):
        path.write_text("precious")
    return folder


def state(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in sorted(folder.rglob("*")) if path.is_file()}


def atomically(path: Path) -> None:
    with write_atomically(path) as temporary:
        temporary.write_text("new")


def append(path: Path) -> None:
    with open(files.open_(path, APPEND), "ab") as file:
        file.write(b"more")


def move_there(path: Path) -> None:
    source = path.parents[1] / "source"
    source.mkdir(exist_ok=True)
    files.move(source, path)


OPERATIONS: dict[str, Callable[[Path], None]] = {
    "write": lambda path: files.write(path, "new"),
    "write_atomically": atomically,
    "append": append,
    "truncate": lambda path: os.close(files.open_(path, os.O_WRONLY | os.O_TRUNC)),
    "remove": files.remove,
    "remove_tree": files.remove_tree,
    "make": files.make,
    "empty": files.empty,
    "move there": move_there,
    "move away": lambda path: files.move(path, path.parents[1] / "target"),
    "check": files.check,
}


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("to", [".", "file", "sub", "nowhere"])
def test_a_link_is_refused(ours: Path, victim: Path, operation: str, to: str) -> None:
    before = state(victim)
    (ours / "inner" / "link").symlink_to(victim / to)
    with pytest.raises(UserError, match="link is a link to"):
        OPERATIONS[operation](ours / "inner" / "link")
    assert state(victim) == before
    assert (ours / "inner" / "link").is_symlink()


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("name", ["file", "sub", "new"])
def test_a_link_on_the_way_is_refused(ours: Path, victim: Path, operation: str, name: str) -> None:
    before = state(victim)
    (ours / "link").symlink_to(victim)
    with pytest.raises(UserError, match="link is a link to"):
        OPERATIONS[operation](ours / "link" / name)
    assert state(victim) == before


def test_links_on_the_way_to_what_a_user_names_are_followed(ours: Path, victim: Path) -> None:
    (ours / "disk").symlink_to(victim)
    atomically(files.named(ours / "disk" / "file"))
    assert (victim / "file").read_text() == "new"
    assert files.real(ours / "disk" / "later" / "run") == victim / "later" / "run"
    (ours / "page").symlink_to(victim / "file")
    with pytest.raises(UserError, match="page is a link"):
        atomically(files.named(ours / "page"))


def test_a_second_name_is_refused(ours: Path, victim: Path) -> None:
    os.link(victim / "file", ours / "records")
    for operation in ("write", "append", "truncate"):
        with pytest.raises(UserError, match="a hard link"):
            OPERATIONS[operation](ours / "records")
    assert (victim / "file").read_text() == "precious"
    atomically(ours / "records")  # the name becomes another file's
    assert (victim / "file").read_text() == "precious"


@pytest.mark.parametrize("operation", ["write", "append", "write_atomically", "check"])
def test_a_pipe_is_refused_and_not_waited_for(ours: Path, operation: str) -> None:
    os.mkfifo(ours / "pipe")
    with open(os.open(ours / "pipe", os.O_RDONLY | os.O_NONBLOCK)), pytest.raises(UserError, match="is not a file"):
        OPERATIONS[operation](ours / "pipe")
    with pytest.raises(UserError, match="is not a file"):
        files.read(ours / "pipe")
    assert stat.S_ISFIFO((ours / "pipe").stat().st_mode)


def test_a_device_is_not_replaced() -> None:
    with pytest.raises(UserError, match="/dev/null is not a file"):
        atomically(Path("/dev/null"))
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)


def test_a_tree_is_removed_and_what_its_links_mean_is_not(ours: Path, victim: Path) -> None:
    before = state(victim)
    (ours / "inner" / "deep").mkdir()
    (ours / "inner" / "deep" / "link").symlink_to(victim)
    (ours / "inner" / "kept").mkdir()
    files.empty(ours / "inner", keep=("kept",))
    assert [path.name for path in (ours / "inner").iterdir()] == ["kept"]
    files.remove_tree(ours / "inner")
    files.remove_tree(ours / "inner")
    files.remove(ours / "never")
    assert not any(ours.iterdir())
    assert state(victim) == before


def test_a_failed_block_leaves_nothing(ours: Path) -> None:
    (ours / "page").write_text("old")

    def interrupted() -> None:
        with write_atomically(ours / "page") as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert state(ours) == {"page": "old"}


def test_a_temporary_file_that_became_a_link_takes_no_place(ours: Path, victim: Path) -> None:
    def swapped() -> None:
        with write_atomically(ours / "page") as temporary:
            temporary.unlink()
            temporary.symlink_to(victim / "file")

    with pytest.raises(UserError, match="is a link to"):
        swapped()
    assert state(victim)["file"] == "precious"
    assert not (ours / "page").exists()


def test_files_are_as_private_as_the_user_wants(ours: Path) -> None:
    before = os.umask(0o077)
    try:
        atomically(ours / "page")
    finally:
        os.umask(before)
    assert stat.S_IMODE((ours / "page").stat().st_mode) == 0o600


def test_the_disk_has_the_file_and_its_name(ours: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name is synced after the file that it is given to: a crash of the machine leaves the old file or the new."""
    done: list[str] = []
    sync, rename = os.fsync, os.rename
    monkeypatch.setattr(
        os, "fsync", lambda handle: (done.append(str(Path(f"/proc/self/fd/{handle}").readlink())), sync(handle))
    )
    monkeypatch.setattr(os, "rename", lambda *names, **at: (done.append("rename"), rename(*names, **at)))
    atomically(ours / "page")
    assert done[0].startswith(str(ours / ".page."))
    assert done[1:] == ["rename", str(ours)]


def test_the_cache_may_lie_behind_a_link_and_have_none(
    ours: Path, victim: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (ours / "cache").symlink_to(victim)
    monkeypatch.setenv("BENCHSUITE_CACHE", str(ours / "cache"))
    assert cache_dir("tokens") == victim / "tokens"
    (victim / "corpora").symlink_to(ours)
    with pytest.raises(UserError, match="corpora is a link"):
        cache_dir("corpora")
