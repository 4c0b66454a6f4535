"""The `benchsuite` command in this process: what it prints and its exit code, without a start of Python for each call.

A test of what only a process shows (signals, closed pipes, imports, another interpreter) starts one instead.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any
from unittest import mock

from benchsuite import cli
from benchsuite.errors import UserError
from benchsuite.gating import asked
from benchsuite.gating.sides import Side


def call(*words: object, folder: Path | None = None, **variables: str) -> CompletedProcess[str]:
    """Run `benchsuite WORDS` in `folder` with these environment variables added."""
    command = ["benchsuite", *map(str, words)]
    out, err = io.StringIO(), io.StringIO()
    with (
        mock.patch.object(sys, "argv", command),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        there(folder or Path.cwd(), {"COLUMNS": "200", **variables}),
    ):
        try:
            cli.main()
            code: Any = 0
        except SystemExit as end:
            code = end.code
    return CompletedProcess(command, code or 0, out.getvalue(), err.getvalue())


@contextlib.contextmanager
def there(folder: Path, variables: Mapping[str, str]) -> Iterator[None]:
    """Be in `folder` with these environment variables added."""
    with contextlib.chdir(folder), mock.patch.dict(os.environ, variables):
        yield


def ask_here(side: Side, question: dict[str, Any], problem: str) -> dict[str, Any]:
    """In place of `Side._ask`, for sides that differ in variables only: answer in this process, not in a new one."""
    assert side.python == sys.executable
    with there(side.folder, side.variables):
        try:
            return dict(json.loads(json.dumps(asked.answer(question))))
        except UserError as error:
            message = f"{side.name}: {problem}: {error.message}"
            raise UserError(message, hint=error.hint, exit_code=error.exit_code) from error
