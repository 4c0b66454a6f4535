"""The memory pass, apart from the timed samples: what a call allocates at its peak, and what autograd keeps of it.

How a peak is found is a device's matter (`benchsuite.devices`). Unknown is None, never 0.
"""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # read when the profiler first starts; torch 2.14 writes to stderr
LARGEST = 8  # of the saved tensors' groups, told one by one


@dataclass(frozen=True)
class Saved:
    """`count` tensors of one kind that autograd keeps: their shape, type, and the function that made them (`input`
    where none did), bytes of all together."""

    shape: tuple[int, ...]
    dtype: str
    made_by: str
    count: int
    bytes: int


@dataclass(frozen=True)
class Memory:
    """Bytes; None where unknown.

    `peak`: allocated at the worst moment, what existed before included. `reserved`: what the device's allocator held
    then. `device_process`: what the driver counts to this process. `saved`: kept by autograd between forward and
    backward, each storage once, parameters and inputs not counted; `saved_by` its largest parts. `rss_peak`: of the
    whole process on the host.
    """

    peak: int | None
    saved: int | None
    rss_peak: int | None
    reserved: int | None = None
    device_process: int | None = None
    saved_by: tuple[Saved, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The fields of a record."""
        return {
            "peak_bytes": self.peak,
            "reserved_bytes": self.reserved,
            "device_process_bytes": self.device_process,
            "saved_bytes": self.saved,
            "saved_by": [asdict(group) for group in self.saved_by],
            "rss_peak_bytes": self.rss_peak,
        }


Run = Callable[[Callable[[], object], int], tuple[int | None, int | None]]


def measure_memory(call: Callable[[], object], held: Iterable[Tensor], run: Run | None = None) -> Memory:
    """Run `call` once. `held` are the tensors that exist before it; `run` calls it with the bytes of these, and returns
    the peak and what the allocator held then (default: unknown)."""
    held_storages = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in held}
    peak = reserved = None
    kept = _Saving(set(held_storages))
    with saved_tensors_hooks(kept, lambda tensor: tensor):
        if run is None:
            call()
        else:
            peak, reserved = run(call, sum(held_storages.values()))
    groups = kept.groups()
    return Memory(peak, sum(group.bytes for group in groups), _rss_peak(), reserved, saved_by=groups[:LARGEST])


class _Saving:
    """Is called with every tensor that autograd keeps, and adds up those that did not exist before."""

    def __init__(self, held: set[int]) -> None:
        self._known = held
        self._sizes: dict[tuple[tuple[int, ...], str, str], list[int]] = {}

    def __call__(self, tensor: Tensor) -> Tensor:
        made_by = tensor.grad_fn.name() if tensor.grad_fn is not None else "input"
        for part in (tensor._indices(), tensor._values()) if tensor.is_sparse else (tensor,):
            storage = part.untyped_storage()
            if storage.data_ptr() not in self._known:
                self._known.add(storage.data_ptr())
                kind = (tuple(part.shape), str(part.dtype).removeprefix("torch."), made_by)
                self._sizes.setdefault(kind, []).append(storage.nbytes())
        return tensor

    def groups(self) -> tuple[Saved, ...]:
        """Alike tensors together, the largest first."""
        found = [Saved(*kind, count=len(sizes), bytes=sum(sizes)) for kind, sizes in self._sizes.items()]
        return tuple(sorted(found, key=lambda group: -group.bytes))


def allocated_on_host(call: Callable[[], object], held_bytes: int) -> tuple[int, None]:
    """Return what is held and the highest sum of allocations minus frees during `call`, event by event from torch's
    profiler."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profiler:
        call()
    events = profiler.profiler.kineto_results.events()
    changes = sorted((e.start_ns(), e.nbytes()) for e in events if e.name() == "[memory]")
    now = peak = 0
    for _, change in changes:
        now += change
        peak = max(peak, now)
    return held_bytes + peak, None


def _rss_peak() -> int | None:
    if sys.platform == "win32":
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
