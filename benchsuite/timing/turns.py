"""Two processes timed in turns: a block of the one, a block of the other, so that whatever slows the machine down for
a while slows both.

The gate's side:                                 a worker's side:

    with Turnstile(expected=2, budget_s=1) as t:     turns = Turns(path)
        ...  # start the two, with t.path            while turns.take():
        t.left()  # where one of them has ended          ...  # one block

Nobody gets a turn before all that are expected have asked for one, so building and warming up disturb no block. The
order is A B B A A B B A: a drift within a pair of blocks falls on both alike. A process that dies or leaves hands its
turn on, and so does one that keeps the other waiting for too long: the other goes on alone.
"""

from __future__ import annotations

import contextlib
import selectors
import shutil
import socket
import tempfile
import threading
import time
from pathlib import Path
from typing import Protocol

ORDER = (0, 1, 1, 0)
ASK, GO, STOP = b"?", b"+", b"-"
FEWEST = 4  # turns of each, however long they take
# A pool of threads goes on spinning after its last work (libgomp's for some milliseconds, Intel's for 200): it would
# take its cores from the other's turn.
STILL_S, STILL_CPU, STILL_AT_LATEST_S = 0.001, 0.1, 0.3


class TakesTurns(Protocol):
    """What the sampler needs."""

    def take(self) -> bool:
        """Waits for a turn; False where there shall be no more."""
        ...

    def close(self) -> None:
        """Wants no more turns."""
        ...


class Turns:
    """A worker's end. Raises OSError where there is no turnstile at `path`."""

    def __init__(self, path: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.connect(path)

    def take(self) -> bool:
        """Waits for a turn; the one before ends with this call. False where there shall be no more."""
        _wait_until_still()
        try:
            self._socket.sendall(ASK)
            granted = self._socket.recv(1) == GO
        except ConnectionError:
            granted = False
        if not granted:
            self.close()
        return granted

    def close(self) -> None:
        """Hands the turn on for good."""
        self._socket.close()


class Turnstile:
    """Grants turns in a thread of its own to `expected` processes, for `budget_s` seconds in all. Who keeps the others
    waiting for `patience_s` gets no more."""

    def __init__(self, *, expected: int, budget_s: float, patience_s: float) -> None:
        self._expected = expected
        self._budget_s = budget_s
        self._patience_s = patience_s
        self._folder = tempfile.mkdtemp(prefix="turns")  # short: the path of a socket may have a hundred characters
        self.path = str(Path(self._folder) / "socket")
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(self.path)
        self._listener.listen()
        self._wake, self._woken = socket.socketpair()
        self._selector = selectors.DefaultSelector()
        for end in (self._listener, self._woken):
            self._selector.register(end, selectors.EVENT_READ)
        self._clients: list[socket.socket] = []
        self._waiting: set[socket.socket] = set()
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

    def left(self) -> None:
        """One of the expected has ended, whether it ever asked or not."""
        with contextlib.suppress(OSError):
            self._wake.send(ASK)

    def _serve(self) -> None:
        """Until the turnstile is closed: hears who asks, and who has gone, and grants the next turn when all wait."""
        granted = came = gone = 0
        started = time.monotonic()
        everybody = False
        while True:
            events = self._selector.select(self._patience_s)
            if not events and self._waiting:
                everybody = True
                for client in set(self._clients) - self._waiting:
                    self._forget(client)
                    client.close()
            for key, _ in events:
                end = key.fileobj
                assert isinstance(end, socket.socket)
                if end is self._listener:
                    client, _ = end.accept()
                    self._clients.append(client)
                    self._selector.register(client, selectors.EVENT_READ)
                    came += 1
                elif end is self._woken:
                    if not end.recv(1):
                        return
                    gone += 1
                elif _heard(end):
                    self._waiting.add(end)
                else:
                    self._forget(end)
            everybody = everybody or came >= self._expected or gone > came - len(self._clients)
            if not everybody or not self._clients or len(self._waiting) < len(self._clients):
                continue
            if granted == 0:
                started = time.monotonic()
            over = time.monotonic() - started > self._budget_s and granted >= FEWEST * self._expected
            if over and granted % len(ORDER) == 0:
                for client in list(self._clients):
                    self._send(client, STOP)
                continue
            client = self._clients[ORDER[granted % len(ORDER)] % len(self._clients)]
            granted += 1
            self._send(client, GO)

    def _forget(self, client: socket.socket) -> None:
        self._selector.unregister(client)
        self._clients.remove(client)
        self._waiting.discard(client)

    def _send(self, client: socket.socket, word: bytes) -> None:
        self._waiting.discard(client)
        with contextlib.suppress(OSError):  # it has gone: its end of file says so next
            client.sendall(word)


def _wait_until_still() -> None:
    """Until this process's threads sleep too."""
    deadline = time.monotonic() + STILL_AT_LATEST_S
    while time.monotonic() < deadline:
        before = time.process_time()
        time.sleep(STILL_S)
        if time.process_time() - before < STILL_CPU * STILL_S:
            return


def _heard(client: socket.socket) -> bool:
    try:
        return bool(client.recv(1))
    except ConnectionError:
        return False
