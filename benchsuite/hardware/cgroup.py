"""Read the CPU quota and the memory limit of this process's control group, in a container or a service.

A process sees all cores and all memory of its machine, and is throttled or killed when its group uses more than its
limit. The limits of the parent groups apply as well, as far as they are visible from here. Both versions of control
groups are read; a machine may have both. Sources: Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/ of the kernel.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

PROC, ROOT = Path("/proc/self"), Path("/")  # tests lay out their own
UNLIMITED = 2**60  # version 1 writes a number near 2^63 where there is no limit


def cpu_quota() -> float | None:
    """Return the CPU time this process may use, in cores (such as 1.5); None without a quota."""
    quotas = []
    for group in _groups("cpu"):
        match (_text(group / "cpu.max") or "").split():  # version 2
            case [share, whole] if share.isdecimal() and whole.isdecimal() and int(whole) > 0:
                quotas.append(int(share) / int(whole))
        quota, period = _number(group / "cpu.cfs_quota_us"), _number(group / "cpu.cfs_period_us")
        if quota is not None and quota > 0 and period:  # -1: none
            quotas.append(quota / period)
    return min(quotas, default=None)


def memory_limit() -> int | None:
    """Return the bytes that this process and its group may use; None without a limit."""
    return min((limit for _, limit in _memory()), default=None)


def memory_left() -> int | None:
    """Return the bytes that can be allocated before a limit is reached; None without a limit. Page cache that the
    kernel can drop counts as free."""
    left = []
    for group, limit in _memory():
        used = _number(group / "memory.current")
        used = _number(group / "memory.usage_in_bytes") if used is None else used
        if used is not None:
            left.append(max(0, limit - max(0, used - _droppable(group))))
    return min(left, default=None)


def _memory() -> Iterator[tuple[Path, int]]:
    """Yield each group that has a memory limit, with the limit in bytes."""
    for group in _groups("memory"):
        for name in ("memory.max", "memory.limit_in_bytes"):
            limit = _number(group / name)
            if limit is not None and limit < UNLIMITED:
                yield group, limit


def _droppable(group: Path) -> int:
    """Return the bytes of the group's inactive page cache."""
    found = dict(line.split(" ", 1) for line in (_text(group / "memory.stat") or "").splitlines() if " " in line)
    text = found.get("total_inactive_file", found.get("inactive_file", "0"))  # version 1 has both, with and without
    return int(text) if text.isdecimal() else 0


def _groups(controller: str) -> Iterator[Path]:
    """Yield the folders of this process's group and its parents, in the hierarchies that may limit `controller`."""
    own = {}
    for line in (_text(PROC / "cgroup") or "").splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        own.update(dict.fromkeys([""] if number == "0" else controllers.split(","), path))
    for point, root, kind, options in _mounts():
        name = "" if kind == "cgroup2" else controller
        if name in own and (not name or name in options):
            yield from _upwards(point, PurePosixPath(root), PurePosixPath(own[name]))


def _upwards(point: Path, root: PurePosixPath, own: PurePosixPath) -> Iterator[Path]:
    """Yield the folder of the group `own`, then its parents; `root` is the group that is mounted at `point`."""
    # A container may see the path as its host does, its own group mounted as the root of all.
    inside = own.relative_to(root) if own.is_relative_to(root) else PurePosixPath()
    inside = inside if ".." not in inside.parts else PurePosixPath()
    group = point / inside
    while True:
        yield group
        if group == point:
            return
        group = group.parent


def _mounts() -> Iterator[tuple[Path, str, str, list[str]]]:
    """Yield the mounts of control groups: the folder, the group at its root, cgroup or cgroup2, and the options."""
    for line in (_text(PROC / "mountinfo") or "").splitlines():
        before, separator, after = line.partition(" - ")
        fields, kinds = before.split(), after.split()
        if separator and len(fields) > 4 and len(kinds) > 2 and kinds[0] in ("cgroup", "cgroup2"):
            yield ROOT / _plain(fields[4]).lstrip("/"), _plain(fields[3]), kinds[0], kinds[2].split(",")


def _plain(text: str) -> str:
    """Return a path of mountinfo, which writes a space as \\040, as plain text."""
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), text)


def _number(path: Path) -> int | None:
    text = _text(path)
    return int(text) if text is not None and re.fullmatch(r"-?\d+", text) else None


def _text(path: Path) -> str | None:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return None
