"""Processes timed in turns: a block of the first, a block of the second, …, so that what slows the machine down for a
while slows all of them.

The engine's side:                                a worker's side:

    with Turnstile(3, budget_s=1) as turnstile:       turns = Turns(path, member)
        ...  # start three, each with its number      while turns.take():
        turnstile.left(0)  # where one has ended          ...  # one block

Nobody gets a turn before all have asked for one or ended, so building disturbs no block. The first turn of each is for
warming up. Then come cycles of two turns for each, A B C A B C and C B A C B A in alternation: between its two turns
each waits equally long, and a drift falls on all alike. A process that dies or closes drops out, and so does one that
keeps the others waiting for too long. When the budget is spent and each has had `FEWEST` turns, all stop at
the end of a cycle. Who asks once more gets a last turn, in which nobody else is timed.
"""

from __future__ import annotations

import contextlib
import selectors
import shutil
import socket
import struct
import tempfile
import threading
import time
from collections import deque
from collections.abc import Collection
from pathlib import Path
from typing import Any, Protocol

from benchsuite.timing.monitor import Counters, counters, other_work

GO, STOP = b"+", b"-"
ASK = struct.Struct("<id")  # member, seconds of CPU that its process has used
FEWEST = 4  # turns of each beside the first, however long they take
# A pool of threads goes on spinning after its last work (libgomp's for some milliseconds, Intel's for 200): it would
# take its cores from the others' turns.
STILL_S, STILL_CPU, STILL_AT_LATEST_S = 0.001, 0.1, 0.3


class TakesTurns(Protocol):
    """The interface that the sampler needs."""

    def take(self) -> bool:
        """Wait for a turn; return False where there will be no more."""
        ...

    def close(self) -> None:
        """Give up further turns."""
        ...


class Turns:
    """A worker's end. Raises OSError where there is no turnstile at `path`."""

    def __init__(self, path: str, member: int, members: int) -> None:
        self.members = members
        self.waited_s = 0.0
        self._member = member
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.connect(path)

    def take(self) -> bool:
        """Wait for a turn; the one before ends with this call. Return False where there will be no more; what follows
        then waits for nobody."""
        _wait_until_still()
        began = time.perf_counter()
        try:
            self._socket.sendall(ASK.pack(self._member, time.process_time()))
            return self._socket.recv(1) == GO
        except OSError:
            return False
        finally:
            self.waited_s += time.perf_counter() - began

    def close(self) -> None:
        """End the turn and ask for no more."""
        self._socket.close()


class Turnstile:
    """Grants turns in a thread of its own to `members` processes, numbered from 0, for `budget_s` seconds in all. Who
    keeps the others waiting for `patience_s` gets no more. `cores` are those that the members run on (None: all)."""

    def __init__(
        self, members: int, *, budget_s: float, patience_s: float, cores: Collection[int] | None = None
    ) -> None:
        self._budget_s = budget_s
        self._patience_s = patience_s
        self._cores = cores
        self._folder = tempfile.mkdtemp(prefix="turns")  # short: the path of a socket may have a hundred characters
        self.path = str(Path(self._folder) / "socket")
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(self.path)
        self._listener.listen(members)
        self._wake, self._woken = socket.socketpair()
        self._selector = selectors.DefaultSelector()
        for end in (self._listener, self._woken):
            self._selector.register(end, selectors.EVENT_READ)
        self._awaited = set(range(members))  # have neither asked nor ended
        self._clients: list[socket.socket] = []
        self._waiting: dict[socket.socket, int] = {}  # who wants a turn, and its number
        self._holder: socket.socket | None = None
        self._queue: deque[int] = deque()  # the rest of the cycle
        self._cycles = 0
        self._over = False
        self._cpu_s: dict[int, float] = {}
        self._before: tuple[Counters, dict[int, float]] | None = None
        self._after: tuple[Counters, dict[int, float]] | None = None
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Turnstile:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._wake.close()
        self._thread.join()
        for end in (*self._clients, self._listener, self._woken):
            end.close()
        self._selector.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def left(self, member: int) -> None:
        """Tell that a member has ended, whether it ever asked or not."""
        with contextlib.suppress(OSError):
            self._wake.send(bytes([member]))

    def seen(self) -> dict[str, Any]:
        """Return what else ran on the cores while turns were timed, in the words of `Monitor.summary`; empty where no
        turn was timed to its end."""
        if self._before is None or self._after is None:
            return {}
        (before, cpu_before), (after, cpu_after) = self._before, self._after
        own_s = sum(used - cpu_before.get(member, used) for member, used in cpu_after.items())
        cores = len(self._cores) if self._cores is not None else None
        return other_work(before, after, own_s + after.own_s - before.own_s, cores)

    def _serve(self) -> None:
        while True:
            events = self._selector.select(self._patience_s)
            if not events:
                self._lose_patience()
            for key, _ in events:
                end = key.fileobj
                assert isinstance(end, socket.socket)
                if end is self._listener:
                    client, _ = end.accept()
                    self._clients.append(client)
                    self._selector.register(client, selectors.EVENT_READ)
                elif end is self._woken:
                    gone = end.recv(1)
                    if not gone:
                        return
                    self._awaited.discard(gone[0])
                else:
                    self._hear(end)
            while not self._awaited and self._holder is None and self._waiting:
                self._grant()

    def _hear(self, client: socket.socket) -> None:
        try:
            data = client.recv(ASK.size, socket.MSG_WAITALL)
        except OSError:
            data = b""
        if client is self._holder:
            self._holder = None
        if len(data) < ASK.size:
            self._forget(client)
            return
        member, cpu_s = ASK.unpack(data)
        self._awaited.discard(member)
        self._waiting[client] = member
        self._cpu_s[member] = cpu_s

    def _grant(self) -> None:
        """Give the next turn to one of those that wait, or tell all of them to stop."""
        members = sorted(self._waiting.values())
        if self._over:
            self._queue = deque(members[:1])
        while self._queue and self._queue[0] not in members:
            self._queue.popleft()
        if not self._queue:
            self._begin_cycle(members)
            if self._over:
                return
        member = self._queue.popleft()
        client = next(client for client, number in self._waiting.items() if number == member)
        self._holder = client
        self._send(client, GO)

    def _begin_cycle(self, members: list[int]) -> None:
        """Queue the first turns, or a cycle of two turns for each, or end the timing."""
        now = counters(self._cores)
        if self._cycles == 0:
            self._queue.extend(members)
        else:
            if self._before is None:
                self._before = now, dict(self._cpu_s)
            spent_s = now.at_s - self._before[0].at_s
            if spent_s >= self._budget_s and 2 * (self._cycles - 1) >= FEWEST:
                self._after = now, dict(self._cpu_s)
                self._over = True
                for client in list(self._waiting):
                    self._send(client, STOP)
                return
            self._queue.extend(2 * (members if self._cycles % 2 else members[::-1]))
        self._cycles += 1

    def _lose_patience(self) -> None:
        """Go on without those that never came, or without the one that sits on its turn."""
        self._awaited.clear()
        if self._holder is not None:
            holder, self._holder = self._holder, None
            self._forget(holder)
            holder.close()

    def _forget(self, client: socket.socket) -> None:
        self._selector.unregister(client)
        self._clients.remove(client)
        self._waiting.pop(client, None)

    def _send(self, client: socket.socket, word: bytes) -> None:
        self._waiting.pop(client, None)
        with contextlib.suppress(OSError):  # it has gone: its end of file says so next
            client.sendall(word)


def _wait_until_still() -> None:
    """Wait until this process's threads sleep too."""
    deadline = time.monotonic() + STILL_AT_LATEST_S
    while time.monotonic() < deadline:
        before = time.process_time()
        time.sleep(STILL_S)
        if time.process_time() - before < STILL_CPU * STILL_S:
            return
