"""A commit is checked out whole, or refused; and the repository that it comes from stays as it was."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
from support import repository

from benchsuite import git
from benchsuite.errors import UserError
from benchsuite.gating import checkouts

pytestmark = pytest.mark.slow


@pytest.fixture
def repo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with the tags `one` and `two`, in which the test runs."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "settings"))
    folder = tmp_path / "repo"
    folder.mkdir()
    repository.git(folder, "init", "-q", "-b", "main")
    repository.commit(folder, "one", {"a.py": "A = 1\n", "part/b.py": "B = 1\n"})
    repository.commit(folder, "two", {"a.py": "A = 2\n"})
    monkeypatch.chdir(folder)
    return folder


def state(folder: Path) -> dict[str, bytes | int]:
    """Every file of a repository, its own included, by content and, for the index, by the time of writing."""
    files = {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
    index = folder / ".git" / "index"
    return {**files, "index": index.stat().st_mtime_ns if index.is_file() else 0}


def made(repo: Path, ref: str, target: Path) -> dict[str, str]:
    """The files of a checkout of `ref`."""
    checkouts.make(checkouts.root(), checkouts.commit(ref, repo), target, ref)
    files = [path for path in sorted(target.rglob("*")) if path.is_file() and ".git" not in path.parts]
    return {str(path.relative_to(target)): path.read_text() for path in files}


ONE = {"a.py": "A = 1\n", "part/b.py": "B = 1\n"}


def test_a_commit_is_checked_out_and_nothing_is_written_where_it_comes_from(repo: Path, tmp_path: Path) -> None:
    before = state(repo)
    assert made(repo, "one", tmp_path / "out") == ONE
    assert repository.git(tmp_path / "out", "describe", "--tags") == "one"
    assert state(repo) == before


def test_a_dirty_tree_and_its_index_stay_as_they_are(repo: Path, tmp_path: Path) -> None:
    (repo / "a.py").write_text("A = 3\n")
    repository.git(repo, "add", "a.py")
    (repo / "a.py").write_text("A = 4\n")
    (repo / "untracked").write_text("x")
    os.utime(repo / "part" / "b.py", (1, 1))  # git would note its new time in the index
    before = state(repo)
    assert made(repo, "one", tmp_path / "out") == ONE
    assert git.commit() == repository.git(repo, "rev-parse", "two") + "+changes"
    assert state(repo) == before


def test_a_touched_file_is_no_change(repo: Path) -> None:
    os.utime(repo / "a.py", (1, 1))
    before = state(repo)
    assert git.commit() == repository.git(repo, "rev-parse", "two")
    assert state(repo) == before


@pytest.mark.parametrize("variable", sorted(git.local_variables()))
def test_no_variable_of_a_hook_reaches_our_git_calls(repo: Path, tmp_path: Path, variable: str, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    other = tmp_path / "other"
    other.mkdir()
    repository.git(other, "init", "-q")
    repository.commit(other, "one", {"c.py": "C = 1\n"})
    before = state(other)
    monkeypatch.setenv(variable, str(other / ".git" / ("index" if variable == "GIT_INDEX_FILE" else "")))
    assert made(repo, "one", tmp_path / "out") == ONE
    assert variable not in git.environment()
    assert state(other) == before


def test_the_variables_are_those_that_git_tells() -> None:
    told = git.run("rev-parse", "--local-env-vars").stdout.split()
    assert {"GIT_DIR", "GIT_INDEX_FILE", "GIT_WORK_TREE"} <= set(told) <= git.local_variables()


def test_a_linked_worktree_in_a_bisection_with_hooks(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = tmp_path / "tree"
    repository.git(repo, "worktree", "add", "-q", "-b", "feature", str(tree))
    repository.git(tree, "bisect", "start", "HEAD", "HEAD~1")
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    (hooks / "post-checkout").write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    (hooks / "post-checkout").chmod(0o755)
    (tmp_path / "settings").write_text(f"[core]\n\thooksPath = {hooks}\n[init]\n\ttemplateDir = {tmp_path}\n")
    monkeypatch.chdir(tree)
    monkeypatch.setenv("GIT_DIR", str(repo / ".git" / "worktrees" / "tree"))
    before = state(repo), state(tree)
    assert made(tree, "one", tmp_path / "out") == ONE
    assert (state(repo), state(tree)) == before
    assert not (tmp_path / "ran").exists()


def test_a_sparse_checkout_has_a_whole_base(repo: Path, tmp_path: Path) -> None:
    repository.git(repo, "sparse-checkout", "set", "--no-cone", "/a.py")
    assert not (repo / "part").exists()
    assert made(repo, "one", tmp_path / "out") == ONE


def test_a_shallow_clone_says_so_and_has_what_it_has(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shallow = tmp_path / "shallow"
    repository.git(tmp_path, "clone", "-q", "--depth=1", f"file://{repo}", str(shallow))
    monkeypatch.chdir(shallow)
    with pytest.raises(UserError, match="shallow") as raised:
        checkouts.commit("HEAD~1", shallow)
    assert "git fetch --unshallow" in raised.value.hint
    assert raised.value.exit_code == 4
    # As a workflow fetches its base: no ref names it.
    repository.git(shallow, "fetch", "-q", "--depth=1", "origin", repository.git(repo, "rev-parse", "one"))
    assert made(shallow, "FETCH_HEAD", tmp_path / "out") == ONE


def test_a_branch_of_a_remote_is_offered(repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repository.git(repo, "branch", "stable")
    repository.git(tmp_path, "clone", "-q", str(repo), "clone")
    with pytest.raises(UserError) as raised:
        checkouts.commit("stable", tmp_path / "clone")
    assert "origin/stable" in raised.value.hint


def test_a_partial_clone_gets_what_it_lacks(repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repository.git(repo, "config", "uploadpack.allowFilter", "true")
    repository.git(repo, "config", "uploadpack.allowAnySHA1InWant", "true")
    partial = tmp_path / "partial"
    repository.git(tmp_path, "clone", "-q", "--filter=blob:none", f"file://{repo}", str(partial))
    monkeypatch.chdir(partial)
    before = state(partial)
    assert made(partial, "one", tmp_path / "out") == ONE
    assert state(partial) == before
    repo.rename(tmp_path / "gone")
    with pytest.raises(UserError, match="cannot be checked out") as raised:
        made(partial, "one", tmp_path / "again")
    assert "partial clone" in raised.value.hint


@pytest.fixture
def with_submodule(repo: Path, tmp_path: Path) -> Path:
    """The repository with a submodule in `lib`, which has one of its own, at another commit in each tag."""
    for name, inner in (("inner", None), ("outer", "inner")):
        folder = tmp_path / name
        folder.mkdir()
        repository.git(folder, "init", "-q", "-b", "main")
        if inner:
            repository.git(folder, "submodule", "add", "-q", str(tmp_path / inner), "deep")
        repository.commit(folder, "s1", {"s.py": f"{name} 1\n"})
    repository.git(repo, "submodule", "add", "-q", str(tmp_path / "outer"), "lib")
    repository.git(repo, "submodule", "update", "-q", "--init", "--recursive")
    repository.commit(repo, "three", {})
    repository.commit(tmp_path / "outer", "s2", {"s.py": "outer 2\n"})
    repository.git(repo / "lib", "fetch", "-q")
    repository.git(repo / "lib", "checkout", "-q", "origin/main")
    repository.commit(repo, "four", {})
    return repo


def test_submodules_are_checked_out_at_their_commits(with_submodule: Path, tmp_path: Path) -> None:
    before = state(with_submodule)
    for ref, text in (("three", "outer 1\n"), ("four", "outer 2\n")):
        files = made(with_submodule, ref, tmp_path / ref)
        assert files["lib/s.py"] == text
        assert files["lib/deep/s.py"] == "inner 1\n"
    assert state(with_submodule) == before


def test_submodules_of_a_linked_worktree_come_from_the_main_one(
    with_submodule: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = tmp_path / "tree"
    repository.git(with_submodule, "worktree", "add", "-q", "--detach", str(tree), "four")
    assert not list((tree / "lib").iterdir())
    monkeypatch.chdir(tree)
    assert made(tree, "three", tmp_path / "out")["lib/deep/s.py"] == "inner 1\n"


def test_a_submodule_that_is_not_here_is_refused(
    with_submodule: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository.git(tmp_path, "clone", "-q", str(with_submodule), "clone")
    monkeypatch.chdir(tmp_path / "clone")
    with pytest.raises(UserError, match="the submodule lib is not here") as raised:
        made(tmp_path / "clone", "three", tmp_path / "out")
    assert "git submodule update --init --recursive" in raised.value.hint
    assert raised.value.exit_code == 4


def test_lfs_gives_contents_or_refuses(repo: Path, tmp_path: Path) -> None:
    content = b"weights" * 1000
    digest = hashlib.sha256(content).hexdigest()
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{digest}\nsize {len(content)}\n"
    repository.commit(repo, "large", {".gitattributes": "*.bin filter=lfs\n", "w.bin": pointer, "pointer.txt": pointer})
    (tmp_path / "settings").write_text('[filter "lfs"]\n\tsmudge = false\n\tprocess = false\n\trequired = true\n')
    with pytest.raises(UserError, match=r"w\.bin is in Git LFS") as raised:
        made(repo, "large", tmp_path / "out")
    assert "git lfs fetch" in raised.value.hint
    store = repo / ".git" / "lfs" / "objects" / digest[:2] / digest[2:4]
    store.mkdir(parents=True)
    (store / digest).write_bytes(content + b"torn")
    with pytest.raises(UserError, match="is in Git LFS"):
        made(repo, "large", tmp_path / "again")
    (store / digest).write_bytes(content)
    files = made(repo, "large", tmp_path / "whole")
    assert files["w.bin"].encode() == content
    assert files["pointer.txt"] == pointer


def test_filters_and_line_ends_of_the_repository_s_own_settings_are_applied(repo: Path, tmp_path: Path) -> None:
    repository.git(repo, "config", "filter.upper.smudge", "tr a-z A-Z")
    repository.git(repo, "config", "filter.upper.clean", "tr A-Z a-z")
    repository.commit(repo, "filtered", {".gitattributes": "*.up filter=upper\n", "x.up": "hello\n"})
    assert made(repo, "filtered", tmp_path / "out")["x.up"] == "HELLO\n"


@pytest.mark.parametrize("ref", ["--help", "no such", "-h", "HEAD^{tree}", ""])
def test_what_is_no_commit_is_refused(repo: Path, ref: str) -> None:
    with pytest.raises(UserError, match="there is no commit") as raised:
        checkouts.commit(ref, repo)
    assert raised.value.exit_code == 4


def test_a_folder_in_no_repository_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="no git repository"):
        checkouts.root()
    assert git.commit() is None
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="git cannot be started"):
        checkouts.root()
    assert git.commit() is None
