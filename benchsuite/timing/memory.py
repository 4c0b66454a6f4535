"""The memory pass, apart from the timed samples: what a call allocates at its peak, and what autograd keeps of it.

On the CPU the bytes are those of torch's allocator, event by event, from its profiler; on CUDA from the caching
allocator's own statistics. Unknown is None, never 0.
"""

from __future__ import annotations

import resource
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks


@dataclass(frozen=True)
class Memory:
    """Bytes. `peak`: allocated at the worst moment, what existed before included. `saved`: kept by autograd between
    forward and backward, each storage once, parameters and inputs not counted. `rss_peak`: of the whole process."""

    peak: int | None
    saved: int | None
    rss_peak: int | None


def measure_memory(call: Callable[[], object], held: Iterable[Tensor], device: str = "cpu") -> Memory:
    """Runs `call` twice: once for the peak, once for what autograd saves. `held` are the tensors that exist before
    it.
    """
    held_storages = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in held}
    before = sum(held_storages.values())
    peak = _peak_cuda(call) if device.startswith("cuda") else before + _peak_cpu(call)
    return Memory(peak, _saved(call, set(held_storages)), _rss_peak())


def _peak_cpu(call: Callable[[], object]) -> int:
    """The highest sum of allocations minus frees during `call`."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profiler:
        call()
    events = profiler.profiler.kineto_results.events()
    changes = sorted((e.start_ns(), e.nbytes()) for e in events if e.name() == "[memory]")
    now = peak = 0
    for _, change in changes:
        now += change
        peak = max(peak, now)
    return peak


def _peak_cuda(call: Callable[[], object]) -> int:
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    call()
    torch.cuda.synchronize()
    return torch.cuda.max_memory_allocated()


def _saved(call: Callable[[], object], held: set[int]) -> int:
    saved: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in held:
            saved[storage.data_ptr()] = storage.nbytes()
        return tensor

    with saved_tensors_hooks(keep, lambda tensor: tensor):
        call()
    return sum(saved.values())


def _rss_peak() -> int | None:
    if sys.platform == "win32":
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
