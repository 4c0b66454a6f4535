"""From a suite's name or path, its includes and the command line's overrides to a checked `Suite`.

    suite = read("quick", sets=["quality.train.tokens=200k"])

Whatever is wrong, the message names the file, the line, the key and what was expected.
"""

from __future__ import annotations

import dataclasses
import importlib.resources
import json
import types
import typing
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from benchsuite.errors import UserError, did_you_mean
from benchsuite.pretrain.names import path_of
from benchsuite.suite import yaml_tree
from benchsuite.suite.check import problems, without_effect
from benchsuite.suite.schema import Suite
from benchsuite.suite.values import Precision
from benchsuite.suite.yaml_tree import KeyPath, Place, Tree

# Keys that say which files are read. An override comes after that.
TOO_LATE = {
    "include": "write a suite file that includes both",
    "scale": "--scale NAME takes another size of the suite",
    "at": "override the key itself",
}
AUTO = "auto"  # the scale of a suite whose `at` is a ladder
SHOWN = 6  # problems of one file that are told at once


def find(suite: str, beside: Path | None = None) -> Path:
    """The file of a suite given by name or path; `beside` is the folder that relative paths start from."""
    if suite in packaged_files():
        return packaged_files()[suite]
    path = path_of(suite)
    if beside is not None and not path.is_absolute():
        path = beside / path
    if path.suffix not in (".yaml", ".yml") and not path.exists():
        raise UserError(f"there is no suite {suite!r}", hint=did_you_mean(suite, list(packaged_files())))
    return path


def packaged_files() -> dict[str, Path]:
    """The files of the suites that come with benchsuite, by name."""
    folder = Path(str(importlib.resources.files("benchsuite.suites")))
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def scales() -> dict[str, Path]:
    """The files of the scales that come with benchsuite, by name."""
    folder = Path(str(importlib.resources.files("benchsuite.suites"))) / "scales"
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def packaged() -> dict[str, str]:
    """The suites that come with benchsuite and what each says of itself."""
    return {name: str(yaml_tree.load(path).value.get("description", "")) for name, path in packaged_files().items()}


def read(suite: str, *, sets: Sequence[str] = (), scale: str | None = None, dtype: str | None = None) -> Suite:
    """Read and check the suite, at another `scale` than its own if one is given; of a ladder, at the lowest. `sets`
    are overrides written `key.path=value`; `dtype` is that of all layers and operators, and the precision of trainings.
    Raises UserError."""
    tree = _at_scale(_with_includes(find(suite), ()), scale)
    for override in _typed(tree, dtype) if dtype else ():
        tree = _set(tree, override)
    for override in sets:
        tree = _set(tree, override)
    found = validate(tree)
    for override in sets:
        if reason := without_effect(found, _key(override)):
            raise UserError(f"--set {override}: has no effect: {reason}")
    return found


def ladder(suite: str) -> tuple[str, ...]:
    """Return the scales of a suite that leaves its size to the machine (`scale: auto`), the smallest first; none of
    another. Raises UserError."""
    value = _with_includes(find(suite), ()).value
    return tuple(value["at"]) if isinstance(value, dict) and value.get("scale") == AUTO and value.get("at") else ()


def from_json(value: dict[str, Any]) -> Suite:
    """A suite that a manifest holds resolved. Raises UserError where this version does not read it."""
    return validate(Tree(value, {(): Place("manifest.json", 1)}), check=False)


def validate(tree: Tree, *, check: bool = True) -> Suite:
    """The tree's values as a `Suite`. Raises UserError that lists what is wrong, each with its place."""
    if not isinstance(tree.value, dict):
        raise UserError(f"{tree.places[()]}: a suite is a mapping of keys to values, not {_shown(tree.value)}")
    value = {key: item for key, item in tree.value.items() if key != "include"}
    found: list[tuple[KeyPath, str]] = []
    try:
        # In pydantic's JSON mode a list is a tuple's natural form, and strictness still forbids "3" for 3.
        suite = TypeAdapter(Suite).validate_json(json.dumps(value))
        found = list(problems(suite)) if check else []
    except ValidationError as error:
        found = [_problem(details) for details in error.errors(include_url=False)]
    if found:
        lines = [f"{_place(tree, path)}: {_lead(path)}{message}" for path, message in dict(found).items()]
        more = [f"… and {len(lines) - SHOWN} more"] if len(lines) > SHOWN else []
        raise UserError("\n".join(lines[:SHOWN] + more))
    return suite


def _with_includes(path: Path, including: tuple[Path, ...]) -> Tree:
    """The tree of `path` laid over those of the files it includes; of several the later ones win."""
    path = path.resolve()
    if path in including:
        chain = " → ".join(_name(step) for step in (*including[including.index(path) :], path))
        raise UserError(f"{_name(including[-1])}: suites include one another in a circle: {chain}")
    tree = yaml_tree.load(path, _name(path))
    wanted = tree.value.get("include", []) if isinstance(tree.value, dict) else []
    wanted = [wanted] if isinstance(wanted, str) else wanted
    if not isinstance(wanted, list) or not all(isinstance(name, str) for name in wanted):
        raise UserError(f"{tree.places[('include',)]}: include: should be a file name or a list of them")
    base: Tree | None = None
    for name in wanted:
        try:
            found = find(name, path.parent)
            if not found.exists():
                raise UserError(f"{_name(found)} does not exist")
        except UserError as error:
            raise UserError(f"{tree.places[('include',)]}: include: {error.message}", hint=error.hint) from error
        included = _with_includes(found, (*including, path))
        base = included if base is None else _merge(base, included)
    return tree if base is None else _merge(base, tree)


def _at_scale(tree: Tree, scale: str | None) -> Tree:
    """The suite laid over the file of its scale, and what it says `at` that scale over both."""
    if not isinstance(tree.value, dict) or tree.value.get("scale") is None:
        if scale is not None:
            name = tree.value.get("name") if isinstance(tree.value, dict) else None
            raise UserError(
                f"--scale {scale}: the suite {name} has one size only", hint="the ablation-… suites have more"
            )
        if isinstance(tree.value, dict) and "scale" in tree.value:  # null: none of the ladder that it includes
            ladder_keys = ("scale", "at", "ladder_s")
            tree = Tree({key: value for key, value in tree.value.items() if key not in ladder_keys}, tree.places)
        return tree
    at, files, own_size = tree.value.get("at") or {}, scales(), tree.value["scale"] == AUTO
    known = list(at) if own_size and isinstance(at, dict) else list(files)
    unknown = next((name for name in at if name not in known), None) if isinstance(at, dict) else None
    if not isinstance(at, dict) or unknown is not None or not known:
        hint = did_you_mean(str(unknown), known) if unknown is not None else "at: {SCALE: {KEY: VALUE}}"
        place = tree.places[("at",) if "at" in tree.value else ("scale",)]
        raise UserError(f"{place}: at: should map names of scales to what changes there", hint=hint)
    chosen = scale if scale not in (None, AUTO) else known[0] if own_size else tree.value["scale"]
    if chosen not in known:
        where = f"--scale {scale}" if scale else str(tree.places[("scale",)])
        raise UserError(f"{where}: there is no scale {chosen!r}", hint=did_you_mean(str(chosen), known))
    own = Tree({key: value for key, value in tree.value.items() if key != "at"} | {"scale": chosen}, tree.places)
    size = Tree({}, {(): tree.places[()]}) if own_size else _with_includes(files[str(chosen)], ())
    parts = {key: value for key, value in size.value.items() if key not in ("speed", "quality") or key in own.value}
    merged = _merge(Tree(parts, size.places), own)  # a suite without a speed part needs none of its size
    if chosen in at:
        cut = ("at", chosen)
        places = {path[2:]: place for path, place in tree.places.items() if path[:2] == cut}
        merged = _merge(merged, Tree(at[chosen], places))
    return merged


def _name(path: Path) -> str:
    """A short name of the file for messages: relative where it is below the working folder."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def _merge(base: Tree, over: Tree) -> Tree:
    """`over` laid on `base`: mappings key by key, anything else replaced whole, places included."""
    if not isinstance(base.value, dict) or not isinstance(over.value, dict):
        return over
    places = {**base.places, (): over.places[()]}

    def lay(low: dict[str, Any], high: dict[str, Any], path: KeyPath) -> dict[str, Any]:
        merged = dict(low)
        for key, value in high.items():
            here = (*path, key)
            if isinstance(value, dict) and isinstance(low.get(key), dict):
                merged[key] = lay(low[key], value, here)
                continue
            for old in [place for place in places if place[: len(here)] == here]:
                del places[old]
            places.update({place: mark for place, mark in over.places.items() if place[: len(here)] == here})
            merged[key] = value
        return merged

    return Tree(lay(base.value, over.value, ()), places)


def _typed(tree: Tree, dtype: str) -> list[str]:
    """The overrides that make `dtype` that of everything; steps compute in the precision of the trainings. Raises
    UserError for a type that trainings do not have."""
    if dtype not in typing.get_args(Precision):
        raise UserError(f"--dtype {dtype}: is unknown", hint=did_you_mean(dtype, list(typing.get_args(Precision))))
    value = tree.value if isinstance(tree.value, dict) else {}
    if "domains" in value and dtype != "float32":
        raise UserError(
            f"--dtype {dtype}: the domains part of the suite trains in float32",
            hint="--set quality.train.precision is that of its language models alone",
        )
    parts = [value.get(key) for key in ("speed", "quality")]
    speed, quality = (part if isinstance(part, dict) else {} for part in parts)
    cases = enumerate(speed.get("cases", ()))
    layers = [n for n, case in cases if isinstance(case, dict) and case.get("scope", "layer") == "layer"]
    keys = [f"speed.cases.{number}.dtype" for number in layers]
    keys += [f"speed.operators.{number}.dtype" for number in range(len(speed.get("operators", ())))]
    keys += ["quality.train.precision"] if isinstance(quality.get("train"), dict) else []
    return [f"{key}={dtype}" for key in keys]


def _set(tree: Tree, override: str) -> Tree:
    """`tree` with one override; the value is read as YAML would read it."""
    name, equals, text = override.partition("=")
    place = Place(f"--set {override}", 0)
    path = _key(name)
    if not equals or not all(str(part) for part in path):
        raise UserError(f"--set {override}: should be KEY=VALUE", hint="for instance --set quality.train.tokens=200k")
    if path[0] in TOO_LATE:
        raise UserError(f"--set {override}: has no effect on a suite that has been read", hint=TOO_LATE[str(path[0])])
    given = yaml_tree.parse(text.encode(errors="surrogateescape") or b'""', f"--set {override}")
    value = json.loads(json.dumps(tree.value)) if isinstance(tree.value, dict) else {}
    parent: Any = value
    for depth, part in enumerate(path[:-1]):
        held = parent.get(part) if isinstance(parent, dict) else _item(parent, part)
        if held is None and isinstance(parent, dict) and part in _keys(path[:depth]):
            if part in ("speed", "quality"):
                raise UserError(f"--set {override}: the suite has no {part} part")
            held = parent.setdefault(str(part), {})
        if isinstance(parent, list) and held is None:
            raise UserError(f"--set {override}: {_dotted(path[:depth])} has {len(parent)} entries, counted from 0")
        if not isinstance(held, dict | list):
            raise UserError(f"--set {override}: there is no {_dotted(path[: depth + 1])}{_near(path[: depth + 1])}")
        parent = held
    last = path[-1]
    if isinstance(parent, dict):
        parent[str(last)] = given.value
    elif _item(parent, last) is None:
        raise UserError(f"--set {override}: {_dotted(path[:-1])} has {len(parent)} entries, counted from 0")
    else:
        parent[typing.cast(int, last)] = given.value
    return Tree(value, {**tree.places, path: place})


def _key(override: str) -> KeyPath:
    """The path that an override begins with. An index has at most nine digits."""
    words = override.partition("=")[0].strip().split(".")
    return tuple(int(word) if word.isascii() and word.isdecimal() and len(word) < 10 else word for word in words)


def _item(parent: Any, part: object) -> Any:
    return parent[part] if isinstance(parent, list) and isinstance(part, int) and part < len(parent) else None


def _problem(details: Any) -> tuple[KeyPath, str]:
    """A pydantic error as key path and message, in the words of a suite file."""
    path: KeyPath = tuple(part for part in details["loc"] if not _is_branch(part))
    match details["type"]:
        case "unexpected_keyword_argument" | "extra_forbidden":
            return path, f"unknown key{_near(path)}"
        case "missing" | "missing_argument":
            return path, "is missing"
        case _:
            said = details["msg"].replace("Input should be", "should be").replace("Value error, ", "")
            said = said.replace("an object", "a mapping").replace("valid array", "list").replace("valid tuple", "list")
            return path, f"{said[0].lower()}{said[1:]}, not {_shown(details['input'])}"


def _is_branch(part: object) -> bool:
    """Return whether a part of pydantic's location names a branch of a union or a validator and not a key of the
    file."""
    return isinstance(part, str) and (part in ("int", "float", "str", "[key]") or "[" in part or "(" in part)


def _place(tree: Tree, path: KeyPath) -> str:
    """The place of `path`, or of the nearest mapping around it."""
    while path and path not in tree.places:
        path = path[:-1]
    place = tree.places[path]
    return str(place) if place.line else place.file


def _dotted(path: KeyPath) -> str:
    return ".".join(map(str, path))


def _lead(path: KeyPath) -> str:
    return f"{_dotted(path)}: " if path else ""


def _shown(value: Any) -> str:
    text = "nothing" if value is None else repr(value)
    return text if len(text) <= 60 else text[:57] + "…"


def _near(path: KeyPath) -> str:
    known = _keys(path[:-1])
    return f"; {did_you_mean(str(path[-1]), known)}" if known else ""


@cache
def _keys(path: KeyPath) -> list[str]:
    """The keys that the schema allows in the mapping at `path`; none where it allows any."""
    kind: Any = Suite
    for part in path:
        hints = typing.get_type_hints(kind, include_extras=False) if dataclasses.is_dataclass(kind) else {}
        kind = hints.get(str(part)) if not isinstance(part, int) else kind
        while typing.get_origin(kind) in (typing.Union, types.UnionType, tuple):
            kind = next((a for a in typing.get_args(kind) if a not in (type(None), Ellipsis)), None)
        if kind is None:
            return []
    return [field.name for field in dataclasses.fields(kind)] if dataclasses.is_dataclass(kind) else []
