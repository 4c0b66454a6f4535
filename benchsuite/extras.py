"""The packages that only some commands need, and the extra of benchsuite that installs each.

    extras.require("quality", "training models")    # raises UserError unless they are installed

A base installation measures speed and runs the gate. The command line turns an import of a missing package into the
same error, so that modules import these packages as any other.
"""

from __future__ import annotations

from importlib.util import find_spec

from benchsuite.errors import UserError

PACKAGES = {
    "gate": ("pytest", "pytest_benchmark"),
    "tables": ("pandas", "pyarrow"),
    "quality": ("lm_eval", "transformers", "tokenizers", "datasets", "accelerate", "pyarrow"),
    "cluster": ("submitit",),
    "gguf": ("gguf",),
}
OPTIONAL = {"pytest_benchmark", "accelerate"}  # used where installed


def absent(extra: str) -> list[str]:
    """Return the packages of an extra that are needed and not installed."""
    return [name for name in PACKAGES[extra] if name not in OPTIONAL and find_spec(name) is None]


def command(extra: str) -> str:
    """Return the command that installs an extra."""
    return f"pip install 'benchsuite[{extra}]', or '.[{extra}]' in a checkout"


def require(extra: str, purpose: str) -> None:
    """Raise UserError if a package of the extra is not installed. `purpose` begins the message."""
    if names := absent(extra):
        verb = "is" if len(names) == 1 else "are"
        raise UserError(f"{purpose} needs {', '.join(names)}, which {verb} not installed", hint=command(extra))


def missing(error: ModuleNotFoundError) -> UserError | None:
    """Return the error for a person if what could not be imported belongs to an extra."""
    package = (error.name or "").partition(".")[0]
    extra = next((extra for extra, packages in PACKAGES.items() if package in packages), None)
    return None if extra is None else UserError(f"{package} is not installed", hint=command(extra))
