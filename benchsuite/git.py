"""Git, asked so that the repository in which a command is called is read and never written.

Git tells its hooks which repository they belong to in variables (GIT_DIR, GIT_INDEX_FILE, …). A call that inherits them
works on that repository wherever it runs, so none of our calls and no process that we start for a side has them.
"""

from __future__ import annotations

import functools
import os
import subprocess
from pathlib import Path

# No index is refreshed and no lock taken in passing, and nobody is asked for a password.
READING = {"GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0"}
# Neither hooks nor a file monitor of the user's settings run in what we make, nor does git tidy up behind us.
ALONE = ("core.hooksPath=" + os.devnull, "core.fsmonitor=false", "gc.auto=0", "maintenance.auto=false")
NOT_FOUND = 127  # as a shell says it


@functools.cache
def local_variables() -> frozenset[str]:
    """The names of the variables by which git ties a process to one repository, as the installed git tells them."""
    try:
        done = subprocess.run(["git", "rev-parse", "--local-env-vars"], capture_output=True, text=True, check=False)
    except OSError:  # no git, so nothing that would read them
        return frozenset()
    return frozenset([*done.stdout.split(), "GIT_QUARANTINE_PATH"])


def environment() -> dict[str, str]:
    """This process's variables without those that tie it to a repository."""
    return {name: value for name, value in os.environ.items() if name not in local_variables()}


def run(
    *words: str, folder: Path | None = None, text: str | None = None, fetch: bool = False
) -> subprocess.CompletedProcess[str]:
    """Run git in `folder` (else in the current one) with `text` as its input; an absent git gives the exit status 127.
    With `fetch` a partial clone may get what it lacks from its remote.

    File names that are not UTF-8 come back as Python writes them, with surrogates.
    """
    settings = [word for setting in ALONE for word in ("-c", setting)]
    command = ["git", *(["-C", str(folder)] if folder else []), *settings, *words]
    variables = {**environment(), **READING, "GIT_NO_LAZY_FETCH": "0" if fetch else "1"}
    try:
        return subprocess.run(
            command,
            env=variables,
            input=text,
            stdin=subprocess.DEVNULL if text is None else None,
            capture_output=True,
            encoding="utf-8",
            errors="surrogateescape",
            check=False,
        )
    except OSError as error:
        return subprocess.CompletedProcess(command, NOT_FOUND, "", f"git cannot be started: {error.strerror}")


def commit() -> str | None:
    """Of the project in this folder; with `+changes` where tracked files differ; None outside a repository."""
    head = run("rev-parse", "--verify", "--quiet", "HEAD")
    if head.returncode != 0:
        return None
    changes = run("status", "--porcelain", "--untracked-files=no")
    return head.stdout.strip() + ("" if changes.returncode == 0 and not changes.stdout else "+changes")
