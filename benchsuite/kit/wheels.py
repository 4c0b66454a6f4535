"""The wheels that a machine lacks: what benchsuite needs there, without what the machine has.

pip resolves for the machine's Python and platform. What is there already takes part as an empty wheel of its name and
version, so that pip heeds its version, fetches nothing for it, and none of it gets into the kit.
"""

from __future__ import annotations

import importlib.metadata
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path

from benchsuite.errors import UserError

# Newer systems read the wheels of older ones; ours, which is for no index, is of `linux`.
PLATFORMS = (
    *("manylinux_2_28_x86_64", "manylinux_2_27_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64"),
    "linux_x86_64",
)
# Large packages that come with torch on a GPU machine. Its other requirements are small and are packed.
WITH_TORCH = ("triton",)
PACKAGE = re.compile(r"([A-Za-z0-9](?:[\w.-]*[A-Za-z0-9])?)(?:\s*==\s*([\w.!+]+))?")
UNFIT = re.compile(r"No matching distribution found for ([A-Za-z0-9][\w.-]*[^\s(;]*)")
MOST_BUILT = 20  # packages that have no wheel on the index

Say = Callable[[str], None]


def there(torch: str, has: Iterable[str]) -> dict[str, str]:
    """Return the packages of the machine, versions by name, from --torch and --has: a `pip freeze` file, NAME==VERSION,
    or NAME, which has the version that is installed here. Raises UserError for anything else."""
    found = {}
    for word in has:
        path = Path(word)
        lines = _lines(path) if path.is_file() else [word]
        for line in lines:
            match = PACKAGE.fullmatch(line)
            if not match:
                if path.is_file():
                    continue  # `-e ...` and `name @ file://...` of a freeze file
                raise UserError(
                    f"--has {word}: neither a file nor a package", hint="--has packages.txt or --has numpy==2.3.1"
                )
            name, version = _plain(match[1]), match[2] or _version_here(match[1])
            if version is None:
                raise UserError(f"--has {word}: which version of it is there?", hint=f"--has {match[1]}==VERSION")
            found[name] = version
    if torch:
        if not re.fullmatch(r"\d+(\.\d+)+[\w.+]*", torch):
            raise UserError(f"--torch {torch}: not a version", hint="--torch 2.10")
        found["torch"] = torch
    if "torch" not in found:
        raise UserError(
            "which torch has the machine? It is gigabytes, and is never packed",
            hint="--torch 2.10, or --has FILE with what `pip list --format=freeze` prints there",
        )
    found.pop("benchsuite", None)  # the kit brings its own
    for name in WITH_TORCH:
        found.setdefault(name, _version_here(name) or "3.5.0")
    return found


def fetch(wheel: Path, more: Iterable[str], python: str, has: dict[str, str], target: Path, say: Say) -> list[Path]:
    """Put `wheel` and what it and `more` need, without what the machine `has`, into the folder `target`.

    Returns the wheels. Raises UserError with pip's words where they cannot be had.
    """
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        empty, got, built = Path(folder, "empty"), Path(folder, "got"), Path(folder, "built")
        for place in (empty, got, built):
            place.mkdir()
        # Greater than the same version on the index, so that it is what pip takes.
        marked = {name: f"{version}{'.' if '+' in version else '+'}there" for name, version in has.items()}
        stubs = {_empty_wheel(empty, name, version).name for name, version in marked.items()}
        constraints = Path(folder, "constraints.txt")
        constraints.write_text("".join(f"{name}=={version}\n" for name, version in marked.items()))
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
        command += ["--only-binary=:all:", "--implementation=cp", f"--python-version={python}"]
        command += [word for platform in PLATFORMS for word in ("--platform", platform)]
        command += ["--find-links", str(empty), "--find-links", str(built), "--constraint", str(constraints)]
        command += ["--dest", str(got), f"{wheel}[tables,quality]", *more]
        for _ in range(MOST_BUILT):
            done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
            if done.returncode == 0:
                break
            unfit = UNFIT.search(done.stderr)
            if not unfit or not _build(unfit[1], built, say):
                errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or [done.stderr[-500:]]
                raise UserError(
                    "pip cannot find what the machine lacks:\n" + "\n".join(f"  {line}" for line in errors[-6:]),
                    hint="packages of the machine that do not fit may be left out of --has: then newer ones are packed",
                )
        wheels = []
        for path in sorted(got.glob("*.whl")):
            if path.name not in stubs:
                wheels.append(path.rename(target / path.name))
        return wheels


def _build(requirement: str, target: Path, say: Say) -> bool:
    """Make the wheel of a package that has none on the index; whether there is one now, for every machine."""
    before = set(target.iterdir())
    say(f"building a wheel of {requirement}")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check", "--no-deps"]
    done = subprocess.run([*command, "--wheel-dir", str(target), requirement], capture_output=True, check=False)
    made = set(target.iterdir()) - before
    return done.returncode == 0 and bool(made) and all(path.name.endswith("-none-any.whl") for path in made)


def _empty_wheel(folder: Path, name: str, version: str) -> Path:
    """A wheel with a name, a version, and nothing in it."""
    stem = f"{name.replace('-', '_')}-{version}"
    path = folder / f"{stem}-py3-none-any.whl"
    about = f"{stem}.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{about}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        archive.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{about}/RECORD", "")
    return path


def _lines(path: Path) -> list[str]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"--has {path}: cannot be read: {error}") from error
    lines = (line.split("#")[0].split(";")[0].strip() for line in text.splitlines())
    return [line for line in lines if line]


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _version_here(name: str) -> str | None:
    try:
        return importlib.metadata.version(name).split("+")[0]
    except importlib.metadata.PackageNotFoundError:
        return None
