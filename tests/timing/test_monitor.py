"""The CPU's monitor, against work that is really there."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchsuite.timing import monitor
from benchsuite.timing.monitor import Counters, Monitor


def _window(before: Counters, after: Counters) -> Monitor:
    found = Monitor()
    found._before, found._after = before, after
    return found


@pytest.mark.slow
def test_other_work_on_our_cores_is_seen() -> None:
    if not Path("/proc/stat").exists():
        pytest.skip("the counters are Linux's")
    busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        time.sleep(0.3)
        with Monitor() as watching:
            time.sleep(1.0)
    finally:
        busy.kill()
        busy.wait()
    seen = watching.summary()
    assert seen["foreign_cores"] > 0.3
    assert any("other processes used" in text for text in seen["disturbed"])


def test_our_own_work_is_not_other_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(monitor, "allowed_cores", lambda: 2)
    seen = _window(Counters(0.0, 10.0, 0.0, 5.0, None), Counters(1.0, 12.0, 0.0, 7.0, None)).summary()
    assert (seen["foreign_cores"], seen["steal_fraction"], seen["disturbed"]) == (0.0, 0.0, [])


def test_time_that_the_host_takes_is_told_as_a_share_of_our_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(monitor, "allowed_cores", lambda: 2)
    seen = _window(Counters(0.0, 10.0, 1.0, 5.0, None), Counters(1.0, 11.8, 1.2, 6.8, None)).summary()
    assert seen["steal_fraction"] == pytest.approx(0.1)
    assert any("10%" in text for text in seen["disturbed"])


def test_what_cannot_be_read_is_null() -> None:
    seen = _window(Counters(0.0, None, None, 0.0, None), Counters(1.0, None, None, 1.0, None)).summary()
    assert (seen["foreign_cores"], seen["steal_fraction"], seen["cpu_energy_j"]) == (None, None, None)
    assert seen["disturbed"] == []


def test_energy_of_the_packages_and_a_counter_that_began_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(monitor, "RAPL", tmp_path)
    assert monitor._rapl() is None
    for name, value in (("intel-rapl:0", 3_000_000), ("intel-rapl:1", 2_000_000), ("intel-rapl:0:0", 9_000_000)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "energy_uj").write_text(f"{value}\n")
    assert monitor._rapl() == pytest.approx(5.0)
    wrapped = _window(Counters(0.0, None, None, 0.0, 260.0), Counters(1.0, None, None, 0.0, 1.0)).summary()
    assert wrapped["cpu_energy_j"] is None


def test_energy_per_token_is_null_where_nothing_was_counted() -> None:
    assert monitor.energy_per_token({"cpu_energy_j": 10.0}, "wall", calls=5, tokens=100) == pytest.approx(0.02)
    gpu = {"cpu_energy_j": 10.0, "gpu_readings": 3, "gpu_energy_j": None}
    assert monitor.energy_per_token(gpu, "wall", calls=5, tokens=100) is None, "not the CPU's in its place"
    assert monitor.energy_per_token({"cpu_energy_j": 10.0}, "cold", calls=5, tokens=100) is None
