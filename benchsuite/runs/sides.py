"""The two sides of a gate: the Python, the environment variables and the overrides that each is measured with.

A side is written in words, which add up:

    .                  this environment as it is
    ref:v1.2           a git commit of the project in this folder, installed in an environment of its own; the word
                       alone (v1.2, main, HEAD~1) means the same
    python:PATH        another interpreter, or the folder of a virtual environment
    env:NAME=VALUE     an environment variable
    set:KEY=VALUE      an override of the suite

or, for a base that was measured earlier,

    run:FOLDER         a run directory
    baseline:NAME      a run that `benchsuite baseline save` has kept; without a name the promoted one
"""

from __future__ import annotations

import fnmatch
import json
import os
import site
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchsuite import files
from benchsuite.cache import cache_dir
from benchsuite.errors import UserError
from benchsuite.runs import baselines, locks
from benchsuite.runs.store import read_manifest

HERE = "."
KINDS = ("ref", "python", "env", "set", "run", "baseline")
STORED = ("run", "baseline")
FINGERPRINT = "import json; from benchsuite.hardware.fingerprint import fingerprint as f; print(json.dumps(f()))"
LAST_LINES = 5  # of what a failed command said
# With the current folder on its path, a side would import the checkout that the gate is called in.
ALWAYS = {"PYTHONSAFEPATH": "1"}


@dataclass(frozen=True)
class Side:
    """What one side is measured with. `name` is what the user wrote, `folder` where its tests are."""

    name: str
    python: str = sys.executable
    folder: Path = field(default_factory=Path.cwd)
    variables: Mapping[str, str] = field(default_factory=lambda: dict(ALWAYS))
    sets: tuple[str, ...] = ()
    stored: Path | None = None  # the run directory of a side that was measured earlier

    def plan(self, targets: Sequence[str], device: str, only: Sequence[str], sets: Sequence[str]) -> dict[str, Any]:
        """The suite, or the tests, as this side's own benchsuite resolves them: the document of `benchsuite plan
        --json`. Raises UserError where it cannot."""
        if self.stored is not None:
            found = read_manifest(self.stored)
            return {**found, "cases": [case for case in found["cases"] if not only or _fits(case["label"], only)]}
        sets = (*sets, *self.sets)
        if are_tests(targets[0]):
            if sets:
                raise UserError(f"{self.name}: set {' '.join(sets)}: tests have no keys to set", hint="use env:")
            found = self._ask(["-m", "benchsuite.runs.pytest_cases", *targets], "the tests cannot be planned")
            return {**found, "cases": [case for case in found["cases"] if not only or _fits(case["label"], only)]}
        if len(targets) > 1:
            raise UserError(f"one suite at a time, not {' '.join(targets)}")
        suite = str(Path(targets[0]).absolute()) if Path(targets[0]).is_file() else targets[0]
        words = ["-m", "benchsuite", "plan", suite, "--json", f"--device={device}"]
        words += [f"--only={pattern}" for pattern in only] + [f"--set={text}" for text in sets]
        return self._ask(words, "the suite cannot be planned")

    def fingerprint(self) -> dict[str, Any]:
        """The machine and the software as this side's interpreter sees them: its torch may be another than ours."""
        return self._ask(["-c", FINGERPRINT], "its software cannot be told")

    def build_kernels(self) -> None:
        """Builds this side's own kernels where they must be: now, so that it falls into no measured process. The build
        says itself how far it is. Raises UserError where it fails."""
        words = [self.python, "-c", "from benchsuite import cuda_ext; cuda_ext.prepare()"]
        if subprocess.run(words, env={**os.environ, **self.variables}, check=False, cwd=self.folder).returncode != 0:
            raise UserError(f"{self.name}: its kernels cannot be built", hint="what the build said stands above")

    def _ask(self, words: list[str], problem: str) -> dict[str, Any]:
        """The JSON document that the side's interpreter prints."""
        if not self.folder.is_dir():
            raise UserError(f"{self.name}: the folder {Path.cwd().name} is not in it", exit_code=4)
        done = subprocess.run(
            [self.python, *words],
            env={**os.environ, **self.variables},
            capture_output=True,
            text=True,
            check=False,
            cwd=self.folder,
        )
        if done.returncode != 0:
            said = done.stderr.strip().splitlines() or ["it said nothing"]
            raise UserError(f"{self.name}: {problem}: {_last(said)}")
        return dict(json.loads(done.stdout))


def are_tests(target: str) -> bool:
    """Whether `target` names tests, not a suite: a folder, a Python file, or a node of one."""
    path = Path(target.partition("::")[0])
    return path.is_dir() or (path.suffix == ".py" and path.is_file())


def parse(words: Sequence[str], say: Callable[[str], None]) -> Side:
    """The side that `words` describe, its environment made where there is none yet; `say` tells of what takes long.

    Raises UserError for a word that means nothing here.
    """
    stored = [word for word in words if word.partition(":")[0] in STORED and ":" in word]
    if stored:
        if len(words) > 1:
            raise UserError(f"{stored[0]} is a side of its own; nothing adds to it")
        kind, _, name = stored[0].partition(":")
        run = baselines.find(name) if kind == "baseline" else Path(name)
        if not (run / "manifest.json").is_file():
            raise UserError(f"{run} holds no run", hint="give a run directory", exit_code=4)
        return Side(stored[0], stored=run)
    python, folder, variables, sets = sys.executable, Path.cwd(), dict(ALWAYS), []
    for word in words:
        kind, separator, value = word.partition(":")
        if word == HERE:
            continue
        if not separator or kind not in KINDS:
            kind, value = "ref", word
        match kind:
            case "ref":
                python, folder = _installed(value, say)
            case "python":
                python = _interpreter(value)
            case "env":
                name, equals, content = value.partition("=")
                if not equals or not name:
                    raise UserError(f"{word}: should be env:NAME=VALUE")
                variables[name] = content
            case _:
                if "=" not in value:
                    raise UserError(f"{word}: should be set:KEY=VALUE")
                sets.append(value)
    return Side(" ".join(words), python, folder, variables, tuple(sets))


def _interpreter(text: str) -> str:
    """The interpreter that is meant by its path or by that of its environment."""
    path = Path(text).expanduser()
    candidates = [path / "bin" / "python", path / "Scripts" / "python.exe", path]
    found = next((candidate for candidate in candidates if candidate.is_file()), None)
    if found is None:
        raise UserError(f"python:{text}: there is no interpreter", hint="give its path, or a virtual environment's")
    return str(found.absolute())


def _fits(label: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch.fnmatchcase(label, pattern) for pattern in patterns)


def _installed(ref: str, say: Callable[[str], None]) -> tuple[str, Path]:
    """The interpreter of an environment in which the commit is installed, and besides it all that is installed here;
    and the folder of its checkout that this one is here.

    It lies in the cache under the commit's hash and is made once. A commit that needs other dependencies than this
    environment has wants one of its own, given as python:PATH.
    """
    root = _git("rev-parse", "--show-toplevel", what=f"{ref}: this folder is in no git repository")
    commit = _git("rev-parse", "--verify", "--quiet", f"{ref}^{{commit}}", what=f"there is no commit {ref!r} here")
    folder = cache_dir("gate") / commit
    python = folder / "environment" / "bin" / "python"
    source = folder / "source"
    here_there = source / Path.cwd().resolve().relative_to(Path(root).resolve())
    with locks.install_lock(commit, say):
        if not (folder / "complete").exists():
            _install(ref, commit, root, folder, say)
    return str(python), here_there


def _install(ref: str, commit: str, root: str, folder: Path, say: Callable[[str], None]) -> None:
    """Makes the environment of a commit in `folder`."""
    python, source = folder / "environment" / "bin" / "python", folder / "source"
    say(f"{ref}: commit {commit[:12]} is installed in an environment of its own, once")
    files.remove_tree(folder)
    _run(["git", "clone", "--quiet", "--shared", "--no-checkout", root, str(source)], ref)
    _run(["git", "-C", str(source), "checkout", "--quiet", "--detach", commit], ref)
    _run([sys.executable, "-m", "venv", "--without-pip", str(folder / "environment")], ref)
    packages = next((folder / "environment").glob("lib/python*/site-packages"))
    # What is installed here comes last (.pth files are read in order), so that the commit's own code goes before it.
    here = "; ".join(f"site.addsitedir({path!r})" for path in site.getsitepackages())
    (packages / "zz_installed_here.pth").write_text(f"import site; {here}\n")
    install = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps"]
    try:  # with the build tools that are here, which needs no network
        _run([*install, "--no-build-isolation", "--editable", str(source)], ref)
    except UserError:
        _run([*install, "--editable", str(source)], ref)
    (folder / "complete").touch()


def _git(*arguments: str, what: str) -> str:
    done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        hint = "sides are written ref:NAME, python:PATH, env:NAME=VALUE, set:KEY=VALUE or . for what is here"
        raise UserError(what, hint=hint, exit_code=4)
    return done.stdout.strip()


def _run(command: list[str], ref: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip().splitlines() or ["it said nothing"]
        raise UserError(
            f"ref:{ref} cannot be installed: {_last(said)}",
            hint="install it yourself and give its environment as python:PATH",
            exit_code=4,
        )


def _last(lines: list[str]) -> str:
    return " | ".join(line.strip() for line in lines[-LAST_LINES:])
