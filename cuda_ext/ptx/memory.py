"""Memory that remembers: bounds, alignment, which bytes were ever written, and who touched them last.

Global buffers are numpy arrays put at addresses of their own with gaps between, so that an access past an end meets
nothing. Shared memory is one row of bytes for each block.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Ints = NDArray[np.int64]

NOBODY, MANY = -1, -2
GAP = 4096  # bytes between buffers


class PTXFault(RuntimeError):  # noqa: N818 - a fault, as a GPU reports one
    """A kernel did what a GPU would punish, now or some day; the message says where."""


class MemoryFault(PTXFault):
    """Out of bounds, misaligned, or a read of what nobody wrote."""


class RaceFault(PTXFault):
    """Two threads touch a byte, one of them writing, with nothing that orders them."""


class SyncFault(PTXFault):
    """A barrier or a shuffle that not all reach."""


@dataclass
class Buffer:
    """One array in global memory. `written` and `readers`, `writers` (blocks) are one entry a byte."""

    name: str
    address: int
    data: Bytes
    written: NDArray[np.bool_]
    writers: NDArray[np.int32] = field(init=False)
    readers: NDArray[np.int32] = field(init=False)
    read: NDArray[np.bool_] = field(init=False)

    def __post_init__(self) -> None:
        self.writers = np.full(self.data.size, NOBODY, np.int32)
        self.readers = np.full(self.data.size, NOBODY, np.int32)
        self.read = np.zeros(self.data.size, np.bool_)


Touched = tuple[Buffer, NDArray[np.bool_]]  # and the accesses that fell into it


class GlobalMemory:
    """The buffers of one launch."""

    def __init__(self) -> None:
        self.buffers: list[Buffer] = []
        self._next = 1 << 20

    def put(self, name: str, array: NDArray, *, initialised: bool = True, offset: int = 0) -> int:
        """Copy `array` in and return the address of its byte `offset`; addresses are multiples of 256."""
        data = np.frombuffer(np.ascontiguousarray(array).tobytes(), np.uint8).copy()
        buffer = Buffer(name, self._next, data, np.full(data.size, initialised))
        self.buffers.append(buffer)
        self._next = (self._next + data.size + GAP + 255) // 256 * 256
        return buffer.address + offset

    def find(self, addresses: Ints, size: int) -> list[Touched]:
        """The buffers that hold `size` bytes at each address, with the accesses that fall into each. Raises
        MemoryFault."""
        if (addresses % size).any():
            at = int(addresses[addresses % size != 0][0])
            raise MemoryFault(f"misaligned: {size} bytes at {at:#x} ({self.nearest(at)})")
        left = np.ones(len(addresses), np.bool_)
        found = []
        for buffer in self.buffers:
            inside = (addresses >= buffer.address) & (addresses + size <= buffer.address + buffer.data.size)
            if inside.any():
                found.append((buffer, inside))
                left &= ~inside
        if left.any():
            at = int(addresses[left][0])
            raise MemoryFault(f"out of bounds: {size} bytes at {at:#x} ({self.nearest(at)})")
        return found

    def nearest(self, address: int) -> str:
        """Return where an address lies in words: "x + 128 of 96 bytes"."""
        below = [b for b in self.buffers if b.address <= address]
        if not below:
            return "below every buffer"
        return f"{below[-1].name} + {address - below[-1].address} of {below[-1].data.size} bytes"

    def load(self, addresses: Ints, size: int, blocks: Ints) -> tuple[Bytes, list[Touched]]:
        """(accesses, size) bytes, and which accesses went to which buffer."""
        out = np.empty((len(addresses), size), np.uint8)
        moved = []
        for buffer, inside in self.find(addresses, size):
            index = (addresses[inside] - buffer.address)[:, None] + np.arange(size)
            if not buffer.written[index].all():
                raise MemoryFault(
                    f"{buffer.name} is read where nobody wrote, byte {int(index[~buffer.written[index]][0])}"
                )
            writers, who = buffer.writers[index], blocks[inside][:, None]
            if ((writers != NOBODY) & (writers != who)).any():
                raise RaceFault(f"{buffer.name}: a block reads what another block wrote in the same launch")
            readers = buffer.readers[index]
            buffer.readers[index] = np.where((readers == NOBODY) | (readers == who), who, MANY)
            buffer.read[index] = True
            out[inside] = buffer.data[index]
            moved.append((buffer, inside))
        return out, moved

    def store(self, addresses: Ints, values: Bytes, blocks: Ints) -> list[Touched]:
        size = values.shape[1]
        moved = []
        for buffer, inside in self.find(addresses, size):
            index = (addresses[inside] - buffer.address)[:, None] + np.arange(size)
            who = blocks[inside][:, None]
            for others, verb in ((buffer.writers[index], "wrote"), (buffer.readers[index], "read")):
                if ((others != NOBODY) & (others != who)).any():
                    raise RaceFault(f"{buffer.name}: a block writes what another block {verb} in the same launch")
            if len(np.unique(addresses[inside])) != inside.sum():
                raise RaceFault(f"{buffer.name}: threads of one instruction write the same bytes")
            buffer.writers[index] = who
            buffer.written[index] = True
            buffer.data[index] = values[inside]
            moved.append((buffer, inside))
        return moved


class SharedMemory:
    """One row of bytes for each block, with the thread that wrote each byte, and that read it, since the barrier."""

    def __init__(self, blocks: int, size: int) -> None:
        self.size = size
        self.data = np.zeros((blocks, size), np.uint8)
        self.written = np.zeros((blocks, size), np.bool_)
        self.writers = np.full((blocks, size), NOBODY, np.int32)
        self.readers = np.full((blocks, size), NOBODY, np.int32)
        self.copies = np.full((blocks, size), NOBODY, np.int64)  # the asynchronous copy that is under way to each byte

    def expect(self, addresses: Ints, size: int, blocks: Ints, copies: Ints) -> None:
        """Mark what was just stored as under way, by these copies."""
        self.copies[blocks[:, None], addresses[:, None] + np.arange(size)] = copies[:, None]

    def arrived(self, copies: Ints) -> None:
        self.copies[np.isin(self.copies, copies)] = NOBODY

    def _index(self, addresses: Ints, size: int, blocks: Ints) -> tuple[Ints, Ints]:
        if (addresses % size).any():
            raise MemoryFault(f"misaligned: {size} bytes at shared {int(addresses[addresses % size != 0][0])}")
        if (addresses < 0).any() or (addresses + size > self.size).any():
            outside = addresses[(addresses < 0) | (addresses + size > self.size)]
            raise MemoryFault(f"out of bounds: {size} bytes at shared {int(outside[0])} of {self.size}")
        at = blocks[:, None], addresses[:, None] + np.arange(size)
        if (self.copies[at] != NOBODY).any():
            raise RaceFault("shared memory: cp.async to these bytes was not waited for")
        return at

    def load(self, addresses: Ints, size: int, blocks: Ints, threads: Ints) -> Bytes:
        at = self._index(addresses, size, blocks)
        if not self.written[at].all():
            raise MemoryFault(f"shared memory is read where nobody wrote, byte {int(at[1][~self.written[at]][0])}")
        writers, who = self.writers[at], threads[:, None]
        if ((writers != NOBODY) & (writers != who)).any():
            raise RaceFault("shared memory: a thread reads what another wrote, without a barrier between")
        readers = self.readers[at]
        self.readers[at] = np.where((readers == NOBODY) | (readers == who), who, MANY)
        return np.asarray(self.data[at])

    def store(self, addresses: Ints, values: Bytes, blocks: Ints, threads: Ints) -> None:
        at = self._index(addresses, values.shape[1], blocks)
        who = threads[:, None]
        for others, verb in ((self.writers[at], "wrote"), (self.readers[at], "read")):
            if ((others != NOBODY) & (others != who)).any():
                raise RaceFault(f"shared memory: a thread writes what another {verb}, without a barrier between")
        pairs = blocks.astype(np.int64) * (self.size + 1) + addresses
        if len(np.unique(pairs)) != len(pairs):
            raise RaceFault("shared memory: threads of one instruction write the same bytes")
        self.writers[at] = who
        self.written[at] = True
        self.data[at] = values

    def barrier(self, blocks: NDArray) -> None:
        self.writers[blocks] = NOBODY
        self.readers[blocks] = NOBODY


class Copies:
    """The asynchronous copies of each thread, in its groups."""

    def __init__(self, threads: int) -> None:
        self.next = 0
        self.group = np.zeros(threads, np.int64)
        self.open: list[tuple[Ints, Ints, Ints]] = []  # threads, their copies, their groups

    def issue(self, threads: Ints) -> Ints:
        """Numbers of new copies, one for each thread."""
        copies = self.next + np.arange(len(threads))
        self.next += len(threads)
        self.open.append((threads, copies, self.group[threads]))
        return copies

    def commit(self, threads: Ints) -> None:
        self.group[threads] += 1

    def all_of(self, threads: Ints) -> Ints:
        return self._close(threads, self.group + 1)

    def all_but(self, threads: Ints, latest: int) -> Ints:
        """Those in all groups but the latest that were committed."""
        return self._close(threads, self.group - latest)

    def _close(self, threads: Ints, before: Ints) -> Ints:
        waiting = np.zeros(len(self.group), np.bool_)
        waiting[threads] = True
        closed, left = [np.empty(0, np.int64)], []
        for owners, copies, groups in self.open:
            done = waiting[owners] & (groups < before[owners])
            closed.append(copies[done])
            if not done.all():
                left.append((owners[~done], copies[~done], groups[~done]))
        self.open = left
        return np.concatenate(closed)
