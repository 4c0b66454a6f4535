"""Describe this machine: `identity` must match for two runs to be compared, `context` is only shown.

No user name, and the host's name only where it is asked for. What cannot be read is None.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import re
import sys
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil

from benchsuite import git
from benchsuite.hardware import cgroup, nvml

CPU_FLAGS = ("avx2", "avx512f", "avx512_bf16", "amx_tile", "asimd", "sve")  # those that choose kernels
# Of what NVML tells of a GPU, what changes its speed for good; the rest is context.
GPU_IDENTITY = ("name", "memory_bytes", "mig", "power_limit_w")
SYSTEM = Path("/sys")
# The maker of the machine, as its firmware names it, and the cloud that it belongs to.
CLOUDS = {
    "Amazon": "AWS",
    "Google": "Google Cloud",
    "Microsoft": "Azure",
    "OracleCloud": "Oracle",
    "Hetzner": "Hetzner",
}


def fingerprint(*, host: bool = False) -> dict[str, Any]:
    """Identity and context of this machine, JSON-ready. Sizes in bytes. Imports no torch."""
    cpu, devices, drivers = cpu_info(), gpus(), _drivers()
    found: dict[str, Any] = {
        "identity": identity(),
        "context": {
            "python": platform.python_version(),
            "kernel": platform.release(),
            "memory_bytes": psutil.virtual_memory().total,
            "memory_limit_bytes": cgroup.memory_limit(),
            "cache_bytes": last_level_cache(),
            "clock_source": _line("devices/system/clocksource/clocksource0/current_clocksource"),
            "governor": _line("devices/system/cpu/cpu0/cpufreq/scaling_governor"),
            "microcode": cpu.get("microcode"),
            "virtual": "hypervisor" in cpu.get("flags", "").split(),
            "container": _container(),
            "cloud": _cloud(),
            "gpus": [{k: v for k, v in gpu.items() if k not in GPU_IDENTITY} for gpu in devices],
            "driver_cuda": drivers["cuda"],
            "allocator": "glibc" if platform.libc_ver()[0] == "glibc" else None,
            "packages": {name: version(name) for name in ("numpy", "transformers", "lm-eval", "tokenizers")},
            "executable": Path(sys.executable).name,
            "commit": git.commit(),
        },
    }
    if host:
        found["context"]["host"] = platform.node()
    return found


def identity() -> dict[str, Any]:
    """Return what must match for two runs to be compared, JSON-ready."""
    cpu = cpu_info()
    return {
        "cpu": cpu.get("model name") or platform.processor() or platform.machine(),
        "cpu_flags": cpu_flags(),
        "cores": usable_cores(),
        "cpu_quota": cgroup.cpu_quota(),
        "architecture": platform.machine(),
        "system": platform.system(),
        "gpus": [{key: gpu[key] for key in GPU_IDENTITY} for gpu in gpus()],
        "gpu_driver": _drivers()["driver"],
        "torch": version("torch"),
    }


def cpu_flags() -> list[str]:
    """Those of the CPU's features that choose kernels."""
    cpu = cpu_info()
    names = cpu.get("flags", cpu.get("Features", "")).split()  # x86, ARM
    return [flag for flag in CPU_FLAGS if flag in names]


def usable_cores() -> int:
    """CPU cores that this process can keep busy: those that it may run on, and no more than its control group's quota
    gives time for. At least one."""
    allowed, quota = allowed_cores(), cgroup.cpu_quota()
    return allowed if quota is None else max(1, min(allowed, int(quota)))


def allowed_cores() -> int:
    """CPU cores that this process may run on: its affinity, or all of the machine's where that cannot be told."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def gpus() -> list[dict[str, Any]]:
    """Return what NVML tells of each NVIDIA GPU (see `nvml.about`); empty without driver or GPU."""
    with nvml.opened() as why_not:
        if why_not:
            return []
        try:
            return [nvml.about(gpu) for gpu in nvml.handles()]
        except nvml.Lost:
            return []


def version(package: str) -> str | None:
    """The installed version of `package`, None where it is not installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


@cache
def torch_backends() -> dict[str, str]:
    """Return the accelerators that the installed torch is built for, with their versions, as {"cuda": "13.0"}, from the
    file that torch writes when it is built. Imports no torch."""
    found = importlib.util.find_spec("torch")
    if found is None or found.origin is None:
        return {}
    try:
        text = Path(found.origin).with_name("version.py").read_text()
    except OSError:
        return {}
    return dict(re.findall(r"^(cuda|hip|xpu)\b[^=]*= *['\"]([^'\"]+)['\"]", text, re.MULTILINE))


def cpu_info() -> dict[str, str]:
    """The first processor's entry in /proc/cpuinfo; empty elsewhere than on Linux."""
    try:
        lines = Path("/proc/cpuinfo").read_text().split("\n\n")[0].splitlines()
    except OSError:
        return {}
    return {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}


def last_level_cache() -> int | None:
    """Bytes of the largest cache that core 0 sees."""
    sizes = []
    for path in (SYSTEM / "devices/system/cpu/cpu0/cache").glob("index*/size"):
        text = path.read_text().strip()
        sizes.append(int(text.rstrip("KM")) * {"K": 1024, "M": 1024**2}.get(text[-1], 1))
    return max(sizes, default=None)


def _drivers() -> dict[str, str | None]:
    with nvml.opened() as why_not:
        return nvml.driver() if why_not is None else {"driver": None, "cuda": None}


def _container() -> str | None:
    """The kind of container that this process is in, as far as it shows; None where none does."""
    if os.environ.get("KUBERNETES_SERVICE_HOST"):
        return "kubernetes"
    if Path("/.dockerenv").exists():
        return "docker"
    if Path("/run/.containerenv").exists():
        return "podman"
    return os.environ.get("container")  # noqa: SIM112 - so systemd-nspawn and lxc write it


def _cloud() -> str | None:
    vendor = _line("class/dmi/id/sys_vendor") or ""
    asset = _line("class/dmi/id/chassis_asset_tag") or ""
    return next((cloud for name, cloud in CLOUDS.items() if vendor.startswith(name) or asset.startswith(name)), None)


def _line(name: str) -> str | None:
    """Return what a file of sysfs says; None where it is not there or not for us."""
    try:
        return (SYSTEM / name).read_text().strip() or None
    except OSError:
        return None
