"""Distances from a roofline whose corners are known by hand."""

from __future__ import annotations

import pytest

from benchsuite.hardware import roofline
from benchsuite.hardware.roofline import Level, Peaks

PEAKS = Peaks(100.0, 1000.0, "published: by hand")  # 100 TFLOP/s, 1 TB/s: the ridge is at 100 FLOPs a byte


def test_a_product_is_bound_by_arithmetic() -> None:
    found = roofline.distance(2e-3, flops=100_000_000_000, bytes_moved=100_000_000, peaks=PEAKS)
    assert found.bound == "compute"
    assert found.fraction == pytest.approx(0.5)
    assert found.memory_fraction == pytest.approx(0.05)


def test_a_copy_is_bound_by_memory() -> None:
    found = roofline.distance(1e-3, flops=1000, bytes_moved=800_000_000, peaks=PEAKS)
    assert (found.bound, found.fraction) == ("memory", pytest.approx(0.8))


def test_what_is_not_known_has_no_distance() -> None:
    found = roofline.distance(1e-3, None, None, PEAKS)
    assert (found.fraction, found.bound) == (None, None)
    assert roofline.distance(1e-3, 10, 10, Peaks(None, None, "unknown")).fraction is None
    assert roofline.published("NVIDIA H100 of the future", "bfloat16") is None


def test_a_type_without_a_peak_has_no_mfu() -> None:
    peaks = roofline.published("Tesla V100-SXM2-16GB", "bfloat16")
    assert peaks is not None
    assert peaks.tflop_per_s is None
    assert peaks.gb_per_s == 900


@pytest.mark.parametrize(("time_s", "cold", "words"), [(1e-3, True, None), (0.9e-3, False, "arithmetic")])
def test_more_arithmetic_than_the_device_can_do_is_impossible(time_s: float, cold: bool, words: str | None) -> None:
    found = roofline.impossible(roofline.distance(time_s, 100_000_000_000, 1, PEAKS), cold=cold)
    assert (found is None) == (words is None)
    assert words is None or words in str(found)


def test_more_bytes_than_the_device_can_move_are_impossible_only_with_cold_caches() -> None:
    twice = roofline.distance(1e-3, 1, 2_000_000_000, PEAKS)
    assert "bandwidth" in str(roofline.impossible(twice, cold=True))
    assert roofline.impossible(twice, cold=False) is None


def test_a_cpu_does_no_petaflop() -> None:
    assert "cannot do more" in str(roofline.impossible_cpu(1e-6, 10**12, 2, ["avx2"], "float32"))
    assert roofline.impossible_cpu(1.0, 10**11, 2, ["avx2"], "float32") is None
    assert roofline.impossible_cpu(1e-6, 10**12, 2, [], "float32") is None, "an unknown width has no limit"
    assert roofline.impossible_cpu(1e-6, 10**12, 2, ["avx512f", "amx_tile"], "float32") is None


def test_utilisation_is_of_a_published_peak_or_unknown() -> None:
    peaks = roofline.Peaks(100.0, 1000.0, "published: a test")
    assert roofline.utilisation(3e14, 10.0, peaks) == pytest.approx(0.3)
    assert roofline.utilisation(4e14, 10.0, peaks) == pytest.approx(0.4), "with recomputation HFU is above MFU"
    assert roofline.utilisation(3e14, 10.0, None) is None
    assert roofline.utilisation(3e14, 10.0, roofline.Peaks(None, 1000.0, "no peak of this type")) is None


def test_recomputation_shows_in_hfu_alone() -> None:
    from benchsuite.measure.quality import utilisation
    from benchsuite.model import flops
    from benchsuite.model.spec import ModelSpec
    from benchsuite.records.params import TrainConfig

    spec = ModelSpec(layers=24, width=2048, heads=16, vocab=50304, seq=2048)
    plain = utilisation(spec, TrainConfig(tokens=1), 1e4, PEAKS)
    again = utilisation(spec, TrainConfig(tokens=1, recompute=True), 1e4, PEAKS)
    assert plain["mfu"] == plain["hfu"] == again["mfu"]
    token = 6 * flops.parameters(spec) + 12 * spec.layers * spec.seq * spec.width  # arXiv:2204.02311, appendix B
    assert plain["mfu"] == pytest.approx(1e4 * token / 100e12, rel=0.01)
    assert 1.2 < again["hfu"] / again["mfu"] < 4 / 3
    assert utilisation(spec, TrainConfig(tokens=1), 1e4, None) == {"mfu": None, "hfu": None}


LADDER = (Level("L1", 1000, 4000.0), Level("L2", 100_000, 2000.0))
LOCAL = Peaks(100.0, 1000.0, "measured here: by hand", LADDER)


@pytest.mark.parametrize(
    ("working_set", "level", "fraction"),
    [(1000, "L1", 0.2), (1001, "L2", 0.4), (100_001, "memory", 0.8), (None, "memory", 0.8)],
)
def test_what_fits_a_cache_is_held_against_that_cache(working_set: int | None, level: str, fraction: float) -> None:
    found = roofline.distance(1e-3, 1000, 800_000_000, LOCAL, working_set)
    assert (found.level, found.bound) == (level, "memory")
    assert found.fraction == pytest.approx(fraction)


@pytest.mark.parametrize(("peaks", "whose"), [(LOCAL, "measured"), (PEAKS, "published")])
def test_a_figure_above_a_peak_is_a_fault_of_the_instrument_and_no_figure(peaks: Peaks, whose: str) -> None:
    found = roofline.told(roofline.distance(1e-3, 133_000_000_000, 100_000_000, peaks))
    assert (found.fraction, found.compute_fraction, found.bound) == (None, None, None)
    assert found.memory_fraction == pytest.approx(0.1)
    assert found.reason == f"above the {whose} peak of arithmetic"
    found = roofline.told(roofline.distance(1e-3, 1000, 2_600_000_000, peaks))
    assert (found.fraction, found.memory_fraction, found.reason) == (None, None, f"above the {whose} peak of memory")


def test_a_figure_at_the_peak_is_100_per_cent() -> None:
    found = roofline.told(roofline.distance(1e-3, 102_000_000_000, 100, LOCAL))
    assert (found.fraction, found.compute_fraction, found.reason) == (1.0, 1.0, None)


def test_a_figure_below_the_peak_stays_as_it_is() -> None:
    raw = roofline.distance(2e-3, 100_000_000_000, 100_000_000, PEAKS)
    assert roofline.told(raw) == raw
