"""Create the environment of a commit: install its projects, and borrow all other packages from the current environment.

The projects of the repository are those that are installed from its folders in the current environment, and the nearest
folder with a pyproject.toml or a setup.py. Each is installed in the same way as here, editable or not. Two things could
bring the caller's code into the environment of the commit: installed copies, plain or editable, are hidden from it
(`benchsuite.gating.borrowed`), and path entries in the caller's checkout are replaced by their counterparts in the
commit's. `benchsuite.gating.origins` then proves that no other code is measured.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import site
import subprocess
import sys
import sysconfig
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from benchsuite import files, git, locks
from benchsuite.cache import cache_dir, digest, write_atomically
from benchsuite.errors import UserError
from benchsuite.gating import borrowed, checkouts, resolution

LAYOUT = 2  # raised when environments are made in another way
PROJECT_FILES = ("pyproject.toml", "setup.py", "setup.cfg")
BORROWED = "_benchsuite_borrowed"
LAST_LINES = 5  # of what a failed command said
# They would put the commit's code into another environment than its own.
REDIRECTIONS = ("PIP_USER", "PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_REQUIRE_VIRTUALENV")


@dataclass(frozen=True)
class Project:
    """A project of the repository: its `folder`, relative to the top, and how it is installed in this environment."""

    folder: str
    name: str | None
    editable: bool
    installed: bool


@dataclass(frozen=True)
class Commit:
    """A commit with its environment. `home` holds both `source`, its checkout, and `environment`."""

    ref: str
    commit: str
    home: Path
    root: Path  # of the caller's checkout

    @property
    def source(self) -> Path:
        return self.home / "source"

    @property
    def python(self) -> Path:
        return self.home / "environment" / "bin" / "python"

    @property
    def packages(self) -> Path:
        return next((self.home / "environment").glob("lib/python*/site-packages"))

    def distributions(self) -> list[metadata.Distribution]:
        """Return the projects that are installed in the environment itself."""
        return list(metadata.distributions(path=[str(self.packages)]))

    def counterpart(self, entry: str) -> str | None:
        """Return the counterpart of an entry of the module search path: for a folder in the caller's checkout, the same
        folder of the commit, or None if it has none; for any other entry, the entry itself. The current environment and
        folders that git does not track do not belong to the checkout."""
        place = Path(entry).absolute()
        kept = (sys.prefix, *folders())
        if not resolution.within(str(place), str(self.root)) or any(resolution.within(str(place), k) for k in kept):
            return str(place)
        relative = place.resolve().relative_to(self.root.resolve())
        if (self.source / relative).exists():
            return str(self.source / relative)
        tracked = any(file == str(relative) or Path(file).is_relative_to(relative) for file in self._tracked())
        return None if tracked else str(place)

    def search_path(self) -> dict[str, str]:
        """Return PYTHONPATH for this commit, as variables. An empty entry means the current folder."""
        given = os.environ.get("PYTHONPATH")
        if not given:
            return {}
        places = [self.counterpart(entry or os.curdir) for entry in given.split(os.pathsep)]
        return {"PYTHONPATH": os.pathsep.join(place for place in places if place)}

    def _tracked(self) -> frozenset[str]:
        return checkouts.tracked(self.root)


def folders() -> list[str]:
    """Return the folders of installed packages, including the user's own if it is enabled."""
    own = [site.getusersitepackages()] if site.ENABLE_USER_SITE else []
    return [path for path in dict.fromkeys([*own, *site.getsitepackages()]) if Path(path).is_dir()]


def projects(root: Path) -> list[Project]:
    """Return the projects of the repository at `root`."""
    found: dict[str, Project] = {}
    installed: dict[str, metadata.Distribution] = {}
    for distribution in metadata.distributions(path=folders()):
        name = resolution.name_of(distribution)
        installed.setdefault(name, distribution)
        told = resolution.source(distribution)
        if told and resolution.within(told[0], str(root)):
            relative = str(Path(told[0]).resolve().relative_to(root.resolve()))
            found.setdefault(relative, Project(relative, name, told[1], True))
    for relative, name in _linked(root):
        found.setdefault(relative, Project(relative, name, True, True))
    here = Path.cwd().resolve()
    for folder in (here, *here.parents):
        if resolution.within(str(folder), str(root)) and any((folder / file).is_file() for file in PROJECT_FILES):
            relative, declared = str(folder.relative_to(root.resolve())), _declared(folder)
            plain = declared is not None and declared in installed
            found.setdefault(relative, Project(relative, declared, not plain, plain))
            break
    return list(found.values())


def of(ref: str, say: Callable[[str], None]) -> Commit:
    """Return the environment of the commit `ref`, and create it the first time.

    It is kept in the cache under the commit's hash and a digest of the current environment. A commit that needs other
    dependencies than those installed here needs an environment of its own, given as python:PATH.
    """
    root = checkouts.root()
    commit = checkouts.commit(ref, root)
    known = projects(root)
    about = [LAYOUT, sys.version, sys.prefix, folders(), str(root), [(p.folder, p.editable) for p in known]]
    home = cache_dir("gate", commit) / digest(about, 12)
    made = Commit(ref, commit, home, root)
    with locks.install_lock(commit, say):
        if not (home / "complete").exists():
            _make(made, known, say)
        _borrow(made, known)
    return made


def _make(made: Commit, known: Sequence[Project], say: Callable[[str], None]) -> None:
    say(f"{made.ref}: commit {made.commit[:12]} is installed in an environment of its own, once")
    files.remove_tree(made.home)
    made.home.mkdir(parents=True)
    checkouts.make(made.root, made.commit, made.source, made.ref)
    pip = importlib.util.find_spec("pip") is not None
    _run([sys.executable, "-m", "venv", *(["--without-pip"] if pip else []), str(made.home / "environment")], made, {})
    _borrow(made, known)
    for project in known:
        folder = made.source / project.folder
        if not any((folder / file).is_file() for file in PROJECT_FILES):
            continue
        try:
            _install(made, folder, project.editable, pip=pip)
        except UserError as error:
            if project.installed:
                raise
            say(f"{error.message}; it is not installed here either, so its tests find it as they do here")
    (made.home / "complete").touch()


def _install(made: Commit, folder: Path, editable: bool, *, pip: bool) -> None:
    """Install a project with the build tools of this environment, which needs no network, or else with those it
    declares."""
    words = [sys.executable, "-m", "pip", "--python", str(made.python)] if pip else [str(made.python), "-m", "pip"]
    words += ["install", "--quiet", "--no-deps", "--ignore-installed", "--use-pep517", "--disable-pip-version-check"]
    mode = ["--editable"] if editable else []
    tries = [["--no-build-isolation", *mode], ["--no-build-isolation"] if editable else [], mode]
    for number, options in enumerate(tries, 1):
        try:
            _run([*words, *options, str(folder)], made, made.search_path(), folder)
            return
        except UserError:
            if number == len(tries):
                raise


def _borrow(made: Commit, known: Sequence[Project]) -> None:
    """Write the list of what the environment borrows, which may have changed since it was created."""
    own = {resolution.name_of(distribution) for distribution in made.distributions()}
    own |= {project.name for project in known if project.name is not None and project.installed}
    names: set[str] = set()
    left_out = {f"__editable__.{name.replace('-', '_')}.pth" for name in own}
    for distribution in metadata.distributions(path=folders()):
        if resolution.name_of(distribution) in own:
            names |= resolution.modules(distribution)
            left_out |= {file.name for file in distribution.files or () if file.suffix == ".pth"}
    moved = {entry: made.counterpart(entry) for entry in sys.path if Path(entry).is_absolute()}
    about = {
        "folders": folders(),
        "left_out": sorted(left_out),
        "names": sorted(names),
        "moved": {entry: place for entry, place in moved.items() if entry != place},
    }
    # Path files are read in the order of their names; this one is read after those of the commit.
    for file, text in (
        (f"{BORROWED}.py", Path(borrowed.__file__).read_text(encoding="utf-8")),
        (f"{BORROWED}.json", json.dumps(about, indent=1)),
        ("zz_borrowed.pth", f"import {BORROWED}; {BORROWED}.install()\n"),
    ):
        with write_atomically(made.packages / file) as temporary:
            temporary.write_text(text, encoding="utf-8")


def _declared(folder: Path) -> str | None:
    """Return the normalized name that a project declares, or None if its build computes it."""
    name = None
    try:
        about = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))
        name = about.get("project", {}).get("name") or about.get("tool", {}).get("poetry", {}).get("name")
    except (OSError, ValueError, AttributeError):
        pass
    for file in ("setup.cfg", "setup.py"):
        if name is None and (folder / file).is_file():
            text = (folder / file).read_text(encoding="utf-8", errors="replace")
            found = re.search(r"""(?m)^\s*name\s*=\s*["']?([A-Za-z0-9._-]+)["']?\s*,?\s*$""", text)
            name = found[1] if found else None
    return resolution.normal(name) if isinstance(name, str) else None


def _linked(root: Path) -> list[tuple[str, str]]:
    """Return the projects in `root` that `setup.py develop` has linked: relative folders and names."""
    found = []
    for link in (link for folder in folders() for link in Path(folder).glob("*.egg-link")):
        place, up = [*link.read_text(encoding="utf-8", errors="replace").splitlines(), "", ""][:2]
        project = Path(place, up or ".")
        if place and resolution.within(str(project), str(root)):
            found.append((str(project.resolve().relative_to(root.resolve())), resolution.normal(link.stem)))
    return found


def _run(command: list[str], made: Commit, variables: dict[str, str], folder: Path | None = None) -> None:
    env = {key: value for key, value in git.environment().items() if key not in REDIRECTIONS} | variables
    # Build tools that are installed here as programs, as meson is, where this environment was not activated.
    env["PATH"] = os.pathsep.join([sysconfig.get_path("scripts"), *filter(None, [env.get("PATH")])])
    done = subprocess.run(command, env=env, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip().splitlines() or ["it said nothing"]
        raise UserError(
            f"ref:{made.ref} cannot be installed: {' | '.join(line.strip() for line in said[-LAST_LINES:])}",
            hint="install it yourself and give its environment as python:PATH",
            exit_code=4,
        )
