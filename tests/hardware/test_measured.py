"""The machine's own peaks, from scripted times: no test depends on how fast anything is."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from benchsuite import devices
from benchsuite.cache import cache_dir
from benchsuite.devices import Device
from benchsuite.hardware import measured
from benchsuite.hardware.measured import Cache, Measured
from benchsuite.hardware.roofline import Level

CPU, FLOAT = devices.named("cpu"), "float32"
CACHES = [Cache("L1", 48 * 2**10, 1), Cache("L2", 2 * 2**20, 1), Cache("L3", 64 * 2**20, 8)]
ONE = Measured(10.0, 100.0, 2, 1, (Level("L1", 1000, 80.0), Level("L2", 9000, 40.0)))


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.setenv("BENCHSUITE_CACHE", str(tmp_path))
    monkeypatch.setattr(measured, "BUFFER_BYTES", 2**20)
    monkeypatch.setattr(measured, "ENOUGH_S", 1e9)
    monkeypatch.setattr(measured, "SHAPES", ((8, 8, 8), (64, 8, 4)))
    monkeypatch.setattr(measured, "caches", lambda: CACHES)
    measured.peaks.cache_clear()
    yield
    measured.peaks.cache_clear()


def script(monkeypatch: pytest.MonkeyPatch, times: Callable[[int], float]) -> list[int]:
    """Has the n-th timing give `times(n)` seconds; returns the thread counts that they were made with."""
    seen: list[int] = []

    def fastest(call: Callable[[], object], device: Device) -> float:
        call()
        seen.append(torch.get_num_threads())
        return times(len(seen) - 1)

    monkeypatch.setattr(measured, "fastest", fastest)
    return seen


def test_the_best_shape_of_the_best_moment_is_the_peak(monkeypatch: pytest.MonkeyPatch) -> None:
    # A moment has 2 products and then the ladder: 3 levels and memory, each copied, added and read.
    script(monkeypatch, lambda n: 1e-9 if n == 14 + 1 else 1e-6)
    found = measured.measure(CPU, FLOAT, 2, threads=1)
    assert found.product_gflop_per_s == pytest.approx(2 * 64 * 8 * 4)
    assert found.moments == 2


def test_a_cache_is_never_slower_than_what_is_behind_it(monkeypatch: pytest.MonkeyPatch) -> None:
    script(monkeypatch, lambda n: 1e-6)  # so that small copies are all overhead
    found = measured.measure(CPU, FLOAT, 1, threads=1)
    rates = [*(level.gb_per_s for level in found.levels), found.copy_gb_per_s]
    assert rates == sorted(rates, reverse=True)
    assert [level.name for level in found.levels] == ["L1", "L2", "L3"]


def test_each_core_brings_its_own_caches(monkeypatch: pytest.MonkeyPatch) -> None:
    script(monkeypatch, lambda n: 1e-6)
    assert [x.bytes for x in measured.measure(CPU, FLOAT, 1, threads=4).levels] == [
        4 * 48 * 2**10,
        8 * 2**20,
        64 * 2**20,
    ]


def test_peaks_are_of_the_threads_that_they_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A case sets one thread for its check before it asks for the peaks."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        seen = script(monkeypatch, lambda n: 1e-6)
        measured.peaks(CPU, FLOAT, 2)
        assert set(seen) == {2}
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


def test_peaks_are_measured_once_for_each_type_and_thread_count(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = script(monkeypatch, lambda n: 1e-6)
    first = measured.peaks(CPU, FLOAT, 1)
    measured.peaks.cache_clear()
    timings = len(seen)
    assert measured.peaks(CPU, FLOAT, 1) == first
    assert len(seen) == timings
    measured.peaks(CPU, "bfloat16", 1)
    assert len(seen) == 2 * timings


def test_a_peak_that_was_beaten_is_measured_again_and_only_rises(monkeypatch: pytest.MonkeyPatch) -> None:
    script(monkeypatch, lambda n: 1e-6)
    low = measured.peaks(CPU, FLOAT, 1)
    script(monkeypatch, lambda n: 1e-7)
    high = measured.beaten(CPU, FLOAT, 1)
    assert high.tflop_per_s == pytest.approx(10 * (low.tflop_per_s or 0))
    assert high.gb_per_s == pytest.approx(10 * (low.gb_per_s or 0))
    script(monkeypatch, lambda n: 1e-3)
    assert measured.beaten(CPU, FLOAT, 1) == high
    assert measured.peaks(CPU, FLOAT, 1) == high, "also in a process that has asked before"


def test_a_figure_that_cannot_be_does_not_measure_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = script(monkeypatch, lambda n: 1e-6)
    for _ in range(measured.MOST_MOMENTS):
        measured.beaten(CPU, FLOAT, 1)
    timings = len(seen)
    measured.beaten(CPU, FLOAT, 1)
    assert len(seen) == timings


def test_on_a_busy_machine_no_further_moment_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    script(monkeypatch, lambda n: 1e-6)
    monkeypatch.setattr(measured, "ENOUGH_S", 0.0)
    assert measured.measure(CPU, FLOAT, 3, threads=1).moments == 1


def test_of_two_measurements_the_better_of_each_is_kept() -> None:
    other = Measured(20.0, 50.0, 2, 3, (Level("L1", 1000, 60.0), Level("L2", 9000, 70.0)))
    both = measured.better(ONE, other)
    assert both == Measured(20.0, 100.0, 2, 4, (Level("L1", 1000, 80.0), Level("L2", 9000, 70.0)))


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"copy_gb_per_s": 1, "product_gflop_per_s": 1, "threads": 1}'])
def test_a_stored_peak_that_cannot_be_read_is_measured_again(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    seen = script(monkeypatch, lambda n: 1e-6)
    measured.peaks(CPU, FLOAT, 1)
    (stored,) = cache_dir("peaks").glob("*.json")
    assert json.loads(stored.read_text())["levels"][0]["name"] == "L1"
    stored.write_text(text)
    measured.peaks.cache_clear()
    timings = len(seen)
    measured.peaks(CPU, FLOAT, 1)
    assert len(seen) == 2 * timings


def test_caches_are_those_that_linux_tells_of(tmp_path: Path) -> None:
    rows = [("1", "Data", "48K", "0"), ("1", "Instruction", "32K", "0"), ("2", "Unified", "2048K", "0-1"),
            ("3", "Unified", "300M", "0-1,4-5"), ("4", "Unified", "?", "0")]  # fmt: skip
    for number, row in enumerate(rows):
        folder = tmp_path / f"index{number}"
        folder.mkdir()
        for name, value in zip(("level", "type", "size", "shared_cpu_list"), row, strict=True):
            (folder / name).write_text(f"{value}\n")
    found = measured.caches_in(tmp_path)
    assert found == [Cache("L1", 48 * 2**10, 1), Cache("L2", 2**21, 2), Cache("L3", 300 * 2**20, 4)]
    assert measured.caches_in(tmp_path / "none") == []


def test_products_that_would_take_too_long_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """As float16 on a CPU without it: each shape larger than the first would take minutes."""
    monkeypatch.setattr(measured, "SHAPES", ((8, 8, 8), (64, 64, 64)))
    seen = script(monkeypatch, lambda n: 1.0)
    measured.measure(CPU, FLOAT, 1, threads=1)
    assert len(seen) == 1 + 12
