"""The error that a user can act on. The command line prints it without a traceback."""

from __future__ import annotations

from pathlib import Path


class UserError(Exception):
    """Wrong input: a file, a name, a number, a folder.

    `message` names the fault and its place; `hint` is the way out. The command line prints both on stderr and exits
    with `exit_code`: 2 for usage and configuration, 4 for runs that cannot be compared.
    """

    def __init__(self, message: str, *, hint: str = "", exit_code: int = 2) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.exit_code = exit_code

    def __str__(self) -> str:
        return f"{self.message}\n{self.hint}" if self.hint else self.message


def did_you_mean(name: str, choices: list[str]) -> str:
    """Return "did you mean X?" for the nearest choice, or the list of all choices if none is near."""
    import difflib

    near = difflib.get_close_matches(name, choices, n=1, cutoff=0.6)
    return f"did you mean {near[0]!r}?" if near else f"choose from: {', '.join(choices)}"


class Interrupted(Exception):  # noqa: N818 - not an error of the program
    """A signal or a caller stopped the run; its records are kept in `folder`."""

    def __init__(self, folder: Path | None = None) -> None:
        super().__init__(f"interrupted; what is recorded is kept in {folder}" if folder else "interrupted")
        self.folder = folder
