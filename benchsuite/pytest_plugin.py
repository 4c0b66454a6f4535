"""The pytest plug-in: a fixture that times a callable as benchsuite does, and `--benchsuite-gate`.

    def test_my_layer(speed):
        x = torch.randn(512, 768)
        speed(lambda: layer(x), tokens=512, results=lambda: [layer(x)], reference=lambda: [exact(x.double())])

`pytest` then shows time, tokens/s, memory and error in a table of its own, and the times in pytest-benchmark's table
and files too, where that is installed; --benchmark-only, --benchmark-skip and --benchmark-disable hold for such tests
as well. `pytest --benchsuite-gate main` decides instead whether the working tree is slower than `main`.
"""

from __future__ import annotations

import functools
import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pytest

from benchsuite.measure.fixture import FIXTURE, uses_fixture

if TYPE_CHECKING:
    from torch import Tensor

SAMPLE_S = 0.5
BENCHMARK = "benchmark"  # pytest-benchmark's plug-in, its fixture and its mark
# What pytest-benchmark's timer will say of a test, and what the tests of a session have measured.
READINGS = pytest.StashKey[deque[float]]()
MEASURED = pytest.StashKey[list[tuple[str, dict[str, Any]]]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("benchsuite")
    group.addoption(
        "--benchsuite-gate",
        metavar="BASE",
        help="Compare the tests that use the speed fixture with those at BASE: a git ref, python:PATH, env:NAME=VALUE, "
        "baseline:NAME or run:FOLDER. Ends with 1 where something is slower.",
    )
    group.addoption("--benchsuite-head", metavar="HEAD", help="The version to test. Defaults to the working tree.")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--benchsuite-gate") and config.getoption("dist", "no") != "no":
        raise pytest.UsageError("--benchsuite-gate measures in processes of its own; leave pytest-xdist's -n out")


def pytest_itemcollected(item: pytest.Item) -> None:
    """Make a test with the fixture one of pytest-benchmark's, with a timer that repeats what the fixture measured."""
    if not uses_fixture(item) or not item.config.pluginmanager.hasplugin(BENCHMARK):
        return
    names = item.fixturenames  # type: ignore[attr-defined]
    if BENCHMARK in names:
        return  # the test has its own use for it
    from benchsuite.measure.pytest_cases import Asked

    if Asked.key in item.config.stash:
        return
    readings: deque[float] = deque()
    item.stash[READINGS] = readings
    item.fixturenames = [*names, BENCHMARK]  # type: ignore[attr-defined]
    asked = item.get_closest_marker(BENCHMARK)
    options = {**(asked.kwargs if asked else {}), "timer": lambda: readings.popleft()}
    item.add_marker(pytest.mark.benchmark(**options), append=False)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what pytest-benchmark's table has no columns for."""
    measured = terminalreporter.config.stash.get(MEASURED, [])
    if not measured:
        return
    terminalreporter.section("benchsuite")
    for row in _table(measured):
        terminalreporter.write_line(row)


def pytest_runtestloop(session: pytest.Session) -> bool | None:
    """With --benchsuite-gate the tests are not run here but measured in pairs of processes."""
    base = session.config.getoption("--benchsuite-gate")
    if base is None or session.config.option.collectonly:
        return None
    chosen = [item.nodeid for item in session.items if uses_fixture(item)]
    if not chosen:
        raise pytest.UsageError(f"no collected test uses the fixture {FIXTURE!r}")
    import subprocess
    import sys

    command = [sys.executable, "-m", "benchsuite", "gate", *session.config.args, "--base", base]
    command += [f"--only={nodeid.replace('[', '[[]')}" for nodeid in chosen]
    if head := session.config.getoption("--benchsuite-head"):
        command += ["--head", head]
    capture = session.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        code = subprocess.run(command, cwd=session.config.invocation_params.dir, check=False).returncode
    if code:
        pytest.exit("benchsuite gate: see above", returncode=code)
    return True


@pytest.fixture
def speed(request: pytest.FixtureRequest) -> Speed:
    """Time a callable; see `Speed`."""
    return Speed(request)


class Speed:
    """Times one callable of a test."""

    def __init__(self, request: pytest.FixtureRequest) -> None:
        self._request = request
        self._used = False

    def __call__(
        self,
        call: Callable[[], object],
        *,
        tokens: int | None = None,
        device: str = "cpu",
        mode: str | None = None,
        threads: int | None = None,
        dtype: str = "float32",
        results: Callable[[], Sequence[Tensor]] | None = None,
        reference: Callable[[], Sequence[Tensor]] | None = None,
    ) -> dict[str, Any]:
        """Warm `call` up, time it on `device` with so many `threads` (those that torch has, unless said), and return
        the fields of a speed result (see the schema of records.jsonl): `time_s` and `samples_s` in seconds,
        `tokens_per_s`, `peak_bytes`, `error` and more.

        With `results` and `reference`, both lists of tensors, what the call gives is checked after timing: the test
        fails where an error, relative to the largest value, is beyond what `dtype` allows. Without a reference it fails
        where `results`, or else what the call returns, hold NaN. A device that is not there skips the test. Can be used
        once in a test.

        Under --benchmark-disable, and in the processes of pytest-xdist, which disturb one another, it calls once and
        measures nothing: then `error` alone is known, and the other fields are None or empty.
        """
        import torch

        from benchsuite import devices
        from benchsuite.measure import speed
        from benchsuite.measure.pytest_cases import Asked
        from benchsuite.measure.subjects import Subject
        from benchsuite.records.case import Incorrect, NotMeasured
        from benchsuite.records.params import TimedParams
        from benchsuite.worker import pin

        if self._used:
            raise RuntimeError("the speed fixture times one callable in a test; write another test for the next")
        if results is None and reference is not None:
            raise TypeError("a reference is compared with results; give them too")
        self._used = True
        asked = self._request.config.stash.get(Asked.key, None)
        mode = mode or devices.named(device).modes[0]
        if threads is None:
            threads = torch.get_num_threads() if asked is None else asked.params.threads
        elif asked is not None:
            pin(threads)
        params = TimedParams(
            device=device,
            threads=threads,
            sample_s=SAMPLE_S if asked is None else asked.params.sample_s,
            implementation="test",
            scope="test",
            direction="call",
            dtype=dtype,
            mode=mode,
        )
        given = {"tokens": tokens, "device": device, "mode": mode, "threads": threads, "dtype": dtype}
        given["checked"] = results is not None
        once = asked is None and self._measures_nothing()
        if once and READINGS in self._request.node.stash:
            call = functools.partial(self._request.getfixturevalue(BENCHMARK), call)  # which is switched off
        subject = Subject(
            call=call if results or not once else lambda: None,  # then asking for its results is the call
            results=lambda: list(results()) if results else _tensors(call()),
            reference=(lambda: list(reference())) if reference else None,
            held=[],
            clear=lambda: None,
            tokens=tokens,
            flops=None,
            bytes_moved=None,
        )

        def build() -> Subject:
            return subject

        try:
            if asked is not None:
                measured = speed.timed(params, build, first=asked.first, turns=asked.turns)
                asked.result = {**measured, "given": given}
                return asked.result
            result = speed.once(params, build) if once else {**speed.timed(params, build), "given": given}
        except NotMeasured as error:
            if asked is not None:
                asked.raised = error
                raise
            (pytest.fail if isinstance(error, Incorrect) else pytest.skip)(error.reason)
        if not once:
            self._request.config.stash.setdefault(MEASURED, []).append((self._request.node.nodeid, result))
            self._tell_pytest_benchmark(result)
        return result

    def _measures_nothing(self) -> bool:
        """Return whether this session calls each test once: without pytest-benchmark, or under xdist."""
        if "PYTEST_XDIST_WORKER" in os.environ:
            return True
        present = self._request.config.pluginmanager.hasplugin(BENCHMARK)
        return present and bool(self._request.getfixturevalue(BENCHMARK).disabled)

    def _tell_pytest_benchmark(self, result: dict[str, Any]) -> None:
        """Hand the samples to pytest-benchmark by a timer that repeats them."""
        if READINGS not in self._request.node.stash:
            return
        calls = result["calls_per_sample"]
        self._request.node.stash[READINGS].extend(_replay([sample * calls for sample in result["samples_s"]]))
        benchmark = self._request.getfixturevalue(BENCHMARK)
        told = ("tokens_per_s", "peak_bytes", "saved_bytes", "error", "energy_per_token_j")
        benchmark.extra_info.update({key: result[key] for key in told if result.get(key) is not None})
        benchmark.pedantic(lambda: None, rounds=len(result["samples_s"]), iterations=calls)


def _replay(durations: Sequence[float]) -> Iterator[float]:
    """A clock that is read before and after each of `durations`."""
    now = 0.0
    for duration in durations:
        yield now
        now += duration
        yield now


def _tensors(value: object) -> list[Tensor]:
    """The tensors in what a call returned, and its floats as tensors; of other things nothing is known."""
    import torch

    if isinstance(value, torch.Tensor):
        return [value]
    if isinstance(value, float):
        return [torch.tensor(value)]
    if isinstance(value, Mapping):
        value = list(value.values())
    return [tensor for one in value for tensor in _tensors(one)] if isinstance(value, (list, tuple)) else []


def _table(measured: Sequence[tuple[str, dict[str, Any]]]) -> list[str]:
    """The lines of a table: test, time of a call, tokens/s, peak memory, error against the reference."""
    from benchsuite import format as fmt
    from benchsuite.text import line

    rows = [("test", "time", "tokens/s", "peak memory", "error")]
    for test, result in measured:
        errors = [result["error"][way] for way in ("forward", "backward") if result["error"][way] is not None]
        told = (fmt.seconds(result["time_s"]), fmt.si(result["tokens_per_s"], ""), fmt.bytes_(result["peak_bytes"]))
        rows.append((line(test), *told, fmt.scientific(max(errors, default=None))))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [f"{name:{widths[0]}}  " + "  ".join(map(str.rjust, cells, widths[1:])) for name, *cells in rows]
