"""The archive that a kit brings back, which may come from anywhere: unpacked under limits, then read as runs.

extracted(Path("results.zip"), Path("results"))      # a folder for each stage
"""

from __future__ import annotations

import hashlib
import shutil
import stat
import tempfile
import zipfile
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from benchsuite import files
from benchsuite.errors import UserError

MOST_FILES, MOST_BYTES, MOST_FILE_BYTES, MOST_NAME = 20_000, 2**30, 2**28, 240
MARK = ".archive"  # holds the hash of the archive that a folder was made from
HINT = "it is no results.zip of a kit; nothing was unpacked"


class Stage(BaseModel):
    """The end of a stage: exit code 124 at its limit, None where it was not begun."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    exit_code: int | None
    time_s: float
    limit_s: float
    said: str


class Summary(BaseModel):
    """The archive's summary.json."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    device: str
    python: str
    stages: tuple[Stage, ...]
    left_out: tuple[str, ...] = ()


def extracted(archive: Path) -> Path:
    """Unpack `archive` into a folder beside it, named as it is without its ending; return the folder.

    A folder that was made of the same archive is taken as it is. Raises UserError for an archive that is none or is not
    safe to unpack, and for a folder of that name that is something else.
    """
    target = files.named(archive).with_suffix("")
    if target == files.named(archive):
        raise UserError(f"{archive}: an archive of results ends in .zip", hint=HINT)
    try:
        content = hashlib.sha256(files.read(archive)).hexdigest()
    except OSError as error:
        raise UserError(f"{archive} cannot be read: {error.strerror}", hint="give the results.zip of a kit") from error
    if target.exists() or target.is_symlink():
        if target.is_dir() and not target.is_symlink() and _mark(target) == content:
            return target
        raise UserError(f"{target} exists already, and is not of {archive.name}", hint="remove it, or move the archive")
    with tempfile.TemporaryDirectory(prefix=".results.", dir=target.parent) as temporary:
        folder = Path(temporary, "results")
        try:
            with zipfile.ZipFile(archive) as opened:
                _unpack(opened, folder, archive)
        except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, ValueError) as error:
            raise UserError(f"{archive} cannot be unpacked: {error}", hint=HINT) from error
        (folder / MARK).write_text(content)
        folder.chmod(0o755)
        folder.rename(target)
    return target


def summary(folder: Path) -> Summary:
    """Return what the runner says of its stages. Raises UserError where summary.json is missing or wrong."""
    try:
        return Summary.model_validate_json((folder / "summary.json").read_bytes())
    except OSError as error:
        raise UserError(f"{folder} has no summary.json", hint=HINT) from error
    except ValidationError as error:
        raise UserError(f"{folder / 'summary.json'}: {error.errors()[0]['msg']}", hint=HINT) from error


def runs(folder: Path) -> list[Path]:
    """The run directories of the stages, in the order of the stages."""
    names = [stage.name for stage in summary(folder).stages]
    found = (path.parent for path in sorted(folder.glob("*/*/manifest.json")))
    return sorted(found, key=lambda path: names.index(path.parent.name) if path.parent.name in names else len(names))


def _unpack(opened: zipfile.ZipFile, folder: Path, archive: Path) -> None:
    members = opened.infolist()
    total = sum(member.file_size for member in members)
    if len(members) > MOST_FILES or total > MOST_BYTES:
        raise UserError(f"{archive}: {len(members)} files of {total} bytes are more than results have", hint=HINT)
    folder.mkdir()
    for member in members:
        _refuse(member, archive)
        place = folder.joinpath(*member.filename.rstrip("/").split("/"))
        try:
            if member.is_dir():
                place.mkdir(parents=True, exist_ok=True)
                continue
            place.parent.mkdir(parents=True, exist_ok=True)
            with opened.open(member) as source, place.open("xb") as out:
                shutil.copyfileobj(source, out)  # at most what the member declares: zipfile reads no further
        except OSError as error:
            raise UserError(f"{archive}: {member.filename!r} cannot be written: {error.strerror}", hint=HINT) from error


def _refuse(member: zipfile.ZipInfo, archive: Path) -> None:
    name, kind = member.filename, stat.S_IFMT(member.external_attr >> 16)
    parts = name.rstrip("/").split("/")
    wrong = None
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        wrong = "is a link or a device"
    elif member.file_size > MOST_FILE_BYTES:
        wrong = "is too large"
    elif {"", ".", ".."} & set(parts) or "\\" in name or len(name) > MOST_NAME or not name.isprintable():
        wrong = "has a name that leads elsewhere"
    elif member.flag_bits & 1:
        wrong = "is encrypted"
    if wrong:
        raise UserError(f"{archive}: {name!r} {wrong}", hint=HINT)


def _mark(folder: Path) -> str | None:
    try:
        return (folder / MARK).read_text()
    except (OSError, UnicodeDecodeError):
        return None
