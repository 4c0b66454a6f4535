"""The tiers of the tests, and the watch that keeps the first one fast.

A test without a mark belongs to `make check`: it starts no process and uses nothing that a compiler made here. One that
does, or that computes for seconds, is marked `slow` and belongs to `make test`. One marked `gpu` belongs to it too, and
is skipped where there is no GPU. A test marked `long` takes minutes and belongs to `make test-long`. The watch fails
every unmarked test, and every import of a test module, that starts a process or loads a library from outside the
installed packages, whichever tier runs.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest

STARTS = {"subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn", "os.system"}
LOOKS_UP = "ldconfig"  # ctypes.util.find_library starts it, in the imports of several packages
PREFIXES = {str(path) for prefix in (sys.prefix, sys.base_prefix) for path in (prefix, Path(prefix).resolve())}
INSTALLED = (*PREFIXES, "/usr", "/lib")


class Watch:
    """An audit hook: Python reports every start of a process and every library loaded, and the hook can refuse."""

    def __init__(self) -> None:
        self.watched: str | None = None  # what must not start a process now
        self.found: list[str] = []
        sys.addaudithook(self)

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.watched is None:
            return
        if event in STARTS:
            command = arguments[1] if event == "subprocess.Popen" else ""
            if not (command and Path(str(command[0])).name == LOOKS_UP):
                self.refuse(f"starts a process: {event} {command}")
        elif event == "ctypes.dlopen" and is_made_here(arguments[0]):
            self.refuse(f"loads {arguments[0]}, which was compiled here")

    def refuse(self, what: str) -> NoReturn:
        """Fail the test. The failure is kept too, for code under test that catches everything."""
        self.found.append(f"{self.watched} {what[:300]}; mark it with @pytest.mark.slow")
        pytest.fail(self.found[-1])


def is_made_here(library: object) -> bool:
    """Return whether a library is given by a path outside the installed packages and the system's folders."""
    return isinstance(library, str) and Path(library).is_absolute() and not library.startswith(INSTALLED)


WATCH = Watch()


def ask_once() -> None:
    """Ask what is cached, which variables git reads and which compilers there are, so that the watch does not depend on
    the order of the tests."""
    from benchsuite import git
    from benchsuite.cuda_ext import toolchain

    git.local_variables()
    toolchain.find_cxx()
    toolchain.find_nvcc()


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Watch the imports of the test modules."""
    ask_once()
    WATCH.watched = "the import of a test module"
    try:
        return (yield)
    finally:
        WATCH.watched = None


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Watch the fixtures of every scope, the test itself, and their ends."""
    ask_once()
    marked = any(item.get_closest_marker(name) for name in ("slow", "gpu", "long"))
    WATCH.watched, WATCH.found = None if marked else item.nodeid, []
    try:
        return (yield)
    finally:
        WATCH.watched = None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Iterator[None]:
    """Fail a test that has swallowed its failure."""
    result = yield
    if WATCH.found:
        pytest.fail(WATCH.found[0], pytrace=False)
    return result


@pytest.fixture(autouse=True)
def _kernels_are_for_marked_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the kernels from an unmarked test, also where a marked one has loaded them into the same process."""
    if WATCH.watched is not None:
        from benchsuite import cuda_ext

        monkeypatch.setattr(cuda_ext, "_load", lambda: WATCH.refuse("uses the compiled kernels"))
