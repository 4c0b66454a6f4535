"""Ending in order when a person or the system asks for it."""

from __future__ import annotations

import signal
import threading
from types import TracebackType
from typing import Any


class Stop:
    """Becomes true with the first SIGINT, SIGTERM or SIGHUP within its block; a second SIGINT ends at once.

    with Stop() as stop:
        while not stop(): ...

    Outside of the main thread, where Python allows no signal handlers, it stays false.
    """

    def __init__(self) -> None:
        self.asked = False
        self._before: dict[int, Any] = {}

    def __call__(self) -> bool:
        return self.asked

    def __enter__(self) -> Stop:
        if threading.current_thread() is threading.main_thread():
            numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
            self._before = {number: signal.signal(number, self._ask) for number in numbers}
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _ask(self, number: int, frame: object) -> None:
        if self.asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.asked = True
