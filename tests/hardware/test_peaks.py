"""The peaks file: rates that fit one another, names as the drivers return them, and no neighbour's numbers."""

from __future__ import annotations

import pytest

from benchsuite.hardware import peaks

# float32 lanes of a multiprocessor, by architecture (the makers' whitepapers): each does a multiply-add a clock.
LANES = {"sm_70": 64, "sm_80": 64, "gfx90a": 64} | dict.fromkeys(("sm_86", "sm_89", "sm_90", "sm_100", "sm_120"), 128)
LANES["gfx942"] = 128  # 64, each of which can start two instructions
# 16-bit matrix operations with sums in float32, as a multiple of the float32 rate. The datasheets of the H100 and L40S
# round other clocks in; GeForce cards have half the rate of the same chip on a workstation's.
DENSE = {"sm_70": 8, "sm_80": 16, "sm_86": 4, "sm_89": 4, "sm_90": 14.8, "sm_100": 30, "gfx90a": 8, "gfx942": 8}
# What the driver calls each device that the file must know.
NAMES = (
    "Tesla V100-SXM2-16GB", "Tesla V100-SXM2-32GB", "Tesla V100-PCIE-16GB", "Tesla V100-PCIE-32GB",
    "NVIDIA A100-SXM4-40GB", "NVIDIA A100-SXM4-80GB", "NVIDIA A100-PCIE-40GB", "NVIDIA A100 80GB PCIe",
    "NVIDIA H100 80GB HBM3", "NVIDIA H100 PCIe", "NVIDIA H100 NVL", "NVIDIA H200", "NVIDIA H200 NVL",
    "NVIDIA GH200 480GB", "NVIDIA GH200 144G HBM3e", "NVIDIA B200", "NVIDIA L4", "NVIDIA L40S", "NVIDIA A10",
    "NVIDIA RTX A6000", "NVIDIA GeForce RTX 3090", "NVIDIA GeForce RTX 4090", "NVIDIA GeForce RTX 5090",
    "AMD Instinct MI250X", "AMD Instinct MI300X",
)  # fmt: skip


@pytest.mark.parametrize("name", list(peaks.devices()))
def test_the_rates_fit_the_multiprocessors(name: str) -> None:
    peak = peaks.devices()[name]
    expected = peak.sms * LANES[peak.compute] * 2 * peak.boost_mhz * 1e6 / 1e12
    assert peak.tflop_per_s["float32"] == pytest.approx(expected, rel=0.01)
    dense = 2 if "GeForce" in name else DENSE[peak.compute]
    assert peak.tflop_per_s["float16"] == pytest.approx(dense * peak.tflop_per_s["float32"], rel=0.065)
    assert peak.tflop_per_s.get("bfloat16") in (peak.tflop_per_s["float16"], None)
    assert ("bfloat16" in peak.tflop_per_s) == (peak.compute != "sm_70")


@pytest.mark.parametrize("name", NAMES)
def test_devices_are_known_by_the_drivers_name(name: str) -> None:
    peak = peaks.peak(name)
    assert peak is not None
    assert peak.source.startswith(("NVIDIA", "AMD"))


@pytest.mark.parametrize(
    "name",
    [
        "NVIDIA H100",
        "NVIDIA H100 96GB HBM9",
        "nvidia h100 80gb hbm3",
        "NVIDIA A100-SXM4-80GB MIG 1g.10gb",
        "NVIDIA GeForce RTX 3090 Ti",
        "NVIDIA L40",
        "Some GPU",
        "",
    ],
)
def test_an_unknown_device_has_no_peak(name: str) -> None:
    """Not a prefix of a known name, not a slice of a known device, not its sister."""
    assert peaks.peak(name) is None


def test_the_ridge_is_in_flops_a_byte() -> None:
    peak = peaks.peak("NVIDIA A100-SXM4-80GB")
    assert peak is not None
    assert peak.ridge("bfloat16") == pytest.approx(312e12 / 2039e9)
