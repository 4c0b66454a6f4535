"""Turns: one at a time, in cycles of A B C A B C and C B A C B A, as many for each; nobody waits for one who left."""

from __future__ import annotations

import itertools
import os
import threading
import time
from collections import Counter
from collections.abc import Callable

import pytest

from benchsuite.timing.clock import FakeClock
from benchsuite.timing.sampler import SamplerConfig, sample
from benchsuite.timing.turns import FEWEST, Turns, Turnstile


def turnstile(members: int = 2, budget_s: float = 0.05, patience_s: float = 20.0) -> Turnstile:
    return Turnstile(members, budget_s=budget_s, patience_s=patience_s)


def together(*calls: Callable[[], object]) -> None:
    threads = [threading.Thread(target=call) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive(), "it waits for ever"


def blocks_of(
    members: int, work: Callable[[int], None] = lambda _: time.sleep(0.001)
) -> list[tuple[int, float, float]]:
    """(member, began, ended) of every turn, in the order of their begins."""
    blocks: list[tuple[int, float, float]] = []

    def worker(member: int) -> None:
        turns = Turns(gate.path, member, members)
        while turns.take():
            began = time.perf_counter()
            work(member)
            blocks.append((member, began, time.perf_counter()))

    with turnstile(members) as gate:
        together(*(lambda member=member: worker(member) for member in range(members)))
    return sorted(blocks, key=lambda block: block[1])


@pytest.mark.parametrize("members", [1, 2, 3, 16])
def test_turns_go_there_and_back_and_never_overlap(members: int) -> None:
    blocks = blocks_of(members)
    for (_, _, ended), (_, began, _) in itertools.pairwise(blocks):
        assert ended <= began
    order = [member for member, _, _ in blocks]
    forwards = list(range(members))
    assert order[:members] == forwards, "the first is for warming up"
    cycles = [order[i : i + 2 * members] for i in range(members, len(order), 2 * members)]
    assert cycles == [2 * (forwards, forwards[::-1])[i % 2] for i in range(len(cycles))]
    assert 2 * len(cycles) >= FEWEST


def test_nobody_gets_a_turn_before_all_are_there() -> None:
    got: list[float] = []
    came: list[float] = []

    def worker(member: int) -> None:
        if member == 2:
            time.sleep(0.2)
            came.append(time.perf_counter())
        turns = Turns(gate.path, member, 3)
        while turns.take():
            got.append(time.perf_counter())

    with turnstile(3) as gate:
        together(*(lambda member=member: worker(member) for member in range(3)))
    assert min(got) >= came[0]


@pytest.mark.parametrize("how", ["never came", "left", "hangs"])
def test_the_others_go_on_without_one(how: str) -> None:
    """Whether one ended without a turn, after its first, or sits on the one that it has."""
    counts: Counter[int] = Counter()

    def worker(member: int) -> None:
        turns = Turns(gate.path, member, 3)
        while turns.take():
            counts[member] += 1

    with turnstile(3, patience_s=0.3 if how == "hangs" else 20.0) as gate:
        threads = [threading.Thread(target=worker, args=(member,)) for member in (1, 2)]
        for thread in threads:
            thread.start()
        if how == "never came":
            gate.left(0)
        else:
            first = Turns(gate.path, 0, 3)
            assert first.take()
            if how == "left":
                first.close()
                gate.left(0)
        for thread in threads:
            thread.join(20)
            assert not thread.is_alive()
    assert counts[1] == counts[2] >= FEWEST


def test_one_that_ends_between_its_turns_leaves_whole_cycles_to_the_others() -> None:
    counts: Counter[int] = Counter()

    def worker(member: int) -> None:
        turns = Turns(gate.path, member, 3)
        while turns.take():
            counts[member] += 1
            if member == 1 and counts[1] == 2:
                break
        turns.close()

    with turnstile(3) as gate:
        together(*(lambda member=member: worker(member) for member in range(3)))
    assert counts[0] == counts[2] >= FEWEST + 1
    assert counts[1] == 2


def test_a_last_turn_is_for_one_alone() -> None:
    """After the end of the timing, whoever asks again has the device to itself until it closes."""
    alone: list[tuple[float, float]] = []

    def worker(member: int) -> None:
        turns = Turns(gate.path, member, 3)
        while turns.take():
            pass
        if member != 1:
            assert turns.take()
            began = time.perf_counter()
            time.sleep(0.05)
            alone.append((began, time.perf_counter()))
        turns.close()

    with turnstile(3) as gate:
        together(*(lambda member=member: worker(member) for member in range(3)))
    (_, ended), (began, _) = sorted(alone)
    assert ended <= began


@pytest.mark.slow
def test_it_sees_what_else_runs_and_not_the_members_own_work() -> None:
    with turnstile(2) as gate:
        assert gate.seen() == {}
        pid = _fork(lambda: _spin(gate.path, 0))
        other = _fork(lambda: _spin(gate.path, 1))
        for child in (pid, other):
            os.waitpid(child, 0)
        seen = gate.seen()
    assert set(seen) == {"steal_fraction", "foreign_cores", "disturbed"}
    if seen["foreign_cores"] is not None:
        assert 0 <= seen["foreign_cores"] < (os.cpu_count() or 1)


def _fork(work: Callable[[], None]) -> int:
    pid = os.fork()
    if pid == 0:
        work()
        os._exit(0)
    return pid


def _spin(path: str, member: int) -> None:
    turns = Turns(path, member, 2)
    while turns.take():
        until = time.perf_counter() + 0.01
        while time.perf_counter() < until:
            pass


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
    assert samples.samples_s == (0.01,) * 7, "one a turn"
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
