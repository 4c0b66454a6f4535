"""The peaks that makers publish, by the name that NVML returns (peaks.yaml, each with its source)."""

from __future__ import annotations

import importlib.resources
from functools import cache

import yaml
from pydantic import BaseModel, ConfigDict, Field


class Peak(BaseModel):
    """One device. Rates are dense and at boost clock: TFLOP/s (10^12) by dtype, bandwidth in GB/s (10^9)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    names: tuple[str, ...] = Field(min_length=1)
    source: str
    compute: str = Field(pattern=r"^(sm_\d+|gfx\w+)$")
    tflop_per_s: dict[str, float]
    gb_per_s: float = Field(gt=0)
    sms: int = Field(gt=0)
    boost_mhz: float = Field(gt=0)
    l2_mib: float = Field(gt=0)

    def ridge(self, dtype: str) -> float:
        """FLOPs a byte at which arithmetic in `dtype` begins to bind, not memory."""
        return self.tflop_per_s[dtype] * 1e3 / self.gb_per_s


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    sources: dict[str, str]
    devices: tuple[Peak, ...]


@cache
def devices() -> dict[str, Peak]:
    """All peaks by device name."""
    text = importlib.resources.files("benchsuite.hardware").joinpath("peaks.yaml").read_text(encoding="utf-8")
    file = _File.model_validate(yaml.safe_load(text))
    return {
        name: peak.model_copy(update={"source": file.sources[peak.source]})
        for peak in file.devices
        for name in peak.names
    }


def peak(name: str) -> Peak | None:
    """The peak of the device that NVML calls `name`; None for one that is not in the file."""
    return devices().get(name)
