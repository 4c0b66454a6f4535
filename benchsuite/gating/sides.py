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
import functools
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from benchsuite import git
from benchsuite.errors import UserError
from benchsuite.gating import checkouts, environments, origins
from benchsuite.pretrain.names import path_of
from benchsuite.records import baselines
from benchsuite.records.load import manifest_json

HERE = "."
KINDS = ("ref", "python", "env", "set", "run", "baseline")
STORED = ("run", "baseline")
LAST_LINES = 5  # of what a failed command said
# With the current folder on its path, a side would import the checkout that the gate is called in.
ALWAYS = {"PYTHONSAFEPATH": "1"}
READING = {**ALWAYS, "PYTHONDONTWRITEBYTECODE": "1"}  # in the caller's own folder nothing is left behind


@dataclass(frozen=True)
class Side:
    """The code and environment of one side. `name` is what the user wrote, `folder` where its tests are."""

    name: str
    python: str = sys.executable
    folder: Path = field(default_factory=Path.cwd)
    variables: Mapping[str, str] = field(default_factory=lambda: dict(READING))
    sets: tuple[str, ...] = ()
    commit: environments.Commit | None = None
    stored: Path | None = None  # the run directory of a side that was measured earlier

    def plan(self, targets: Sequence[str], device: str, only: Sequence[str], sets: Sequence[str]) -> dict[str, Any]:
        """The suite, or the tests, as this side's own benchsuite resolves them: the document of `benchsuite plan
        --json`. Raises UserError where it cannot."""
        if self.stored is not None:
            found = manifest_json(self.stored)
            return {**found, "cases": [case for case in found["cases"] if not only or _fits(case["label"], only)]}
        sets = (*sets, *self.sets)
        if are_tests(targets[0]):
            if sets:
                raise UserError(f"{self.name}: set {' '.join(sets)}: tests have no keys to set", hint="use env:")
            question = {"what": "tests", "arguments": list(map(self._there, targets))}
            found = self._ask(question, "the tests cannot be planned")
            self._prove(found.pop("session", None))  # older versions of benchsuite do not tell it
            return {**found, "cases": [case for case in found["cases"] if not only or _fits(case["label"], only)]}
        if len(targets) > 1:
            raise UserError(f"one suite at a time, not {' '.join(targets)}")
        suite = str(Path(targets[0]).absolute()) if Path(targets[0]).is_file() else targets[0]
        question = {"what": "suite", "suite": suite, "device": device, "only": list(only), "sets": list(sets)}
        found = self._ask(question, "the suite cannot be planned")
        self._prove(None)
        return found

    def _there(self, target: str) -> str:
        """The tests that `target` names, in this side's checkout: an absolute path lies in the caller's."""
        path, separator, node = target.partition("::")
        if self.commit is None or not Path(path).is_absolute():
            return target
        return (self.commit.counterpart(path) or path) + separator + node

    def _prove(self, told: dict[str, Any] | None) -> None:
        """Raise UserError where other code would be measured than that of this side: `told` is what a collection of
        tests says of itself."""
        started = origins.Asked(self.name, self.python, self.variables)
        collected = replace(started, said=told)
        if self.commit is not None:
            for asked in (started, collected):
                origins.of_commit(asked, self.commit, own_python=self.python != str(self.commit.python))
            return
        try:
            root = checkouts.root()
        except UserError:  # in no repository
            return
        check = origins.of_here if self.python == sys.executable else origins.of_interpreter
        check(collected, root)

    @functools.cached_property
    def fingerprint(self) -> dict[str, Any]:
        """The machine and the software as this side's interpreter sees them: its torch may be another than ours. Asking
        starts a process, so it is done once."""
        return self._ask({"what": "fingerprint"}, "its software cannot be told")

    def build_kernels(self) -> None:
        """Build this side's own kernels where they must be: now, so that it falls into no measured process. The build
        says itself how far it is. Raises UserError where it fails."""
        words = [self.python, "-c", "from benchsuite import cuda_ext; cuda_ext.prepare()"]
        env = {**git.environment(), **self.variables}
        if subprocess.run(words, env=env, check=False, cwd=self.folder).returncode != 0:
            raise UserError(f"{self.name}: its kernels cannot be built", hint="what the build said stands above")

    def _ask(self, question: dict[str, Any], problem: str) -> dict[str, Any]:
        """Return the answer of the side's interpreter (`benchsuite.gating.asked`), through a file: its stdout belongs
        to the modules that it imports."""
        if not self.folder.is_dir():
            raise UserError(f"{self.name}: the folder {Path.cwd().name} is not in it", exit_code=4)
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "answer.json"
            done = subprocess.run(
                [self.python, "-m", "benchsuite.gating.asked", str(file), json.dumps(question)],
                env={**git.environment(), **self.variables},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                check=False,
                cwd=self.folder,
            )
            found = json.loads(file.read_text()) if file.exists() else {}
        if "error" in found:
            raise UserError(
                f"{self.name}: {problem}: {found['error']}", hint=found["hint"], exit_code=found["exit_code"]
            )
        if "answer" not in found:
            said = (done.stderr or done.stdout).decode(errors="replace").strip().splitlines() or ["it said nothing"]
            end = f"Python ended with exit status {done.returncode} before it could answer"
            raise UserError(f"{self.name}: {problem}: {end}: {_last(said)}", hint="what is imported there may end it")
        return dict(found["answer"])


def are_tests(target: str) -> bool:
    """Return whether `target` names tests, not a suite: a folder, a Python file, or a node of one."""
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
    python, folder, given, variables, sets, commit = sys.executable, Path.cwd(), READING, {}, [], None
    for word in words:
        kind, separator, value = word.partition(":")
        if word == HERE:
            continue
        if not separator or kind not in KINDS:
            kind, value = "ref", word
        match kind:
            case "ref":
                commit = environments.of(value, say)
                here_there = Path.cwd().resolve().relative_to(commit.root.resolve())
                python, folder = str(commit.python), commit.source / here_there
                given = {**ALWAYS, **commit.search_path()}
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
    return Side(" ".join(words), python, folder, {**given, **variables}, tuple(sets), commit)


def _interpreter(text: str) -> str:
    """The interpreter that is meant by its path or by that of its environment."""
    path = path_of(text)
    candidates = [path / "bin" / "python", path / "Scripts" / "python.exe", path]
    found = next((candidate for candidate in candidates if candidate.is_file()), None)
    if found is None:
        raise UserError(f"python:{text}: there is no interpreter", hint="give its path, or a virtual environment's")
    return str(found.absolute())


def _fits(label: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch.fnmatchcase(label, pattern) for pattern in patterns)


def _last(lines: list[str]) -> str:
    return " | ".join(line.strip() for line in lines[-LAST_LINES:])
