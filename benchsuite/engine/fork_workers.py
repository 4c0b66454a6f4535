"""Jobs as children of a fork server (`benchsuite.engine.forkserver`), which has imported what they need.

workers = ForkWorkers(preload=("benchsuite.measure.speed",))
workers.start("3f2a-0", job_file)
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any

from benchsuite.engine.forkserver import PACKET_BYTES
from benchsuite.engine.workers import Ended, Event, Pipes, environment
from benchsuite.errors import UserError

START_TIMEOUT_S = 300.0  # importing torch from a cold disk takes a minute on some machines


class _Killed(Exception):  # noqa: N818 - what became of a server
    """A signal ended the server before it was ready."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.name = signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"


class ForkWorkers:
    """Jobs as children of a fork server, which is started with the first job and again when it has died.

    Raises UserError where the server cannot start.
    """

    def __init__(
        self,
        preload: tuple[str, ...],
        *,
        network: bool = False,
        python: str = sys.executable,
        variables: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self.preload = preload
        self.python = python
        self.environment = {**environment(network=network), **variables}
        self.deaths = 0
        self._server: subprocess.Popen[bytes] | None = None
        self._link: socket.socket | None = None
        self._pipes = Pipes()
        self._lost: list[Event] = []

    def warm(self) -> None:
        """Start the server where there is none, so that no job's time holds it."""
        if self._link is None:
            self._launch()

    def start(self, name: str, file: Path) -> None:
        link = self._link or self._launch()
        theirs = self._pipes.open(name)
        try:
            packet = json.dumps({"run": name, "file": str(file)}).encode()
            socket.send_fds(link, [packet], [theirs])
        except OSError:
            self._died()
        finally:
            os.close(theirs)

    def kill(self, name: str) -> None:
        if self._link is not None:
            with contextlib.suppress(OSError):  # dead: `events` tells
                self._link.send(json.dumps({"kill": name}).encode())

    def waiting(self, name: str) -> bool:
        """Jobs begin at once."""
        return False

    def events(self, timeout_s: float) -> list[Event]:
        """Return what happened, after `timeout_s` at the latest."""
        events, self._lost = self._lost, []
        for key, _ in self._pipes.selector.select(0 if events else timeout_s):
            if key.data is not None:
                events += self._pipes.read(key.data)
                continue
            packet = self._receive()
            if packet is None:
                self._died()
            elif "ended" in packet:
                events.append(self._ended(packet["ended"], packet["returncode"]))
        events, self._lost = events + self._lost, []
        return events

    def close(self) -> None:
        """Kill all jobs and end the server."""
        if self._link is not None:
            self._pipes.selector.unregister(self._link)
            self._link.close()
            self._link = None
        if self._server is not None:
            try:
                self._server.wait(10)
            except subprocess.TimeoutExpired:
                self._server.kill()
                self._server.wait()
            self._server = None
        for name in self._pipes.names():
            self._pipes.close(name)

    @property
    def pid(self) -> int | None:
        """The server's process id; None while there is none."""
        return self._server.pid if self._server else None

    def _launch(self) -> socket.socket:
        """Start the server, once more where it was killed while it started. Raises UserError where it cannot start."""
        try:
            return self._started()
        except _Killed:
            pass
        try:
            return self._started()
        except _Killed as killed:
            raise UserError(
                f"the workers cannot start: their server was ended by {killed.name} twice while it started",
                hint="the kernel does so where memory runs out: `benchsuite doctor` tells what there is; what is "
                "recorded is kept",
                exit_code=5,
            ) from killed

    def _started(self) -> socket.socket:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        command = [self.python, "-m", "benchsuite.engine.forkserver", f"--fd={theirs.fileno()}"]
        command += [f"--parent={os.getpid()}", f"--preload={','.join(self.preload)}"]
        said = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the server does
        self._server = subprocess.Popen(
            command,
            env=self.environment,
            pass_fds=[theirs.fileno()],
            start_new_session=True,  # a Ctrl-C is for the run, which then ends its jobs in order
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=said,
        )
        theirs.close()
        ours.settimeout(START_TIMEOUT_S)
        self._link = ours
        try:
            data = ours.recv(PACKET_BYTES)
        except TimeoutError:
            self._server.kill()
            self._forget()
            message = f"the workers are not ready after {START_TIMEOUT_S:g} s"
            raise UserError(message, hint="is the disk busy? try again") from None
        except ConnectionError:
            data = b""
        packet = json.loads(data) if data else {}
        if "ready" not in packet:
            self._fail(packet.get("failed"), said)
        said.close()
        ours.settimeout(None)
        self._pipes.selector.register(ours, selectors.EVENT_READ, None)
        return ours

    def _fail(self, reason: str | None, said: IO[bytes]) -> None:
        """The server did not come up: raises what it said, _Killed where a signal ended it."""
        code = self._forget()  # it has closed its end of the socket, or told why it ends
        if code < 0:
            raise _Killed(-code)
        said.seek(0)
        last = said.read().decode(errors="replace").strip().splitlines()[-1:]
        last = last or [f"their server ended with exit status {code} while it started, and said nothing"]
        raise UserError(f"the workers cannot start: {reason or last[0]}", hint="`benchsuite doctor` may know more")

    def _forget(self) -> int:
        """Wait for the end of a server that did not come up; return its exit status, negative for a signal."""
        assert self._server is not None
        assert self._link is not None
        code = self._server.wait()
        self._server = None
        self._link.close()
        self._link = None
        return code

    def _receive(self) -> dict[str, Any] | None:
        assert self._link is not None
        try:
            data = self._link.recv(PACKET_BYTES)
        except ConnectionError:
            return None
        return dict(json.loads(data)) if data else None

    def _ended(self, name: str, returncode: int | None) -> Ended:
        self._pipes.close(name)
        return Ended(name, returncode)

    def _died(self) -> None:
        """The server is gone; the kernel has told its children, which end their jobs and themselves."""
        self.deaths += 1
        self._lost += [self._ended(name, None) for name in self._pipes.names()]
        self.close()
