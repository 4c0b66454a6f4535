"""Prove that each side of a gate measures its own code.

The origin of a module depends on the build tool, the kind of installation, the order of path files and finders,
PYTHONPATH, conftest files and more. So it is observed, not inferred: a process that is started in the same way as the
workers reports where it finds every module of the project, and a collection of tests reports which files it has loaded.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchsuite import git
from benchsuite.errors import UserError
from benchsuite.gating import checkouts, environments, resolution
from benchsuite.gating.environments import Commit

SHOWN = 3  # modules in a message


@dataclass(frozen=True)
class Asked:
    """An interpreter that is started in the same way as a side's workers. `said` is the report of a collection of
    tests: its search `path` and the `files` it has loaded; None for a suite, whose modules the workers import."""

    name: str
    python: str
    variables: Mapping[str, str]
    said: Mapping[str, Any] | None = None

    def resolve(self, names: Sequence[str], distributions: Sequence[str], inside: Sequence[Path]) -> dict[str, Any]:
        """Run `benchsuite.gating.resolution` there and return its output. Raises UserError if that fails."""
        question = {
            "names": sorted(names),
            "distributions": sorted(distributions),
            "inside": [str(folder) for folder in inside],
            "path": self.said["path"] if self.said else None,
        }
        done = subprocess.run(
            [self.python, resolution.__file__, json.dumps(question)],
            env={**git.environment(), **self.variables},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
            raise UserError(f"{self.name}: it cannot be told where its modules come from: {last}")
        return dict(json.loads(done.stdout))


def of_commit(asked: Asked, made: Commit, *, own_python: bool) -> None:
    """Raise UserError unless the modules of the project come from the checkout or the environment of the commit, and
    nothing that is loaded comes from the caller's checkout. With `own_python` the environment is another than the
    commit's own, and stands for it."""
    known = [project.name for project in environments.projects(made.root) if project.name]
    names = _named(known)
    if not own_python:
        for distribution in made.distributions():
            names |= resolution.modules(distribution)
    found = asked.resolve(sorted(names), known if own_python else [], [made.home])
    inside = [made.home, *(Path(found["prefix"]) for _ in range(own_python))]
    outside = {name: file for name, file in found["modules"].items() if not _within(file, inside)}
    outside |= _of_caller(asked, made.root, [made.home])
    if outside:
        raise UserError(
            f"{asked.name}: {_told(outside)}, not from this commit: both sides would measure the same code",
            hint="take that copy off PYTHONPATH and out of conftest.py, sitecustomize and path files, or give an "
            "environment in which the commit is installed as python:PATH",
        )


def of_interpreter(asked: Asked, root: Path | None) -> None:
    """Raise UserError if the project is installed in the interpreter's environment but would be imported from
    elsewhere, most often from the current folder."""
    known = [project.name for project in environments.projects(root) if project.name] if root else []
    if not known:
        return
    found = asked.resolve([], known, [])
    inside = [Path(found["prefix"]), *map(Path, found["sources"])]
    outside = {name: file for name, file in found["modules"].items() if not _within(file, inside)}
    if outside:
        raise UserError(
            f"{asked.name}: {_told(outside)}, not from the copy that is installed there",
            hint="run the gate in a folder from which tests do not import the project (pytest adds the folder of a "
            "conftest.py to the path), or give a commit as ref:NAME",
        )


def of_here(asked: Asked, root: Path | None) -> None:
    """Raise UserError if an installed copy of the project would be imported that differs from the working tree, so that
    later changes would not be measured."""
    known = [project.name for project in environments.projects(root) if project.name] if root else []
    if root is None or not known:
        return
    names = _named(known)
    for distribution in resolution.metadata.distributions(path=environments.folders()):
        if resolution.name_of(distribution) in known:
            names |= resolution.modules(distribution)
    found = asked.resolve(sorted(names), [], [root])["modules"]
    kept = [Path(folder) for folder in environments.folders()]
    copies = {name: Path(file) for name, file in found.items() if not _within(file, [root]) or _within(file, kept)}
    sources = _Sources(root) if copies else None
    for name, file in copies.items():
        stale = sources.first_stale(file) if sources else None
        if stale is not None:
            raise UserError(
                f"{asked.name}: {name} is imported from {file}, a copy of the project in which {stale.name} is not as "
                "in this folder: what was changed since it was installed would not be measured",
                hint="install it again (pip install .), or so that it follows the folder (pip install --editable .)",
            )


class _Sources:
    """The Python files that git tracks in a checkout, with their content in the working tree."""

    def __init__(self, root: Path) -> None:
        self._files = [file for file in checkouts.tracked(root) if file.endswith(".py")]
        self._contents = {(root / file).read_bytes() for file in self._files if (root / file).is_file()}

    def first_stale(self, file: Path) -> Path | None:
        """The first file of an installed module that is in the checkout no more as it is. Files that have no place in
        the checkout are made by the build, and those that tell a version are often changed by it; where nothing has
        a place, because the build gives the package another folder, its first file counts."""
        package = file.name == "__init__.py"
        copies = sorted(file.parent.rglob("*.py")) if package else [file]
        top = file.parent.parent if package else file.parent
        placed = [one for one in copies if self._has(one.relative_to(top).as_posix())]
        for one in placed or [file]:
            if one.suffix == ".py" and "version" not in one.name and one.read_bytes() not in self._contents:
                return one
        return None

    def _has(self, place: str) -> bool:
        return any(file == place or file.endswith(f"/{place}") for file in self._files)


def _named(projects: Sequence[str]) -> set[str]:
    """Return the usual package names of the projects, which need not be installed."""
    return {name.replace("-", "_") for name in projects}


def _of_caller(asked: Asked, root: Path, inside: Sequence[Path]) -> dict[str, str]:
    """Return the modules that a collection has loaded from files of the caller's checkout."""
    loaded = [file for file in (asked.said or {}).get("files", ()) if _within(file, [root])]
    loaded = [file for file in loaded if not _within(file, inside)]
    if not loaded:
        return {}
    folders = {str(root / Path(file).parent) for file in checkouts.tracked(root)}
    return {Path(file).stem: file for file in loaded if str(Path(file).parent.resolve()) in folders}


def _within(file: str, folders: Sequence[Path]) -> bool:
    return any(resolution.within(file, str(folder)) for folder in folders)


def _told(outside: Mapping[str, str]) -> str:
    shown = [f"{name} is imported from {file}" for name, file in list(outside.items())[:SHOWN]]
    more = len(outside) - len(shown)
    return ", ".join(shown) + (f", and {more} more so" if more else "")
