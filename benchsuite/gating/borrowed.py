"""Make the other packages of the caller's environment importable in the environment of a commit.

This file is copied into that environment together with `borrowed.json`, and runs when its interpreter starts, so it
uses the standard library only. The packages that the commit installs must take precedence, however they are installed:
an editable finder at the end of `sys.meta_path` loses to any ordinary copy on the path, and one at its front wins.
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
    """Find the modules of the project everywhere except in the borrowed `folders`."""

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
    """Apply borrowed.json: borrow from `folders`, except the path files in `left_out` and the modules in `names`, and
    replace each path entry in `moved`, which lies in the caller's checkout, by its counterpart, or drop it if null."""
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
