"""Check a commit out completely into a folder of its own, or refuse, without writing to the caller's repository.

The folder is a separate repository that borrows the objects of the caller's. It therefore needs no network and no ref
to the commit (a shallow checkout on a CI runner has none), and hooks, sparse patterns, a bisection or the state of the
working tree do not affect it.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

from benchsuite import git
from benchsuite.errors import UserError

LFS_POINTER = b"version https://git-lfs.github.com/spec/v1\n"
# Contents of LFS are copied from the caller's store, whether or not git-lfs is installed here.
WITHOUT_LFS = [f"filter.lfs.{key}" for key in ("smudge=", "process=", "required=false")]
# Of the caller's own settings, those that change what a checkout writes or where missing objects come from.
SETTINGS = (
    r"^(filter\..*|core\.(autocrlf|eol|symlinks|filemode|ignorecase|precomposeunicode)|extensions\.partialclone"
    r"|remote\..*\.(url|promisor|partialclonefilter))$"
)


def root() -> Path:
    """Return the top folder of the current working tree. Raises UserError outside a repository."""
    done = git.run("rev-parse", "--show-toplevel")
    if done.returncode != 0:
        raise UserError(
            f"this folder is in no git repository: {_last(done.stderr)}",
            hint="sides are written ref:NAME, python:PATH, env:NAME=VALUE, set:KEY=VALUE or . for what is here",
            exit_code=4,
        )
    return Path(done.stdout.rstrip("\n"))


def commit(ref: str, repository: Path) -> str:
    """Return the hash of the commit `ref`. Raises UserError with exit code 4 if there is none; in a shallow repository
    the hint says how to fetch it."""
    done = git.run("rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}", folder=repository)
    if done.returncode == 0:
        return done.stdout.strip()
    message = f"there is no commit {ref!r} here"
    hint = "sides are written ref:NAME, python:PATH, env:NAME=VALUE, set:KEY=VALUE or . for what is here"
    remotes = git.run("for-each-ref", "--format=%(refname:short)", f"refs/remotes/*/{ref}", folder=repository)
    if remotes.returncode == 0 and remotes.stdout.strip():
        hint = f"did you mean {remotes.stdout.split()[0]}?"
    elif git.run("rev-parse", "--is-shallow-repository", folder=repository).stdout.strip() == "true":
        message += ": this repository is shallow, so it may lack the commit"
        hint = "git fetch --unshallow, or git fetch --deepen=100; in a workflow: actions/checkout with fetch-depth: 0"
    raise UserError(message, hint=hint, exit_code=4)


def make(repository: Path, commit: str, target: Path, name: str) -> None:
    """Write all files of `commit` to the new folder `target`: those of its submodules and of LFS too. `name` is what
    the user calls the commit.

    Raises UserError with exit code 4 where a part is not in the caller's repository.
    """
    store = _ask(repository, name, "rev-parse", "--absolute-git-dir")
    _borrow(Path(store), target, name)
    quiet = [word for setting in WITHOUT_LFS for word in ("-c", setting)]
    done = git.run(*quiet, "checkout", "--quiet", "--detach", commit, folder=target, fetch=True)
    if done.returncode != 0:
        partial = git.run("config", "--get-regexp", r"^remote\..*\.promisor$", folder=repository).stdout
        raise UserError(
            f"ref:{name} cannot be checked out: {_last(done.stderr)}",
            hint="this repository is a partial clone: git fetch --refetch --no-filter gets the rest" if partial else "",
            exit_code=4,
        )
    _fill_lfs(repository, target, name)
    _submodules(repository, Path(store), target, name)


def tracked(folder: Path) -> frozenset[str]:
    """Return the files that git tracks in the repository at `folder` and its submodules, relative to `folder`."""
    return frozenset(git.run("ls-files", "-z", "--recurse-submodules", folder=folder).stdout.split("\0")[:-1])


def _borrow(store: Path, target: Path, name: str) -> None:
    """Create a repository in `target` with the objects, tags and settings of the git directory `store`."""

    def asked(*words: str) -> str:
        return _ask(None, name, f"--git-dir={store}", *words)

    kind = asked("rev-parse", "--show-object-format")
    _ask(None, name, "init", "--quiet", "--template=", f"--object-format={kind}", str(target))
    objects, shallow, attributes = (
        Path(asked("rev-parse", "--path-format=absolute", "--git-path", part))
        for part in ("objects", "shallow", "info/attributes")
    )
    ours = target / ".git"
    more = [line.partition(": ")[2] for line in asked("count-objects", "-v").splitlines() if line[:10] == "alternate:"]
    (ours / "objects" / "info").mkdir(exist_ok=True)
    alternates = [str(objects), *(line.strip('"') for line in more)]
    (ours / "objects" / "info" / "alternates").write_bytes(b"".join(os.fsencode(line) + b"\n" for line in alternates))
    (ours / "info").mkdir(exist_ok=True)
    for source, place in ((shallow, ours / "shallow"), (attributes, ours / "info" / "attributes")):
        if source.is_file():
            shutil.copyfile(source, place)
    for entry in git.run(f"--git-dir={store}", "config", "--null", "--get-regexp", SETTINGS).stdout.split("\0")[:-1]:
        key, _, value = entry.partition("\n")
        if key.startswith("extensions."):
            _ask(target, name, "config", "core.repositoryFormatVersion", "1")
        _ask(target, name, "config", "--add", key, value)
    # Versions are told by tags, as setuptools-scm does.
    tags = asked("for-each-ref", "--format=create %(refname) %(objectname)", "refs/tags")
    git.run("update-ref", "--stdin", folder=target, text=tags + "\n")


def _fill_lfs(repository: Path, target: Path, name: str) -> None:
    """Replace the pointers of Git LFS by their contents."""
    listed = git.run("ls-files", "-z", ":(attr:filter=lfs)", folder=target).stdout.split("\0")[:-1]
    common = Path(_ask(repository, name, "rev-parse", "--path-format=absolute", "--git-common-dir"))
    store = common / (git.run("config", "lfs.storage", folder=repository).stdout.rstrip("\n") or "lfs") / "objects"
    for path in (target / file for file in listed):
        if path.is_symlink() or not path.is_file() or path.stat().st_size > 1024:
            continue
        pointer = path.read_bytes()
        if not pointer.startswith(LFS_POINTER):
            continue
        fields = dict(line.split(" ", 1) for line in pointer.decode(errors="replace").splitlines() if " " in line)
        digest = fields.get("oid", "").removeprefix("sha256:")
        content = store / digest[:2] / digest[2:4] / digest
        if not digest or not content.is_file() or _sha256(content) != digest:
            raise UserError(
                f"ref:{name}: {path.relative_to(target)} is in Git LFS, and its content is not here",
                hint=f"git lfs fetch origin {name}",
                exit_code=4,
            )
        shutil.copyfile(content, path)


def _submodules(repository: Path, store: Path, target: Path, name: str) -> None:
    """Check out the submodules from the caller's submodules."""
    for line in git.run("ls-files", "--stage", "-z", folder=target).stdout.split("\0")[:-1]:
        about, _, path = line.partition("\t")
        mode, commit, _ = about.split()
        if mode != "160000":
            continue
        names = git.run("config", "--file", ".gitmodules", "--null", "--get-regexp", r"\.path$", folder=target).stdout
        called = [key[len("submodule.") : -len(".path")] for key, _, place in _pairs(names) if place == path]
        places = [repository / path, *(store / "modules" / one for one in called)]
        common = Path(_ask(repository, name, "rev-parse", "--path-format=absolute", "--git-common-dir"))
        places += [common / "modules" / one for one in called]
        found = next((place for place in places if _holds(place, commit)), None)
        if found is None:
            raise UserError(
                f"ref:{name}: the submodule {path} is not here at its commit {commit[:12]}",
                hint=f"git submodule update --init --recursive {path}, then git -C {path} fetch origin {commit}",
                exit_code=4,
            )
        shutil.rmtree(target / path)  # the empty folder that stands for it
        make(found, commit, target / path, f"{name}, submodule {path}")


def _pairs(text: str) -> list[tuple[str, str, str]]:
    return [entry.partition("\n") for entry in text.split("\0")[:-1]]


def _holds(place: Path, commit: str) -> bool:
    """Return whether `place` is a repository or a git directory that has the commit."""
    if not place.is_dir() or not ((place / ".git").exists() or (place / "HEAD").is_file()):
        return False
    return git.run("cat-file", "-e", f"{commit}^{{commit}}", folder=place).returncode == 0


def _ask(folder: Path | None, name: str, *words: str) -> str:
    done = git.run(*words, folder=folder)
    if done.returncode != 0:
        raise UserError(f"ref:{name} cannot be checked out: {_last(done.stderr)}", exit_code=4)
    return done.stdout.rstrip("\n")


def _last(said: str) -> str:
    return (said.strip().splitlines() or ["git said nothing"])[-1].strip()


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
