"""The peaks file: rates that fit one another, and no neighbour's numbers."""

from __future__ import annotations

import pytest

from benchsuite.hardware import peaks


@pytest.mark.parametrize("name", list(peaks.devices()))
def test_the_float32_rate_is_that_of_its_cores(name: str) -> None:
    """64 (sm_80) or 128 (sm_90) fused multiply-adds a clock and multiprocessor, 2 FLOPs each; and as many times that on
    tensor cores (Hopper runs those at 1830 MHz where the cores run at 1980)."""
    peak = peaks.devices()[name]
    lanes, dense = {"sm_80": (64, 16), "sm_90": (128, 16 * 1830 / 1980)}[peak.compute]
    expected = peak.sms * lanes * 2 * peak.boost_mhz * 1e6 / 1e12
    assert peak.tflop_per_s["float32"] == pytest.approx(expected, rel=0.01)
    assert peak.tflop_per_s["bfloat16"] == pytest.approx(dense * peak.tflop_per_s["float32"], rel=0.02)
    assert peak.source.startswith("NVIDIA")


def test_an_unknown_device_has_no_peak() -> None:
    assert peaks.peak("NVIDIA H100 96GB HBM9") is None
    assert peaks.peak("NVIDIA H100") is None, "not a prefix of a known name"


def test_the_ridge_is_in_flops_a_byte() -> None:
    peak = peaks.peak("NVIDIA A100-SXM4-80GB")
    assert peak is not None
    assert peak.ridge("bfloat16") == pytest.approx(312e12 / 2039e9)
