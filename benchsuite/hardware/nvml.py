"""NVIDIA's management library: what a GPU is, and the state it is in.

    with nvml.opened() as why_not:
        if why_not is None:
            print(nvml.about(nvml.handle("cuda:0")))

A value that the driver does not tell, or not to us, is None; a GPU that has gone raises `Lost`. Nothing is ever set.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import psutil
import pynvml

# Why clocks are not at their highest, by NVML's bits (nvml.h, nvmlClocksEventReasons).
REASONS = {
    0x1: "idle",
    0x2: "application clocks",
    0x4: "power cap",
    0x8: "hardware slowdown",
    0x10: "sync boost",
    0x20: "thermal, by software",
    0x40: "thermal, by hardware",
    0x80: "power brake",
    0x100: "display clocks",
}
THROTTLED = 0x8 | 0x20 | 0x40 | 0x80  # not the device's own pace; a power cap is, and is reported

# What each failure to begin means to whoever reads it.
_FAILURES = {
    pynvml.NVML_ERROR_LIBRARY_NOT_FOUND: "there is no NVIDIA driver (libnvidia-ml.so.1 was not found)",
    pynvml.NVML_ERROR_DRIVER_NOT_LOADED: "the NVIDIA driver is installed but not loaded",
    pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH: "the loaded NVIDIA driver is another version than its library; reboot",
    pynvml.NVML_ERROR_NO_PERMISSION: "the NVIDIA driver does not let this user ask",
    pynvml.NVML_ERROR_GPU_IS_LOST: "the GPU has fallen off the bus; reboot",
}
_GONE = (pynvml.NVML_ERROR_GPU_IS_LOST, pynvml.NVML_ERROR_UNINITIALIZED, pynvml.NVML_ERROR_RESET_REQUIRED)


class Lost(Exception):  # noqa: N818 - a state of the device
    """The GPU no longer answers."""


@dataclass(frozen=True)
class State:
    """One reading. Energy is the driver's counter since it was loaded; it moves in steps."""

    sm_mhz: int | None
    memory_mhz: int | None
    power_w: float | None
    temperature_c: int | None
    reasons: int | None
    energy_j: float | None


@contextlib.contextmanager
def opened() -> Iterator[str | None]:
    """Hold the library open; give None, or why it cannot be used."""
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        yield _FAILURES.get(error.value, f"NVML: {error}")
        return
    try:
        yield None
    finally:
        with contextlib.suppress(pynvml.NVMLError):
            pynvml.nvmlShutdown()


def read(name: str, *arguments: Any) -> Any:
    """The value of one of pynvml's functions, text decoded; None where the driver does not support or allow it.

    Raises Lost where the GPU has gone.
    """
    try:
        value = getattr(pynvml, name)(*arguments)
    except pynvml.NVMLError as error:
        if error.value in _GONE:
            raise Lost(f"NVML: {error}") from error
        return None
    return value.decode() if isinstance(value, bytes) else value


def handles() -> list[Any]:
    """Every GPU of the machine, in NVML's order (that of the bus)."""
    found = [read("nvmlDeviceGetHandleByIndex", index) for index in range(read("nvmlDeviceGetCount") or 0)]
    return [handle for handle in found if handle is not None]


def handle(device: str = "cuda") -> Any:
    """Return the GPU that CUDA calls `device`; None where there is no such one or it cannot be told which it is, and
    for a MIG instance, whose own clocks and power NVML does not tell.

    CUDA counts within CUDA_VISIBLE_DEVICES, which may hold numbers or UUIDs, and puts the fastest first unless
    CUDA_DEVICE_ORDER is PCI_BUS_ID, while NVML goes by the bus. Where torch is loaded, it is asked for the UUID.
    """
    number = int(device.partition(":")[2] or 0)
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        if number >= torch.cuda.device_count():
            return None
        uuid = str(torch.cuda.get_device_properties(number).uuid)
        return _by_uuid(uuid if uuid.startswith(("GPU-", "MIG-")) else f"GPU-{uuid}")
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = [str(number)] if visible is None else [name.strip() for name in visible.split(",") if name.strip()]
    if visible is not None:
        names = names[number : number + 1]
    if not names:
        return None
    if names[0].isdecimal():
        return read("nvmlDeviceGetHandleByIndex", int(names[0])) if _in_order_of_the_bus() else None
    return _by_uuid(names[0])


def visible() -> list[str]:
    """Return the names of the GPUs that CUDA can see, in its order as far as that is known. Of GPUs that MIG divides,
    CUDA sees the first instance, or the one that CUDA_VISIBLE_DEVICES names.

    Source: CUDA C++ Programming Guide, "CUDA Environment Variables"; NVIDIA MIG User Guide, "CUDA Device Enumeration".
    """
    asked, every = os.environ.get("CUDA_VISIBLE_DEVICES"), handles()
    found: list[Any] = every if asked is None else []
    for name in [] if asked is None else asked.split(","):
        if (gpu := _asked_for(name.strip(), every)) is None or gpu in found:
            break  # CUDA takes none after the first that it does not know
        found.append(gpu)
    names = [read("nvmlDeviceGetName", gpu) or "GPU" for gpu in found]
    return names[:1] if any(_divided(gpu) for gpu in found) else names


def capabilities() -> list[tuple[int, int] | None]:
    """The compute capability of each GPU of the machine; None for one that does not tell it."""
    found = [read("nvmlDeviceGetCudaComputeCapability", gpu) for gpu in handles()]
    return [None if value is None else (int(value[0]), int(value[1])) for value in found]


def _asked_for(name: str, every: list[Any]) -> Any:
    if name.isdecimal():
        return every[int(name)] if int(name) < len(every) else None
    if name.startswith("MIG-"):
        return read("nvmlDeviceGetHandleByUUID", name.encode())
    return _by_uuid(name)


def _divided(gpu: Any) -> bool:
    mode = read("nvmlDeviceGetMigMode", gpu)
    return bool(mode and mode[0])


def _by_uuid(uuid: str) -> Any:
    """The GPU of this UUID, or of the only one that begins so, which CUDA takes too; None for a MIG instance."""
    if not uuid.startswith("GPU-"):
        return None
    if (found := read("nvmlDeviceGetHandleByUUID", uuid.encode())) is not None:
        return found
    alike = [gpu for gpu in handles() if (read("nvmlDeviceGetUUID", gpu) or "").startswith(uuid)]
    return alike[0] if len(alike) == 1 else None


def _in_order_of_the_bus() -> bool:
    """Return whether CUDA numbers the GPUs as NVML does: CUDA_DEVICE_ORDER says so, or they are all of one kind."""
    if os.environ.get("CUDA_DEVICE_ORDER") == "PCI_BUS_ID":
        return True
    return len({read("nvmlDeviceGetName", gpu) for gpu in handles()}) <= 1


def state(gpu: Any) -> State:
    """One reading."""
    power, energy = read("nvmlDeviceGetPowerUsage", gpu), read("nvmlDeviceGetTotalEnergyConsumption", gpu)
    return State(
        sm_mhz=read("nvmlDeviceGetClockInfo", gpu, pynvml.NVML_CLOCK_SM),
        memory_mhz=read("nvmlDeviceGetClockInfo", gpu, pynvml.NVML_CLOCK_MEM),
        power_w=None if power is None else power / 1e3,
        temperature_c=read("nvmlDeviceGetTemperature", gpu, pynvml.NVML_TEMPERATURE_GPU),
        reasons=read("nvmlDeviceGetCurrentClocksEventReasons", gpu),
        energy_j=None if energy is None else energy / 1e3,
    )


def about(gpu: Any) -> dict[str, Any]:
    """Return what the GPU is and how it is set, JSON-ready. No serial number and no UUID."""
    memory, mig, ecc = (read(f"nvmlDeviceGet{what}", gpu) for what in ("MemoryInfo", "MigMode", "EccMode"))
    limit, usual = (read(f"nvmlDeviceGet{x}", gpu) for x in ("EnforcedPowerLimit", "PowerManagementDefaultLimit"))
    return {
        "name": read("nvmlDeviceGetName", gpu),
        "memory_bytes": int(memory.total) if memory is not None else None,
        "mig": None if mig is None else bool(mig[0]),
        "ecc": None if ecc is None else bool(ecc[0]),
        "power_limit_w": None if limit is None else limit / 1e3,
        "default_power_limit_w": None if usual is None else usual / 1e3,
        "max_sm_mhz": read("nvmlDeviceGetMaxClockInfo", gpu, pynvml.NVML_CLOCK_SM),
        "max_memory_mhz": read("nvmlDeviceGetMaxClockInfo", gpu, pynvml.NVML_CLOCK_MEM),
        "persistence": _yes(read("nvmlDeviceGetPersistenceMode", gpu)),
        "pcie_generation": read("nvmlDeviceGetCurrPcieLinkGeneration", gpu),
        "pcie_width": read("nvmlDeviceGetCurrPcieLinkWidth", gpu),
        "uncorrected_ecc_errors": read(
            "nvmlDeviceGetTotalEccErrors",
            gpu,
            pynvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED,
            pynvml.NVML_VOLATILE_ECC,
        ),
    }


def driver() -> dict[str, str | None]:
    """Versions of the driver and of the CUDA that it brings."""
    cuda = read("nvmlSystemGetCudaDriverVersion")
    version = None if cuda is None else f"{cuda // 1000}.{cuda % 1000 // 10}"
    return {"driver": read("nvmlSystemGetDriverVersion"), "cuda": version}


def other_processes(gpu: Any) -> int | None:
    """Return how many processes compute on the GPU beside this one and its children; None where the driver does not
    tell."""
    found = read("nvmlDeviceGetComputeRunningProcesses", gpu)
    if found is None:
        return None
    me = psutil.Process()
    ours = {me.pid, *(parent.pid for parent in me.parents()), *(child.pid for child in me.children(recursive=True))}
    return sum(process.pid not in ours for process in found)


def process_bytes(gpu: Any) -> int | None:
    """Memory of the GPU that the driver counts to this process; more than torch allocates: context and libraries."""
    found = read("nvmlDeviceGetComputeRunningProcesses", gpu) or []
    mine = [process.usedGpuMemory for process in found if process.pid == os.getpid()]
    return mine[0] if mine and mine[0] is not None else None


def reasons(bits: int) -> list[str]:
    """The reasons' names."""
    return [name for bit, name in REASONS.items() if bits & bit]


def _yes(value: int | None) -> bool | None:
    return None if value is None else bool(value)
