"""What this machine is: `identity` must match for two runs to be compared, `context` is only told.

No host name and no user name. What cannot be read is None.
"""

from __future__ import annotations

import os
import platform
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil

CPU_FLAGS = ("avx2", "avx512f", "avx512_bf16", "amx_tile", "asimd", "sve")  # those that choose kernels


def fingerprint() -> dict[str, Any]:
    """Identity and context of this machine, JSON-ready. Sizes in bytes. Imports no torch."""
    cpu = _cpu_info()
    return {
        "identity": {
            "cpu": cpu.get("model name") or platform.processor() or platform.machine(),
            "cpu_flags": [flag for flag in CPU_FLAGS if flag in cpu.get("flags", "").split()],
            "cores": usable_cores(),
            "architecture": platform.machine(),
            "system": platform.system(),
            "gpus": gpus(),
            "torch": version("torch"),
        },
        "context": {
            "python": platform.python_version(),
            "kernel": platform.release(),
            "memory_bytes": psutil.virtual_memory().total,
            "cache_bytes": _last_level_cache(),
            "virtual": "hypervisor" in cpu.get("flags", "").split(),
            "container": Path("/.dockerenv").exists() or Path("/run/.containerenv").exists(),
            "allocator": "glibc" if platform.libc_ver()[0] == "glibc" else None,
            "packages": {name: version(name) for name in ("numpy", "transformers", "lm-eval", "tokenizers")},
            "executable": Path(sys.executable).name,
        },
    }


def usable_cores() -> int:
    """CPU cores that this process may run on: its affinity, or all of the machine's where that cannot be told."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def gpus() -> list[dict[str, Any]]:
    """Name and memory of each NVIDIA GPU that the driver shows; empty without driver or GPU."""
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return []
    try:
        handles = [pynvml.nvmlDeviceGetHandleByIndex(i) for i in range(pynvml.nvmlDeviceGetCount())]
        return [
            {"name": pynvml.nvmlDeviceGetName(h), "memory_bytes": int(pynvml.nvmlDeviceGetMemoryInfo(h).total)}
            for h in handles
        ]
    finally:
        pynvml.nvmlShutdown()


def version(package: str) -> str | None:
    """The installed version of `package`, None where it is not installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _cpu_info() -> dict[str, str]:
    """The first processor's entry in /proc/cpuinfo; empty elsewhere than on Linux."""
    try:
        lines = Path("/proc/cpuinfo").read_text().split("\n\n")[0].splitlines()
    except OSError:
        return {}
    return {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}


def _last_level_cache() -> int | None:
    """Bytes of the largest cache that core 0 sees."""
    sizes = []
    for path in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size"):
        text = path.read_text().strip()
        sizes.append(int(text.rstrip("KM")) * {"K": 1024, "M": 1024**2}.get(text[-1], 1))
    return max(sizes, default=None)
