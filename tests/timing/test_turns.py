"""Turns: one at a time, in the order A B B A, as many for either, and nobody waits for one who does not come."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable

import pytest

from benchsuite.timing.clock import FakeClock
from benchsuite.timing.sampler import SamplerConfig, sample
from benchsuite.timing.turns import Turns, Turnstile


def turnstile(budget_s: float = 0.05, patience_s: float = 20.0) -> Turnstile:
    return Turnstile(expected=2, budget_s=budget_s, patience_s=patience_s)


def together(*calls: Callable[[], object]) -> None:
    threads = [threading.Thread(target=call) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive(), "it waits for ever"


def test_blocks_alternate_and_never_overlap() -> None:
    blocks: list[tuple[str, float, float]] = []

    def worker(name: str, path: str) -> None:
        turns = Turns(path)
        while turns.take():
            began = time.perf_counter()
            time.sleep(0.001)
            blocks.append((name, began, time.perf_counter()))

    with turnstile() as gate:
        together(lambda: worker("a", gate.path), lambda: worker("b", gate.path))
    assert len(blocks) >= 8
    assert len(blocks) % 4 == 0
    for (_, _, ended), (_, began, _) in itertools.pairwise(blocks):
        assert ended <= began
    for i in range(0, len(blocks), 4):
        first, second, third, fourth = (name for name, _, _ in blocks[i : i + 4])
        assert (first, second) == (fourth, third)
        assert first != second


def test_nobody_gets_a_turn_before_both_are_there() -> None:
    got: list[float] = []
    with turnstile() as gate:

        def early() -> None:
            turns = Turns(gate.path)
            while turns.take():
                got.append(time.perf_counter())

        came: list[float] = []

        def late() -> None:
            time.sleep(0.1)
            came.append(time.perf_counter())
            turns = Turns(gate.path)
            while turns.take():
                pass

        together(early, late)
    assert got[0] >= came[0]


@pytest.mark.parametrize("how", ["never came", "left", "hangs"])
def test_one_goes_on_alone(how: str) -> None:
    """Whether the other ended without a turn, after some, or sits on the one that it has."""
    count = 0

    def worker() -> None:
        nonlocal count
        turns = Turns(gate.path)
        while turns.take():
            count += 1

    with turnstile(patience_s=0.2 if how == "hangs" else 20.0) as gate:
        other = None if how == "never came" else Turns(gate.path)
        thread = threading.Thread(target=worker)
        thread.start()
        if other is None:
            gate.left()
        else:
            assert other.take()
            if how == "left":
                other.close()
                gate.left()
        thread.join(10)
        assert not thread.is_alive()
    assert count >= 4


def test_samples_are_taken_at_each_turn() -> None:
    class Seven:
        left = 7

        def take(self) -> bool:
            self.left -= 1
            return self.left >= 0

        def close(self) -> None:
            self.left = 0

    calls = 0

    def call() -> None:
        nonlocal calls
        calls += 1

    samples = sample(call, FakeClock([0.01]), SamplerConfig(), Seven())
    assert samples.samples_s == (0.01,) * 14, "two in the 20 ms of each turn"
    assert samples.stop == "turns"
    assert samples.calls == calls, "the untimed ones too"


def test_too_few_turns_are_followed_by_samples_of_its_own() -> None:
    class One:
        left = 1

        def take(self) -> bool:
            self.left -= 1
            return self.left >= 0

        def close(self) -> None: ...

    samples = sample(lambda: None, FakeClock([0.01]), SamplerConfig(), One())
    assert len(samples.samples_s) >= 10
    assert samples.stop == "interval"
