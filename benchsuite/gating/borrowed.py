"""How the environment of a commit borrows all else that is installed where the gate was called.

This file is copied into that environment, with `borrowed.json` beside it, and run when its interpreter starts; so it
uses the standard library alone. What the commit itself installs must win, however it is installed: an editable finder
that is appended to `sys.meta_path` loses to any ordinary copy on the path, and one that is put in front wins over all.
"""

from __future__ import annotations

import contextlib
import json
import os
import site
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any


class Elsewhere:
    """A finder that finds the modules of the project everywhere but in the `folders` that are borrowed."""

    def __init__(self, names: Sequence[str], folders: Sequence[str]) -> None:
        self.names = frozenset(names)
        self.folders = tuple(folders)

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name not in self.names:
            return None
        places = [place for place in (sys.path if path is None else path) if not self._borrowed(place)]
        spec = PathFinder.find_spec(name, places, target)
        if spec is None:
            raise ModuleNotFoundError(f"No module named {name!r}: this commit does not have it", name=name)
        return spec

    def _borrowed(self, place: str) -> bool:
        return any(place == folder or place.startswith(folder + os.sep) for folder in self.folders)


def install() -> None:
    """Do what borrowed.json says: `folders` to borrow, `left_out` path files in them, `names` of modules that they
    must not give, and `moved`, entries of the path in the caller's checkout, each with its counterpart or null."""
    about: dict[str, Any] = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))
    ordinary: Any = PathFinder
    at = sys.meta_path.index(ordinary)
    sys.meta_path[at:] = [*sys.meta_path[at + 1 :], Elsewhere(about["names"], about["folders"]), ordinary]
    for folder in about["folders"]:
        with contextlib.suppress(OSError):
            entries = sorted(entry.name for entry in Path(folder).iterdir())
            sys.path.append(folder)
            for entry in entries:
                if entry.endswith(".pth") and not entry.startswith(".") and entry not in about["left_out"]:
                    site.addpackage(folder, entry, None)
    sys.path[:] = [entry for entry in (about["moved"].get(entry, entry) for entry in sys.path) if entry]
