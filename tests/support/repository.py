"""Repositories of small projects, installed in environments of their own, for gates to compare commits of."""

from __future__ import annotations

import os
import site
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

SETUPTOOLS = '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n'
TESTS = """
import time
from {module} import work

def test_work(speed):
    speed(work, threads=1)
"""
WORK = "import time\n\n\ndef work():\n    time.sleep({seconds})\n"
FAST_S, SLOW_S = 0.001, 0.003


def git(folder: Path, *words: str, **variables: str) -> str:
    """What a git command prints, without any of the user's settings."""
    env = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    env |= {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull, **variables}
    for role in ("AUTHOR", "COMMITTER"):
        env |= {f"GIT_{role}_NAME": "x", f"GIT_{role}_EMAIL": "x@example.org"}
    words = ("-c", "protocol.file.allow=always", *words)
    done = subprocess.run(["git", *words], cwd=folder, env=env, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def write(folder: Path, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def commit(folder: Path, tag: str, files: Mapping[str, str]) -> None:
    """Commit all that is there, `files` too, and tag it."""
    write(folder, files)
    git(folder, "add", "-A", "-f", ".")
    git(folder, "commit", "-qm", tag)
    git(folder, "tag", tag)


def environment(folder: Path) -> Path:
    """The interpreter of a new environment that has all that this one has."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    packages = next(folder.glob("lib/python*/site-packages"))
    lines = "; ".join(f"site.addsitedir({path!r})" for path in site.getsitepackages())
    (packages / "zz_all.pth").write_text(f"import site; {lines}\n")
    return folder / "bin" / "python"


def install(python: Path, project: Path, *options: str) -> None:
    """Install a project with the build tools that are here."""
    command = [sys.executable, "-m", "pip", "--python", str(python), "install", "-q", "--no-deps", "--use-pep517"]
    command += ["--no-build-isolation", "--ignore-installed", *options, str(project)]
    env = {**os.environ, "PATH": with_programs()}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def with_programs() -> str:
    """PATH with the programs of this environment, as where it is activated."""
    return f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"


def call(folder: Path, python: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """A command of benchsuite in a folder, with a cache beside it."""
    env = {**os.environ, "BENCHSUITE_CACHE": str(folder.parent / "cache"), "COLUMNS": "200", **variables}
    command = [str(python), "-P", "-m", "benchsuite", *words]
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
