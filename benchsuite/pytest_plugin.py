"""The pytest plug-in: a fixture that times a callable as benchsuite does, and `--benchsuite-gate`.

    def test_my_layer(speed):
        x = torch.randn(512, 768)
        speed(lambda: layer(x), tokens=512, results=lambda: [layer(x)], reference=lambda: [exact(x.double())])

`pytest` then shows its figures in pytest-benchmark's table, where that is installed, and writes them into its files.
`pytest --benchsuite-gate main` decides instead whether the working tree is slower than `main`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from torch import Tensor

SAMPLE_S = 0.5


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("benchsuite")
    group.addoption(
        "--benchsuite-gate",
        metavar="BASE",
        help="Compare the tests that use the speed fixture with those at BASE: a git ref, python:PATH, env:NAME=VALUE, "
        "baseline:NAME or run:FOLDER. Ends with 1 where something is slower.",
    )
    group.addoption("--benchsuite-head", metavar="HEAD", help="What is new; else what is here.")


def pytest_runtestloop(session: pytest.Session) -> bool | None:
    """With --benchsuite-gate the tests are not run here but measured in pairs of processes."""
    base = session.config.getoption("--benchsuite-gate")
    if base is None or session.config.option.collectonly:
        return None
    from benchsuite.runs.pytest_cases import FIXTURE

    chosen = [item.nodeid for item in session.items if FIXTURE in getattr(item, "fixturenames", ())]
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
    """Times a callable; see `Speed`."""
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
        """Warms `call` up, times it on `device` with so many `threads` (those that torch has, unless said), and returns
        the fields of a speed result (see the schema of records.jsonl): `time_s` and `samples_s` in seconds,
        `tokens_per_s`, `peak_bytes`, `error` and more.

        With `results` and `reference`, both lists of tensors, what the call gives is checked after timing: the test
        fails where an error, relative to the largest value, is beyond what `dtype` allows. A device that is not there
        skips the test. Can be used once in a test.
        """
        import torch

        from benchsuite.runs import speed
        from benchsuite.runs.case import Incorrect, NotMeasured
        from benchsuite.runs.pytest_cases import Asked
        from benchsuite.runs.subjects import Subject
        from benchsuite.timing import accelerator
        from benchsuite.worker import pin

        if self._used:
            raise RuntimeError("the speed fixture times one callable in a test; write another test for the next")
        if (results is None) != (reference is None):
            raise TypeError("results and reference are given together")
        self._used = True
        asked = self._request.config.stash.get(Asked.key, None)
        params = {"threads": torch.get_num_threads(), "sample_s": SAMPLE_S} if asked is None else asked.params
        mode = mode or accelerator.modes(device.partition(":")[0])[0]
        if threads is not None:
            params = {**params, "threads": threads}
            if asked is not None:
                pin(threads)
        params = {**params, "device": device, "mode": mode, "dtype": dtype, "implementation": "test"}
        given = {"tokens": tokens, "device": device, "mode": mode, "threads": params["threads"], "dtype": dtype}
        given["checked"] = results is not None
        subject = Subject(
            call=call,
            results=lambda: list(results()) if results else [],
            reference=lambda: list(reference()) if reference else [],
            held=[],
            clear=lambda: None,
            tokens=tokens,
            flops=None,
            bytes_moved=None,
        )
        try:
            if asked is not None:
                measured = speed.measure(params, first=asked.first, turns=asked.turns, subject=subject)
                asked.result = {**measured, "given": given}
                return asked.result
            result = {**speed.measure(params, subject=subject), "given": given}
        except NotMeasured as error:
            if asked is not None:
                asked.raised = error
                raise
            (pytest.fail if isinstance(error, Incorrect) else pytest.skip)(error.reason)
        self._tell_pytest_benchmark(result)
        return result

    def _tell_pytest_benchmark(self, result: dict[str, Any]) -> None:
        """Hands the samples to pytest-benchmark by a timer that repeats them."""
        if not self._request.config.pluginmanager.hasplugin("benchmark"):
            return
        calls = result["calls_per_sample"]
        times = _replay([sample * calls for sample in result["samples_s"]])
        self._request.node.add_marker(pytest.mark.benchmark(timer=lambda: next(times)))
        benchmark = self._request.getfixturevalue("benchmark")
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
