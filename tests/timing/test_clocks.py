"""What each clock does, in which order: on paper, with a stand-in for torch.cuda, and the CPU's for real."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from benchsuite import devices
from benchsuite.devices import cuda as cuda_
from benchsuite.devices.cpu import ColdCPUClock
from benchsuite.devices.cuda import EventClock, GraphClock
from benchsuite.errors import UserError
from benchsuite.timing.clock import WallClock


class Cuda:
    """torch.cuda as far as the clocks use it: a device on which each call takes 2 ms, and a log of what was asked."""

    CALL_MS = 2.0

    def __init__(self) -> None:
        self.log: list[str] = []
        self.now_ms = 0.0

    def call(self) -> None:
        self.log.append("call")
        self.now_ms += self.CALL_MS

    def Event(self, *, enable_timing: bool = True) -> Any:  # noqa: N802 - torch's name
        event = SimpleNamespace(at=0.0)

        def record() -> None:
            self.log.append("event")
            event.at = self.now_ms

        event.record, event.elapsed_time = record, lambda other: other.at - event.at
        return event

    def synchronize(self) -> None:
        self.log.append("synchronize")

    def _sleep(self, cycles: int) -> None:
        self.log.append("sleep")
        self.now_ms += 1.0

    def Stream(self) -> Any:  # noqa: N802 - torch's name
        return SimpleNamespace(wait_stream=lambda other: None)

    def current_stream(self) -> Any:
        return SimpleNamespace(wait_stream=lambda other: None)

    @contextlib.contextmanager
    def stream(self, other: Any) -> Iterator[None]:
        yield

    def CUDAGraph(self) -> Any:  # noqa: N802 - torch's name
        return SimpleNamespace(replay=self.call)

    @contextlib.contextmanager
    def graph(self, graph: Any) -> Iterator[None]:
        self.log.append("capture")
        yield
        self.log.append("captured")


def test_events_stand_around_each_call_and_nothing_else() -> None:
    cuda = Cuda()
    assert EventClock(cuda).time_calls(cuda.call, 3) == pytest.approx(6e-3)
    assert cuda.log == ["synchronize", "sleep", *["event", "call", "event"] * 3, "synchronize"]


def test_the_flush_comes_before_each_first_event(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda = Cuda()
    other = SimpleNamespace(zero_=lambda: cuda.log.append("flush"))
    monkeypatch.setattr(cuda_, "_bytes_on_device", lambda size: other)
    clock = EventClock(cuda, flush_bytes=100)
    assert clock.mode == "event-cold"
    assert clock.time_calls(cuda.call, 2) == pytest.approx(4e-3)
    assert cuda.log == ["synchronize", "sleep", *["flush", "event", "call", "event"] * 2, "synchronize"]


def test_a_graph_is_captured_once_and_replayed() -> None:
    cuda = Cuda()
    clock, call = GraphClock(cuda), cuda.call
    assert clock.time_calls(call, 5) == pytest.approx(10e-3)
    assert clock.time_calls(call, 1) == pytest.approx(2e-3)
    assert cuda.log.count("capture") == 1
    clock.time_calls(lambda: None, 1)
    assert cuda.log.count("capture") == 2, "another call is another graph"


def test_the_wall_waits_for_the_device_before_and_after() -> None:
    log: list[str] = []
    WallClock(lambda: log.append("synchronize")).time_calls(lambda: log.append("call"), 2)
    assert log == ["synchronize", "call", "call", "synchronize"]


def test_without_waiting_an_asynchronous_call_would_take_no_time() -> None:
    """The mistake that the engine's own clocks exclude: the same call, seen by a clock that does not wait."""
    pending: list[int] = []

    def finish() -> None:
        while pending:
            pending.pop()
            torch.randn(400, 400) @ torch.randn(400, 400)

    waiting = WallClock(finish).time_calls(lambda: pending.append(1), 20)
    hasty = WallClock(lambda: None).time_calls(lambda: pending.append(1), 20)
    assert hasty < waiting / 5


def test_a_cold_call_is_timed_without_what_made_it_cold() -> None:
    clock = ColdCPUClock(2**24)
    assert clock.time_calls(lambda: None, 5) < 1e-3


@pytest.mark.parametrize(("device", "mode"), [("cpu", "event-cold"), ("cuda", "cold"), ("mps", "graph-hot")])
def test_a_mode_that_a_device_has_not_is_refused_by_name(device: str, mode: str) -> None:
    with pytest.raises(UserError, match="no timing mode") as caught:
        devices.named(device).clock(mode)
    assert devices.named(device).modes[0] in caught.value.hint


def test_the_cpus_clocks() -> None:
    assert devices.named("cpu").clock("wall").mode == "wall"
    assert devices.named("cpu").clock("cold").mode == "cold"
