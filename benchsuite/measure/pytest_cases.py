"""Benchmarks written as tests: every pytest function that uses the `speed` fixture is a case, named by its node id."""

from __future__ import annotations

import contextlib
import importlib
import importlib.metadata
import inspect
import io
import os
import sys
from typing import Any

import pytest

from benchsuite.cache import digest
from benchsuite.errors import UserError
from benchsuite.hardware.fingerprint import usable_cores
from benchsuite.measure.fixture import FIXTURE, uses_fixture
from benchsuite.records.case import Case, NotMeasured, Unsupported, case_id
from benchsuite.records.params import PytestParams

KIND = "test"
TIMEOUT_S = 300.0
# What a pair of processes differs in is mostly their luck, as where memory lies: its ratio scatters as much after three
# turns of 20 ms each as after forty (reports/gate/report.md tells it for shares of the samples). So: short and many.
SAMPLE_S = 0.1
QUIET = ("-q", "-p", "no:cacheprovider")
# They collect garbage over and over at the end of a session: half a second in every process.
BARE = ("-p", "no:unraisableexception", "-p", "no:threadexception")
# Options that a project may set for its ordinary sessions, and that would skip a test or hand it to another process.
ALONE: dict[str, Any] = {"benchmark_skip": False, "benchmark_only": False, "dist": "no", "tx": [], "numprocesses": None}


def import_plugins() -> None:
    """Import what a pytest session and the fixture import, once for all processes that are forked from this one."""
    import benchsuite.measure.speed  # noqa: F401

    for entry in importlib.metadata.entry_points(group="pytest11"):
        with contextlib.suppress(Exception, SystemExit):  # pytest will say what is wrong with it
            entry.load()
    with contextlib.suppress(ImportError):  # its plug-in imports the rest when a session ends
        importlib.import_module("hypothesis")


class Collected:
    """A pytest plug-in that keeps the tests that use the fixture."""

    def __init__(self) -> None:
        self.cases: list[Case] = []
        self.finished = False

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self.finished = True
        for item in session.items:
            if not uses_fixture(item):
                continue
            params = PytestParams(
                test=item.nodeid,
                device="cpu",
                threads=usable_cores(),
                sample_s=SAMPLE_S,
                parameters=_parameters(item),
                folder=str(session.config.rootpath),
                source=_source(item),
            )
            identity = case_id(KIND, params.identity())
            self.cases.append(Case(identity, KIND, item.nodeid, params.json(), (0,), TIMEOUT_S))


def _parameters(item: pytest.Item) -> dict[str, str]:
    """The plain values that a test is parametrized with, which its name may not tell."""
    called = getattr(item, "callspec", None)
    values = {} if called is None else called.params
    plain = {key: value for key, value in values.items() if isinstance(value, (bool, int, float, str))}
    return {key: str(value) for key, value in sorted(plain.items())}


def _source(item: pytest.Item) -> str | None:
    """A digest of the function that is the test; None where its text is not to be had."""
    try:
        return digest(inspect.getsource(getattr(item, "function")), 12)  # noqa: B009 - only functions have one
    except (AttributeError, OSError, TypeError):
        return None


def plan(arguments: list[str]) -> dict[str, Any]:
    """The plan of the tests that `arguments` select, in this folder and interpreter. Raises UserError where pytest
    cannot collect them or none uses the fixture."""
    collected, said = Collected(), io.StringIO()
    with contextlib.redirect_stdout(said):
        try:
            code = pytest.main([*arguments, "--collect-only", *QUIET], plugins=[collected])
        except SystemExit as error:  # a conftest.py may end Python
            raise UserError(f"what pytest imports ends Python with exit status {error.code}") from error
    if not collected.finished or code not in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
        lines = [line for line in said.getvalue().splitlines() if line.strip()]
        raise UserError(f"pytest cannot collect the tests: {' | '.join(lines[-5:])}")
    if not collected.cases:
        raise UserError(f"no test of {' '.join(arguments)} uses the fixture {FIXTURE!r}")
    return {
        "suite": " ".join(arguments),
        "description": "tests that use the speed fixture",
        "device": "cpu",
        "cases": [case.to_json() for case in collected.cases],
        "comparisons": [],
        # From where this session imports, and what it has: the other end makes sure that it is the right code.
        "session": {"path": sys.path, "files": sorted(_loaded())},
    }


def _loaded() -> set[str]:
    """The files of all modules that this process has imported."""
    found = (getattr(module, "__file__", None) for module in list(sys.modules.values()))
    return {file for file in found if isinstance(file, str)}


class Asked:
    """A gate's request for one test, and its result; a pytest plug-in, which the fixture finds by `key`."""

    key = pytest.StashKey["Asked"]()

    def __init__(self, params: PytestParams, *, first: bool, turns: dict[str, Any] | None) -> None:
        self.params = params
        self.first = first
        self.turns = turns
        self.result: dict[str, Any] | None = None
        self.raised: NotMeasured | None = None
        self.failure: str | None = None
        self.skipped: str | None = None

    @pytest.hookimpl(tryfirst=True)
    def pytest_configure(self, config: pytest.Config) -> None:
        config.stash[self.key] = self
        for name, value in ALONE.items():
            if hasattr(config.option, name):
                setattr(config.option, name, value)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed and self.failure is None:
            crash = getattr(report.longrepr, "reprcrash", None)
            self.failure = f"{report.when} failed: {crash.message if crash else report.longrepr}"
        elif report.skipped:
            self.skipped = str(report.longrepr[-1] if isinstance(report.longrepr, tuple) else report.longrepr)


def measure(params: dict[str, Any], *, first: bool = True, turns: dict[str, Any] | None = None) -> dict[str, Any]:
    """Run one test in this process; its fixture measures as `benchsuite.measure.speed` does. Raises NotMeasured as
    that does, Unsupported for a test that is skipped, and RuntimeError for one that fails or measures nothing."""
    case = PytestParams.read(params)
    os.chdir(case.folder)
    asked = Asked(case, first=first, turns=turns)
    code = pytest.main([case.test, *QUIET, *BARE], plugins=[asked])
    if asked.raised is not None:
        raise asked.raised
    if asked.failure is not None:
        raise RuntimeError(asked.failure)
    if asked.result is None:
        if code != pytest.ExitCode.OK:
            raise RuntimeError(f"pytest ran no test: it ended with {pytest.ExitCode(code).name}")
        raise Unsupported(asked.skipped or "the test did not call its speed fixture")
    return asked.result
