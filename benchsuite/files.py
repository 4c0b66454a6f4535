"""Files in folders that are ours: a run's, the cache's, a model's.

    folder = files.real(Path("runs/latest"))         # the user's own links are followed, once, here
    with open(files.open_(folder / "log.txt", os.O_WRONLY | os.O_APPEND | os.O_CREAT), "ab") as log: ...

Links on the way to a path that a user gives are the user's own: `real` and `named` resolve them. Below that, nothing is
written, truncated or removed through a link, since the folder may come from elsewhere, with links laid for us: every
function here opens each folder of its path relative to the one before and raises UserError where one is a link. The
same goes for a file with a second name (a hard link), whose other name may be anybody's.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import NoReturn

from benchsuite.errors import UserError

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_STEP = _FOLDER | getattr(os, "O_PATH", 0)  # a folder on the way need not be readable
_WRITES = os.O_WRONLY | os.O_RDWR
HINT = "remove it, or give a folder without it; nothing was written or removed there"


def real(folder: Path | str) -> Path:
    """The folder that a user means by `folder`: absolute, its links followed. It need not exist."""
    return Path(os.path.realpath(folder))


def named(path: Path | str) -> Path:
    """The file that a user means by `path`: absolute, the links of its folders followed, its own not."""
    path = Path(path)
    return real(path.parent) / path.name if path.name else real(path)


@contextlib.contextmanager
def opened(folder: Path, *, make: bool = False) -> Iterator[int]:
    """A handle of `folder`, for the `dir_fd` of others; with `make` what of it is not there is made.

    Raises UserError where a part of it is a link, OSError where it cannot be opened.
    """
    parts = folder.absolute().parts
    at = Path(parts[0])
    handle = os.open(at, _FOLDER if len(parts) == 1 else _STEP)
    try:
        for number, name in enumerate(parts[1:], 2):
            at /= name
            flags = _FOLDER if number == len(parts) else _STEP
            try:
                inner = os.open(name, flags, dir_fd=handle)
            except FileNotFoundError as error:
                if not make:
                    _raise(error, at)
                inner = _made(name, handle, flags, at)
            except OSError as error:
                _refuse_link(name, handle, at)
                _raise(error, at)
            os.close(handle)
            handle = inner
        yield handle
    finally:
        os.close(handle)


def make(folder: Path) -> None:
    """Makes `folder` and what is missing on the way to it. Raises UserError where a part of it is a link, OSError where
    it cannot be made."""
    with opened(folder, make=True):
        """It is there."""


def open_(path: Path, flags: int) -> int:
    """A handle of the file `path`, opened with `flags`; it is a regular file, and one that is written to has no second
    name. Raises UserError where it is another, or in its path is a link, OSError where it cannot be opened."""
    with opened(path.parent) as folder:
        _refuse_link(path.name, folder, path)
        try:  # truncated only once it is known to be ours; a pipe that nobody writes to must not stop us
            safe = (flags & ~os.O_TRUNC) | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            handle = os.open(path.name, safe, 0o666, dir_fd=folder)
        except OSError as error:
            _raise(error, path)
    try:
        about = os.fstat(handle)
        if not stat.S_ISREG(about.st_mode):
            raise UserError(f"{path} is not a file, which it should be", hint=HINT)
        if about.st_nlink > 1 and flags & _WRITES:
            raise UserError(f"{path} has a second name elsewhere (a hard link), which would change with it", hint=HINT)
        if flags & os.O_TRUNC:
            os.ftruncate(handle, 0)
    except BaseException:
        os.close(handle)
        raise
    return handle


def write(path: Path, text: str) -> None:
    """Writes `text` to the file `path`, not atomically. Raises as `open_` does, and OSError where the disk is full."""
    with open(open_(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), "w", encoding="utf-8") as file:
        file.write(text)


def read(path: Path) -> bytes:
    """What the file `path` holds; links are followed, as reading harms nobody. Raises UserError where it is no regular
    file, which might never end, and OSError where it cannot be read."""
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise UserError(f"{path} is not a file, which it should be")
        return file.read()


def remove(path: Path) -> None:
    """Removes the file `path` where it is there. Raises UserError where it or a part of its path is a link."""
    with contextlib.suppress(FileNotFoundError), opened(path.parent) as folder:
        _refuse_link(path.name, folder, path)
        try:
            os.unlink(path.name, dir_fd=folder)
        except OSError as error:
            _raise(error, path)


def remove_tree(path: Path) -> None:
    """Removes the folder `path`, where it is there, with all that is in it; of a link in it only the link. Raises
    UserError where it or a part of its path is a link, OSError where something cannot be removed."""
    with contextlib.suppress(FileNotFoundError), opened(path.parent) as folder:
        _refuse_link(path.name, folder, path)
        if stat.S_ISDIR(os.stat(path.name, dir_fd=folder, follow_symlinks=False).st_mode):
            shutil.rmtree(path.name, dir_fd=folder)  # which checks anew that the top is no link
        else:
            os.unlink(path.name, dir_fd=folder)


def empty(folder: Path, keep: Collection[str] = ()) -> None:
    """Removes what is in `folder`, where it is there, but for the names in `keep`. Raises as `remove_tree` does."""
    with contextlib.suppress(FileNotFoundError), opened(folder) as handle:
        names = set(os.listdir(handle)) - set(keep)  # noqa: PTH208 - of a handle
        for name in sorted(names):
            remove_tree(folder / name)


def move(source: Path, target: Path) -> None:
    """Gives the file or folder `source` the name `target`, in one step that lasts; a file there is replaced. Raises
    UserError where either is a link or leads through one, OSError where it cannot be done."""
    with opened(source.parent) as before, opened(target.parent) as after:
        for path, folder in ((source, before), (target, after)):
            _refuse_link(path.name, folder, path)
        try:
            os.rename(source.name, target.name, src_dir_fd=before, dst_dir_fd=after)
        except OSError as error:
            _raise(error, target)
        sync(after)
        if source.parent != target.parent:
            sync(before)


def check(path: Path) -> None:
    """Raises UserError where a file cannot take the place of `path`: it is a link, a folder, a device."""
    with opened(path.parent) as folder:
        _refuse_link(path.name, folder, path)
        with contextlib.suppress(FileNotFoundError):
            if not stat.S_ISREG(os.stat(path.name, dir_fd=folder, follow_symlinks=False).st_mode):
                raise UserError(f"{path} is not a file, and is not replaced by one", hint="give the path of a file")


def no_link(path: Path) -> None:
    """Raises UserError where `path` is a link, or leads through one, OSError where its folder cannot be opened."""
    with opened(path.parent) as folder:
        _refuse_link(path.name, folder, path)


def sync(handle: int) -> None:
    """Waits until the disk has what the file or folder `handle` holds; some file systems do not sync folders."""
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise


def _made(name: str, folder: int, flags: int, at: Path) -> int:
    try:
        with contextlib.suppress(FileExistsError):  # another was quicker
            os.mkdir(name, dir_fd=folder)
        return os.open(name, flags, dir_fd=folder)
    except OSError as error:
        _refuse_link(name, folder, at)
        _raise(error, at)


def _refuse_link(name: str, folder: int, path: Path) -> None:
    """Raises UserError where `name` in `folder` is a link."""
    with contextlib.suppress(FileNotFoundError):
        if stat.S_ISLNK(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
            target = os.readlink(name, dir_fd=folder)
            raise UserError(f"{path} is a link to {target}; nothing is written or removed through a link", hint=HINT)


def _raise(error: OSError, path: Path) -> NoReturn:
    """The error with the whole path, which a handle does not tell."""
    raise OSError(error.errno, error.strerror, str(path)) from error
