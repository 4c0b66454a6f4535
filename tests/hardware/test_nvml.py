"""NVML as it is and as it fails, through a stand-in library that the tests build."""

from __future__ import annotations

import pytest

from tests.hardware.conftest import Ask

pytestmark = pytest.mark.slow

ABOUT = """
with nvml.opened() as why_not:
    answer = why_not or nvml.about(nvml.handle())
"""
STATE = """
from dataclasses import asdict
with nvml.opened() as why_not:
    answer = why_not or asdict(nvml.state(nvml.handle()))
"""
MONITOR = """
import time
from benchsuite import devices
with devices.named("cuda").monitor() as monitor:
    time.sleep({seconds})
answer = monitor.summary()
"""


def test_what_a_gpu_is(ask: Ask) -> None:
    about = ask(ABOUT)
    assert about["name"] == "NVIDIA H100 80GB HBM3"
    assert (about["memory_bytes"], about["power_limit_w"], about["default_power_limit_w"]) == (85520809984, 500, 700)
    assert (about["mig"], about["ecc"], about["persistence"]) == (False, True, True)
    assert (about["max_sm_mhz"], about["max_memory_mhz"], about["pcie_width"]) == (1980, 2619, 16)


def test_its_state(ask: Ask) -> None:
    state = ask(STATE, FAKE_NVML_REASONS="68")
    assert (state["sm_mhz"], state["memory_mhz"], state["power_w"], state["temperature_c"]) == (1755, 2619, 300, 61)
    assert state["reasons"] == 68
    assert state["energy_j"] > 0


@pytest.mark.parametrize(
    ("failing", "words"),
    [
        ("nvmlInitWithFlags=9", "not loaded"),
        ("nvmlInitWithFlags=18", "another version than its library"),
        ("nvmlInitWithFlags=4", "does not let this user"),
        ("nvmlInitWithFlags=15", "fallen off the bus"),
        ("nvmlInitWithFlags=999", "NVML"),
    ],
)
def test_a_driver_that_does_not_begin_says_why(ask: Ask, failing: str, words: str) -> None:
    assert words in ask(ABOUT, FAKE_NVML=failing)


def test_no_library_is_no_driver(ask: Ask) -> None:
    assert "no NVIDIA driver" in ask(ABOUT, library=False)


@pytest.mark.parametrize("code", [3, 4, 13], ids=["not supported", "no permission", "function not found"])
def test_what_a_driver_does_not_tell_is_null(ask: Ask, code: int) -> None:
    failing = f"nvmlDeviceGetPowerUsage={code} nvmlDeviceGetTotalEnergyConsumption={code}"
    state = ask(STATE, FAKE_NVML=failing)
    assert (state["power_w"], state["energy_j"]) == (None, None)
    assert state["sm_mhz"] == 1755
    about = ask(ABOUT, FAKE_NVML=f"nvmlDeviceGetMigMode={code} nvmlDeviceGetEccMode={code}")
    assert (about["mig"], about["ecc"]) == (None, None)


@pytest.mark.parametrize(
    ("visible", "found"),
    [("0", True), ("GPU-1", True), ("GPU-2", False), ("MIG-7", False), ("1", False), ("", False)],
)
def test_the_gpu_is_the_one_that_cuda_sees(ask: Ask, visible: str, found: bool) -> None:
    code = "with nvml.opened():\n    answer = nvml.handle('cuda:0') is not None"
    assert ask(code, CUDA_VISIBLE_DEVICES=visible) is found


def test_other_processes_are_counted_and_our_own_are_not(ask: Ask) -> None:
    code = """
import os
os.environ["FAKE_NVML_PIDS"] = ""
import ctypes
ctypes.CDLL(None).setenv(b"FAKE_NVML_PIDS", f"{os.getpid()} 1234567".encode(), 1)
with nvml.opened():
    gpu = nvml.handle()
    answer = [nvml.other_processes(gpu), nvml.process_bytes(gpu)]
"""
    assert ask(code) == [1, 2 << 30]
    assert ask(code, FAKE_NVML="nvmlDeviceGetComputeRunningProcesses_v3=4") == [None, None]


def test_a_quiet_window(ask: Ask) -> None:
    seen = ask(MONITOR.format(seconds=0.3))
    assert seen["gpu_readings"] >= 4
    assert (seen["sm_mhz"], seen["power_w"], seen["temperature_c"]) == (1755, 300, 61)
    assert seen["throttled"] == []
    assert seen["gpu_energy_j"] is None, "too short a window for the energy counter"


def test_energy_of_a_long_window(ask: Ask) -> None:
    seen = ask(MONITOR.format(seconds=1.1))
    assert seen["gpu_energy_j"] == pytest.approx(300 * seen["window_s"], rel=0.15)


ENERGY = """
import time
from benchsuite.timing.clock import CPUClock
from benchsuite import devices
from benchsuite.timing.monitor import energy_pass
started = time.perf_counter()
joules = energy_pass(lambda: time.sleep(0.01), 2, CPUClock(), devices.named("cuda").monitor(), tokens=10)
answer = [joules, time.perf_counter() - started]
"""


def test_energy_per_token_has_a_pass_of_its_own_where_it_is_counted(ask: Ask) -> None:
    joules, seconds = ask(ENERGY)
    assert seconds >= 1.5
    assert joules == pytest.approx(300 * 0.01 / 10, rel=0.2), "300 W, calls of 10 ms, of 10 tokens each"
    joules, seconds = ask(ENERGY, FAKE_NVML="nvmlDeviceGetTotalEnergyConsumption=3")
    assert joules is None
    assert seconds < 1, "without a counter no time is spent"


def test_heat_is_throttling_and_a_power_cap_is_not(ask: Ask) -> None:
    hot = ask(MONITOR.format(seconds=0.2), FAKE_NVML_REASONS="64")
    assert len(hot["throttled"]) == 1
    assert "thermal, by hardware" in hot["throttled"][0]
    capped = ask(MONITOR.format(seconds=0.2), FAKE_NVML_REASONS="4")
    assert capped["throttled"] == []
    assert capped["clock_reasons"] == ["power cap"]


def test_company_on_the_gpu_is_told(ask: Ask) -> None:
    seen = ask(MONITOR.format(seconds=0.1), FAKE_NVML_PIDS="1234567 1234568")
    assert any("2 other processes" in text for text in seen["disturbed"])


def test_without_a_driver_the_clocks_are_unknown_and_nothing_is_disturbed(ask: Ask) -> None:
    code = "from benchsuite import devices\nwith devices.named('cuda').monitor() as m: pass\nanswer = m.summary()"
    seen = ask(code, library=False)
    assert "no NVIDIA driver" in seen["gpu_unknown"]
    assert (seen["sm_mhz"], seen["gpu_energy_j"]) == (None, None)
    assert not any("NVIDIA" in text for text in seen["disturbed"])


def test_a_gpu_that_falls_off_the_bus_ends_no_run(ask: Ask) -> None:
    seen = ask(MONITOR.format(seconds=0.3), FAKE_NVML="nvmlDeviceGetClockInfo=15@5")
    assert any("NVML" in text for text in seen["disturbed"])
    assert seen["gpu_readings"] >= 1


def test_the_fingerprint_of_a_machine_with_a_gpu(ask: Ask) -> None:
    code = "from benchsuite.hardware.fingerprint import fingerprint\nanswer = fingerprint()"
    found = ask(code)
    gpu = {"name": "NVIDIA H100 80GB HBM3", "memory_bytes": 85520809984, "mig": False, "power_limit_w": 500.0}
    assert found["identity"]["gpus"] == [gpu]
    assert found["identity"]["gpu_driver"] == "580.65.06"
    assert found["context"]["driver_cuda"] == "13.0"
    assert found["context"]["gpus"][0]["max_sm_mhz"] == 1980
    assert ask(code, FAKE_NVML="nvmlDeviceGetName=15")["identity"]["gpus"] == []


UNLIKE = """
import types
names = {1: "display", 2: "compute"}
found = {"nvmlDeviceGetCount": lambda: 2, "nvmlDeviceGetHandleByIndex": lambda i: i + 1,
         "nvmlDeviceGetName": names.get, "nvmlDeviceGetHandleByUUID": {b"GPU-a": 1, b"GPU-b": 2}.get}
for name, function in found.items():
    setattr(nvml.pynvml, name, function)
"""
TORCH = """
properties = [types.SimpleNamespace(uuid="b"), types.SimpleNamespace(uuid="a")]  # the fastest first
cuda = types.SimpleNamespace(is_available=lambda: True, device_count=lambda: 2)
cuda.get_device_properties = properties.__getitem__
nvml.sys.modules["torch"] = types.SimpleNamespace(cuda=cuda)
"""


@pytest.mark.parametrize(
    ("prelude", "env", "found"),
    [
        (TORCH, {}, [2, 1]),
        ("", {}, [None, None]),
        ("", {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}, [1, 2]),
        ("", {"CUDA_VISIBLE_DEVICES": "GPU-b,GPU-a"}, [2, 1]),
        ("names[2] = names[1]", {}, [1, 2]),
    ],
    ids=["torch knows", "unlike", "by the bus", "by UUID", "alike"],
)
def test_of_unlike_gpus_the_one_that_cuda_means_is_watched_or_none(
    ask: Ask, prelude: str, env: dict[str, str], found: list[int | None]
) -> None:
    code = UNLIKE + prelude + "\nwith nvml.opened():\n    answer = [nvml.handle(f'cuda:{i}') for i in range(2)]"
    assert ask(code, **env) == found


SEEN = (
    UNLIKE
    + """
names[3] = "compute MIG 1g.10gb"
nvml.pynvml.nvmlDeviceGetHandleByUUID = {b"GPU-a": 1, b"GPU-bcd": 2, b"MIG-1": 3}.get
nvml.pynvml.nvmlDeviceGetUUID = {1: "GPU-a", 2: "GPU-bcd"}.get
nvml.pynvml.nvmlDeviceGetMigMode = lambda gpu: (int(gpu == 3 or divided), 0)
with nvml.opened():
    answer = nvml.visible()
"""
)


@pytest.mark.parametrize(
    ("visible", "found"),
    [
        (None, ["display", "compute"]),
        ("", []),
        ("1,0", ["compute", "display"]),
        ("0,7,1", ["display"]),
        ("-1,0", []),
        ("GPU-b,GPU-a", ["compute", "display"]),
        ("GPU-x", []),
        ("MIG-1", ["compute MIG 1g.10gb"]),
    ],
)
def test_gpus_are_counted_as_cuda_counts_them(ask: Ask, visible: str | None, found: list[str]) -> None:
    env = {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}
    assert ask("divided = False" + SEEN, **env) == found


def test_of_gpus_that_mig_divides_cuda_sees_one_instance(ask: Ask) -> None:
    assert ask("divided = True" + SEEN) == ["display"]
