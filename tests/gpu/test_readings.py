"""Clocks, memory, energy and what NVML says, against what is known otherwise."""

from __future__ import annotations

import shutil
import subprocess
import time

import pytest
import torch

from benchsuite import devices
from benchsuite.hardware import nvml

pytestmark = pytest.mark.gpu

CYCLES = 20_000_000  # about 10 ms
CUDA = devices.named("cuda")


def spin() -> None:
    torch.cuda._sleep(CYCLES)


@pytest.mark.parametrize("mode", CUDA.modes)
def test_every_clock_tells_how_long_the_device_slept(mode: str) -> None:
    clock = CUDA.clock(mode)
    clock.time_calls(spin, 3)  # clocks rise
    torch.cuda.synchronize()
    started = time.perf_counter()
    for _ in range(20):
        spin()
    torch.cuda.synchronize()
    expected_s = time.perf_counter() - started
    assert clock.time_calls(spin, 20) == pytest.approx(expected_s, rel=0.1)


def test_events_do_not_count_the_host() -> None:
    clock = CUDA.clock("event-hot")
    x = torch.ones(1, device="cuda")
    clock.time_calls(lambda: x.add_(1), 10)
    assert clock.time_calls(lambda: x.add_(1), 100) / 100 < 50e-6


def test_a_peak_is_what_was_allocated() -> None:
    held = torch.zeros(2**24, device="cuda")  # 64 MiB
    found = CUDA.memory(lambda: torch.zeros(2**25, device="cuda"), [held])
    assert found.peak is not None
    assert found.reserved is not None
    assert 192 * 2**20 <= found.peak <= 256 * 2**20
    assert found.reserved >= found.peak
    assert found.device_process is None or found.device_process >= found.reserved


def test_clocks_power_and_energy_are_read_and_fit_together() -> None:
    a = torch.randn(4096, 4096, device="cuda", dtype=torch.bfloat16)
    with CUDA.monitor(shared=0) as monitor:
        ends = time.monotonic() + 2
        while time.monotonic() < ends:
            for _ in range(50):
                a @ a
            torch.cuda.synchronize()
    found = monitor.summary()
    if found["gpu_unknown"]:
        pytest.skip(found["gpu_unknown"])
    assert found["gpu_readings"] > 20
    assert found["sm_mhz"] is None or found["sm_mhz"] > 100
    if found["gpu_energy_j"] is None or found["power_w"] is None:
        pytest.skip("the driver tells no energy or no power here")
    assert found["gpu_energy_j"] / found["window_s"] == pytest.approx(found["power_w"], rel=0.5)


def test_nvml_and_nvidia_smi_speak_of_the_same_gpu() -> None:
    smi = shutil.which("nvidia-smi")
    if smi is None:
        pytest.skip("nvidia-smi is not on PATH")
    with nvml.opened() as why_not:
        assert why_not is None
        gpu = nvml.handle("cuda:0")
        if gpu is None:
            pytest.skip("CUDA's first device is one that NVML does not tell of, such as a MIG instance")
        about, uuid = nvml.about(gpu), nvml.read("nvmlDeviceGetUUID", gpu)
    fields = "name,memory.total,driver_version"
    command = [smi, f"--id={uuid}", f"--query-gpu={fields}", "--format=csv,noheader,nounits"]
    name, mib, version = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip().split(", ")
    with nvml.opened():
        assert nvml.driver()["driver"] == version
    assert about["name"] == name == torch.cuda.get_device_name(0)
    assert about["memory_bytes"] / 2**20 == pytest.approx(float(mib), abs=1)
