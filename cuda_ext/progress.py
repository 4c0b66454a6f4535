"""The display of a build on stderr: what is compiled, how long it will take, and on a terminal how long it still
takes."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator

from rich.console import Console

from benchsuite import format
from benchsuite.cuda_ext import toolchain
from benchsuite.cuda_ext.build_plan import Plan
from benchsuite.cuda_ext.toolchain import Compiler, Missing


class Estimate:
    """The time that is left, from what each object took the last time and the pace of those that are ready."""

    def __init__(self, expected: dict[str, float]) -> None:
        self.left = dict(expected)
        self.whole = len(expected)
        self.workers = min(toolchain.cores(), self.whole)
        self.planned = self.took = 0.0
        self.start = time.monotonic()
        self.end = self.start + max(sum(expected.values()) / self.workers, *expected.values())

    def ready(self, name: str, seconds: float) -> None:
        """One object is ready, and took so many seconds."""
        self.planned += self.left.pop(name)
        self.took += seconds
        rest = list(self.left.values())
        soonest = max(sum(rest) / self.workers, *rest, 0.0) if rest else 0.0
        self.end = time.monotonic() + soonest * self.took / max(self.planned, 1e-9)

    def __str__(self) -> str:
        left = max(0.0, self.end - time.monotonic())
        return f"kernels: {self.whole - len(self.left)} of {self.whole}, about {format.seconds(round(left, 1))} left"


@contextlib.contextmanager
def progress(expected: dict[str, float], todo: Plan) -> Iterator[Estimate]:
    """Say what will be built; on a terminal one line goes along, elsewhere nothing comes until the end."""
    console, estimate = Console(stderr=True, highlight=False, soft_wrap=True), Estimate(expected)
    objects = "1 object" if len(expected) == 1 else f"{len(expected)} objects"
    by = f"GCC {todo.cxx.version}" + (f" and nvcc {todo.nvcc.version}" if isinstance(todo.nvcc, Compiler) else "")
    console.print(f"kernels: {objects} with {by}, once; about {format.seconds(estimate.end - estimate.start)}")
    if isinstance(todo.nvcc, Missing):
        console.print(f"kernels: without the CUDA part: {todo.nvcc.why}")
        if todo.nvcc.fix:
            console.print(f"  -> {todo.nvcc.fix}", markup=False)
    if not console.is_terminal:
        yield estimate
    else:
        stop = threading.Event()
        with console.status(str(estimate)) as status:

            def tick() -> None:
                while not stop.wait(0.5):
                    status.update(str(estimate))

            ticker = threading.Thread(target=tick, daemon=True)
            ticker.start()
            try:
                yield estimate
            finally:
                stop.set()
                ticker.join()
    console.print(f"kernels: compiled in {format.seconds(time.monotonic() - estimate.start)}")
