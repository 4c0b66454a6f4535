"""Make a kit: a folder, or an archive of one, with wheels, the runner, its stages, and a page of instructions."""

from __future__ import annotations

import json
import re
import shutil
import tarfile
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from benchsuite import files
from benchsuite.cache import write_atomically
from benchsuite.errors import UserError
from benchsuite.kit import stages, wheels

RUNNER = Path(__file__).with_name("run.py")
README = """benchsuite on a machine without a network

    python{python} run.py              all stages, in order of worth; under nine minutes
    python{python} run.py layers steps these alone
    python{python} run.py --help       what each stage does

For Python {python} with torch {torch}: start it with the Python that has this torch. It installs nothing. It unpacks
the wheels into a temporary folder ({mib} MiB; TMPDIR names another place), which it removes at the end, and writes
results.zip into the folder where it is started, anew after every stage; results-2.zip where there is one already.

`exit 124` says that a stage was ended at its limit, as may happen to layers and quick: what it had measured by then is
in the archive. Bring the archive back, and read it with

    benchsuite report results.zip
"""


@dataclass(frozen=True)
class Kit:
    """A kit that was made: its path, its size in bytes, and the names of the wheels in it."""

    path: Path
    bytes: int
    wheels: tuple[str, ...]


def kit(
    target: Path,
    *,
    python: str,
    has: dict[str, str],
    more: tuple[str, ...] = (),
    device: str = "cuda",
    wheel: Path | None = None,
    say: wheels.Say = lambda text: None,
) -> Kit:
    """Make a kit in the folder `target`, or the archive `target`.tar.gz of one, whole or not at all.

    `python` is the machine's version ("3.12"), `has` its packages (`wheels.there`), `more` requirements beyond
    benchsuite's, `wheel` a wheel of benchsuite that exists; without it one is made from the checkout, with the kernels.
    Raises UserError where something cannot be had, and where the target exists.
    """
    if not re.fullmatch(r"3\.\d{1,2}", python) or int(python[2:]) < 11:
        raise UserError(f"--python {python}: benchsuite needs 3.11 or later", hint="--python 3.12")
    target = files.named(target)
    if target.exists() or target.is_symlink():
        raise UserError(f"{target} exists already", hint="remove it, or name another place with -o")
    archived = target.name.endswith((".tar.gz", ".tgz"))
    files.make(target.parent)
    with tempfile.TemporaryDirectory(prefix=".kit.", dir=target.parent) as temporary:
        folder = Path(temporary, target.name.removesuffix(".tgz").removesuffix(".tar.gz"))
        folder.mkdir()
        if wheel is None:
            from benchsuite.cuda_ext.wheel import make_wheel

            say("making benchsuite's wheel, with its kernels")
            wheel = make_wheel(Path(temporary, "made"))
        elif not wheel.is_file():
            raise UserError(f"--wheel {wheel}: there is no such file")
        say(f"fetching what Python {python} there lacks")
        packed = wheels.fetch(wheel, more, python, has, folder / "wheels", say)
        unpacked = sum(_unpacked(path) for path in packed)
        shutil.copyfile(RUNNER, folder / "run.py")
        about = stages.to_json(device, python, [path.name for path in packed])
        (folder / "kit.json").write_text(json.dumps(about, indent=1) + "\n")
        (folder / "README").write_text(README.format(python=python, torch=has["torch"], mib=unpacked // 2**20))
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        if archived:
            with write_atomically(target) as part:
                with tarfile.open(part, "w:gz") as archive:
                    archive.add(folder, folder.name)
                size = part.stat().st_size
        else:
            folder.chmod(0o755)
            folder.rename(target)
    return Kit(target, size, tuple(path.name for path in packed))


def _unpacked(wheel: Path) -> int:
    """The bytes that a wheel takes when it is unpacked."""
    with zipfile.ZipFile(wheel) as archive:
        return sum(member.file_size for member in archive.infolist())
