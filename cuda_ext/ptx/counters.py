"""Count what a profiler would: bytes by buffer, sectors of 32 bytes a request, bank conflicts, the instruction mix."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

WARP, SECTOR, BANKS, BANK_BYTES = 32, 32, 32, 4


@dataclass
class Counters:
    """Bytes that instructions moved, by (buffer, "read" or "write"); by buffer the sectors of global accesses and the
    fewest that could have carried their bytes; passes of shared accesses beyond the first by instruction;
    instructions by opcode (of threads); FLOPs of tensor cores."""

    bytes: Counter[tuple[str, str]] = field(default_factory=Counter)
    sectors: Counter[str] = field(default_factory=Counter)
    ideal_sectors: Counter[str] = field(default_factory=Counter)
    conflicts: Counter[str] = field(default_factory=Counter)
    instructions: Counter[str] = field(default_factory=Counter)
    matrix_flops: int = 0

    @property
    def bank_conflicts(self) -> int:
        return self.conflicts.total()

    @property
    def sector_efficiency(self) -> float:
        """1 where every 32-byte sector that moved was wholly used (a warp's access taken as one request)."""
        return self.ideal_sectors.total() / self.sectors.total() if self.sectors else 1.0

    def efficiency(self, *names: str) -> float:
        """The same of the accesses to some buffers."""
        sectors = sum(self.sectors[name] for name in names)
        return sum(self.ideal_sectors[name] for name in names) / sectors if sectors else 1.0

    def read(self, name: str) -> int:
        return self.bytes[name, "read"]

    def written(self, name: str) -> int:
        return self.bytes[name, "write"]

    def global_access(self, name: str, how: str, warps: NDArray, addresses: NDArray, size: int) -> None:
        self.bytes[name, how] += len(addresses) * size
        first, last = addresses // SECTOR, (addresses + size - 1) // SECTOR
        touched = np.concatenate([warps * (1 << 44) + first, warps * (1 << 44) + last])
        self.sectors[name] += len(np.unique(touched))
        moved = np.unique(warps * (1 << 44) + addresses)  # lanes that read one address share it
        _, accesses = np.unique(moved >> 44, return_counts=True)
        self.ideal_sectors[name] += int((-(-accesses * size // SECTOR)).sum())

    def shared_access(self, op: str, warps: NDArray, lanes: NDArray, addresses: NDArray, size: int) -> None:
        """8-byte accesses go by half-warps and 16-byte ones by quarters; one word for several lanes is one access."""
        words = max(1, size // BANK_BYTES)
        phases = warps * 64 + lanes // (WARP // words)
        word = (addresses // BANK_BYTES)[:, None] + np.arange(words)
        key = np.unique(np.repeat(phases, words) * (1 << 40) + word.ravel())
        phase, bank = key >> 40, (key & ((1 << 40) - 1)) % BANKS
        places, counts = np.unique(phase * BANKS + bank, return_counts=True)
        first = np.flatnonzero(np.diff(places // BANKS, prepend=-1))  # of each phase
        self.conflicts[op] += int((np.maximum.reduceat(counts, first) - 1).sum()) if len(first) else 0
