"""Read, write and remove files in the folders of benchsuite: a run, the cache, a model.

    folder = files.real(Path("runs/latest"))         # follow the user's own links, once, here
    with open(files.open_(folder / "log.txt", os.O_WRONLY | os.O_APPEND | os.O_CREAT), "ab") as log: ...

`real` and `named` resolve the links in a path that a user gives. Below that path nothing is written, truncated or
removed through a symbolic link, because the folder may come from somebody else: every function opens each folder of its
path relative to the one before and raises UserError if one is a link. A file with a second name (a hard link) is
refused in the same way.
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
    """Return the absolute path of `folder` with its links resolved. The folder need not exist."""
    return Path(os.path.realpath(folder))


def named(path: Path | str) -> Path:
    """Return the absolute path of the file `path`, with the links of its folders resolved but not its own."""
    path = Path(path)
    return real(path.parent) / path.name if path.name else real(path)


@contextlib.contextmanager
def opened(folder: Path, *, make: bool = False) -> Iterator[int]:
    """Open `folder` and yield its descriptor, for use as `dir_fd`; with `make`, create missing folders.

    Raises UserError if a part of the path is a link, OSError if it cannot be opened.
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
    """Create `folder` and its missing parents. Raises UserError if a part of the path is a link, OSError if it cannot
    be created."""
    with opened(folder, make=True):
        pass


def open_(path: Path, flags: int) -> int:
    """Open the regular file `path` with `flags` and return its descriptor.

    Raises UserError if it is not a regular file, if it is opened for writing and has a second name, or if a part of the
    path is a link; OSError if it cannot be opened.
    """
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
    """Write `text` to the file `path`, not atomically. Raises as `open_` does, and OSError if the disk is full."""
    with open(open_(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), "w", encoding="utf-8") as file:
        file.write(text)


def read(path: Path) -> bytes:
    """Return the content of the file `path`, following links. Raises UserError if it is not a regular file, which may
    have no end, and OSError if it cannot be read."""
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise UserError(f"{path} is not a file, which it should be")
        return file.read()


def remove(path: Path) -> None:
    """Remove the file `path` if it exists. Raises UserError if it or a part of its path is a link."""
    with contextlib.suppress(FileNotFoundError), opened(path.parent) as folder:
        _refuse_link(path.name, folder, path)
        try:
            os.unlink(path.name, dir_fd=folder)
        except OSError as error:
            _raise(error, path)


def remove_tree(path: Path) -> None:
    """Remove the folder `path`, if it exists, and its content; links inside are removed, not followed. Raises UserError
    if it or a part of its path is a link, OSError if something cannot be removed."""
    with contextlib.suppress(FileNotFoundError), opened(path.parent) as folder:
        _refuse_link(path.name, folder, path)
        if stat.S_ISDIR(os.stat(path.name, dir_fd=folder, follow_symlinks=False).st_mode):
            shutil.rmtree(path.name, dir_fd=folder)  # which checks anew that the top is no link
        else:
            os.unlink(path.name, dir_fd=folder)


def empty(folder: Path, keep: Collection[str] = ()) -> None:
    """Remove the content of `folder`, if it exists, except the names in `keep`. Raises as `remove_tree` does."""
    with contextlib.suppress(FileNotFoundError), opened(folder) as handle:
        names = set(os.listdir(handle)) - set(keep)  # noqa: PTH208 - of a handle
        for name in sorted(names):
            remove_tree(folder / name)


def move(source: Path, target: Path) -> None:
    """Rename the file or folder `source` to `target` atomically and sync both folders; a file at `target` is replaced.
    Raises UserError if either is a link or leads through one, OSError if it cannot be renamed."""
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
    """Raise UserError if `path` cannot be replaced by a file, because it is a link, a folder or a device."""
    with opened(path.parent) as folder:
        _refuse_link(path.name, folder, path)
        with contextlib.suppress(FileNotFoundError):
            if not stat.S_ISREG(os.stat(path.name, dir_fd=folder, follow_symlinks=False).st_mode):
                raise UserError(f"{path} is not a file, and is not replaced by one", hint="give the path of a file")


def no_link(path: Path) -> None:
    """Raise UserError if `path` is a link or leads through one, OSError if its folder cannot be opened."""
    with opened(path.parent) as folder:
        _refuse_link(path.name, folder, path)


def sync(handle: int) -> None:
    """Flush the file or folder `handle` to the disk, if its file system can sync it."""
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
    """Raise UserError if `name` in `folder` is a link."""
    with contextlib.suppress(FileNotFoundError):
        if stat.S_ISLNK(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
            target = os.readlink(name, dir_fd=folder)
            raise UserError(f"{path} is a link to {target}; nothing is written or removed through a link", hint=HINT)


def _raise(error: OSError, path: Path) -> NoReturn:
    """Raise the error again with the whole path, which a descriptor does not have."""
    raise OSError(error.errno, error.strerror, str(path)) from error
