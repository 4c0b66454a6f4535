"""Print where this interpreter finds modules: `python resolution.py '{"names": …}'`.

The program is run by its path, because a side may have another version of benchsuite or none, and uses the standard
library only. The question has

    names           modules to look for
    distributions   installed projects, of which all modules are looked for
    inside          folders of which the parts of a namespace package are looked through
    path            the module search path to use instead of this interpreter's, or null

It prints {"modules": {module: file}, "prefix": …, "sources": […]}: a package or a module with its file, a namespace
package by what lies in it within `inside`, or, where nothing of it does, by its first folder. What is not found has no
row. `sources` are the folders from which the distributions are installed editable.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import os
import re
import sys
from importlib import metadata
from pathlib import Path
from urllib.parse import unquote, urlsplit

DEPTH = 4  # of namespace packages within namespace packages
BINARY = ("so", "pyd")


def modules(distribution: metadata.Distribution) -> set[str]:
    """Return the modules of a distribution, each by its shortest name that is not a namespace package. They come from
    the list of its files or, if it is installed editable, from the metadata of its build tool."""
    files = [file for file in distribution.files or () if file.parts[0] != ".."]
    code = [file for file in files if file.suffix == ".py" or file.name.endswith(BINARY)]
    packages = {file.parent.parts for file in code if file.name == "__init__.py"}
    found = set()
    for file in code:
        parts = next((file.parts[:n] for n in range(1, len(file.parts)) if file.parts[:n] in packages), None)
        found.add(".".join(parts or (*file.parts[:-1], file.name.partition(".")[0])))
    if not packages and source(distribution) is not None:  # a redirection and its helpers
        found |= set((distribution.read_text("top_level.txt") or "").split())
        found |= _of_paths(distribution, files)
    elif not found:
        found |= set((distribution.read_text("top_level.txt") or "").split())
    helpers = {name for name in found if name.startswith("_") and "editable" in name}  # of editable installs
    return {name for name in found - helpers if all(part.isidentifier() for part in name.split("."))}


def source(distribution: metadata.Distribution) -> tuple[str, bool] | None:
    """Return the folder that a distribution was installed from, or None if unknown, and whether it is editable."""
    try:
        about = json.loads(distribution.read_text("direct_url.json") or "{}")
        url = urlsplit(about.get("url", ""))
        editable = bool(about.get("dir_info", {}).get("editable"))
    except (ValueError, AttributeError):
        return None
    return (unquote(url.path), editable) if url.scheme == "file" and "dir_info" in about else None


def normal(name: str) -> str:
    """Return the normalized name of a project, as package indexes compare names."""
    return re.sub(r"[-_.]+", "-", name).lower()


def name_of(distribution: metadata.Distribution) -> str:
    """Return the normalized name of an installed project; empty if its metadata is gone."""
    try:
        return normal(distribution.metadata["Name"])
    except (TypeError, KeyError, AttributeError):
        return ""


def _of_paths(distribution: metadata.Distribution, files: list[metadata.PackagePath]) -> set[str]:
    """Return the modules in the folders that an editable distribution adds to the path."""
    found = set()
    told = source(distribution)
    for file in files:
        if file.suffix != ".pth":
            continue
        with contextlib.suppress(OSError, UnicodeDecodeError), open(str(file.locate())) as text:
            for folder in (line.strip() for line in text):
                if Path(folder).is_absolute() and Path(folder).is_dir():
                    top = told is not None and os.path.realpath(folder) == os.path.realpath(told[0])
                    found |= _in_folder(folder, name_of(distribution), top)
    return found


def _in_folder(folder: str, name: str, top: bool) -> set[str]:
    """Return the modules in a folder of the path. The top of a project has other folders as well: of those that are not
    packages, only the one with the project's name counts."""
    found = set()
    for entry in Path(folder).iterdir():
        module = module_of(entry)
        if module is None or module in sys.stdlib_module_names or entry.name in ("setup.py", "conftest.py"):
            continue
        package = entry.is_file() or (entry / "__init__.py").is_file()
        if package or not top or normal(module) == name.partition("-")[0]:
            found.add(module)
    return found


def resolve(name: str, inside: list[str], depth: int = DEPTH) -> dict[str, str]:
    """Return the rows of one name. Imports namespace packages and the parent packages of `name`."""
    try:
        spec = importlib.util.find_spec(name)
    except BaseException:  # a package above it may raise anything when it is imported
        return {}
    if spec is None:
        return {}
    if spec.origin is not None and spec.origin != "namespace":
        return {name: spec.origin}
    portions = [place for place in spec.submodule_search_locations or () if Path(place).is_dir()]
    ours = [place for place in portions if any(within(place, folder) for folder in inside)]
    found: dict[str, str] = {}
    for place in ours:
        for entry in sorted(Path(place).iterdir()) if depth else ():
            module = module_of(entry)
            if module is not None:
                found |= resolve(f"{name}.{module}", inside, depth - 1)
    elsewhere = [place for place in portions if place not in ours]
    return found or ({name: elsewhere[0]} if elsewhere else {})


def module_of(entry: Path) -> str | None:
    """Return the name by which a file or folder can be imported, or None."""
    stem, point, ending = entry.name.partition(".")
    if not stem.isidentifier() or stem.startswith("__"):
        return None
    if not point:
        return stem if entry.is_dir() else None
    return stem if ending == "py" or ending.endswith(BINARY) else None


def within(path: str, folder: str) -> bool:
    """Return whether `path` lies in `folder`, with links resolved."""
    path, folder = os.path.realpath(path), os.path.realpath(folder)
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)


def main() -> None:
    asked = json.loads(sys.argv[1])
    names, sources = set(asked["names"]), []
    for name in asked["distributions"]:
        with contextlib.suppress(metadata.PackageNotFoundError):
            distribution = metadata.distribution(name)
            names |= modules(distribution)
            told = source(distribution)
            sources += [told[0]] if told and told[1] else []
    if asked["path"] is not None:
        sys.path[:] = asked["path"]
    found: dict[str, str] = {}
    with contextlib.redirect_stdout(io.StringIO()):
        for name in sorted(names):
            found |= resolve(name, asked["inside"])
    print(json.dumps({"modules": found, "prefix": sys.prefix, "sources": sources}))


if __name__ == "__main__":
    main()
