"""The display of a run on stderr: a live display on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from typing import IO

from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from benchsuite import format as fmt
from benchsuite.engine.processes import Observer
from benchsuite.records.case import FAILED, Job, Record
from benchsuite.text import line

REFRESH_S = 1.0  # speed jobs have the machine to themselves: redrawing must not show in their times
REASON_CHARACTERS = 200


def observer(console: Console) -> LiveProgress | LineProgress:
    """The display that suits where `console` writes."""
    return LiveProgress(console) if console.is_terminal else LineProgress(console.file)


class LineProgress(Observer):
    """A line for each job that ends, with the time left."""

    def __init__(self, file: IO[str]) -> None:
        self.file = file
        self.total = self.done = 0
        self.left = ""

    def begin(self, total: int, done: int) -> None:
        self.total, self.done = total, done
        already = f", {done} of them recorded already" if done else ""
        print(f"{total} measurements{already}", file=self.file, flush=True)

    def more(self, count: int) -> None:
        self.total += count

    def ended(self, job: Job, record: Record | None) -> None:
        if job.case is None:
            if record is not None:
                print(f"{record.status} {_name(job)}: {record.reason}", file=self.file, flush=True)
            return
        if record is None:
            print(f"again {_name(job)}: the fork server died", file=self.file, flush=True)
            return
        self.done += 1
        reason = f": {_short(record.reason)}" if record.reason else ""
        took = fmt.seconds(record.time_s)
        text = f"[{self.done}/{self.total}] {record.status} {_name(job)} {took}{reason}{self.left}"
        print(text, file=self.file, flush=True)

    def tick(self, remaining_s: float, honest: bool) -> None:
        self.left = f" · {_left(remaining_s, honest)}"


class LiveProgress(Observer):
    """A bar for the whole with the time left, and a bar for each job that runs; failures scroll by above."""

    def __init__(self, console: Console) -> None:
        self.console = console
        columns = (TextColumn("{task.description}"), BarColumn(bar_width=24), TextColumn("{task.fields[note]}"))
        self.whole = Progress(*columns, console=console)
        self.jobs = Progress(*columns, console=console)
        self.live = Live(Group(self.whole, self.jobs), console=console, auto_refresh=False, transient=True)
        self.bars: dict[str, TaskID] = {}
        self.bar: TaskID | None = None
        self.total = self.done = 0
        self.drawn = 0.0

    def begin(self, total: int, done: int) -> None:
        self.total, self.done = total, done
        self.bar = self.whole.add_task("measurements", total=total, completed=done, note="")
        self.live.start()

    def more(self, count: int) -> None:
        self.total += count
        if self.bar is not None:
            self.whole.update(self.bar, total=self.total)

    def started(self, job: Job) -> None:
        self.bars[job.name] = self.jobs.add_task(escape(_name(job)), total=1.0, note="")

    def progressed(self, job: Job, fraction: float) -> None:
        self.jobs.update(self.bars[job.name], completed=fraction)

    def ended(self, job: Job, record: Record | None) -> None:
        if job.name in self.bars:
            self.jobs.remove_task(self.bars.pop(job.name))
        if record is not None and record.status in FAILED:
            reason = escape(_short(record.reason or ""))
            self.live.console.print(f"[red]{record.status}[/] {escape(_name(job))}: {reason}")
        if job.case is not None and record is not None and self.bar is not None:
            self.done += 1
            self.whole.update(self.bar, completed=self.done)

    def tick(self, remaining_s: float, honest: bool) -> None:
        now = time.monotonic()
        if now - self.drawn < REFRESH_S or self.bar is None:
            return
        self.drawn = now
        self.whole.update(self.bar, note=f"{self.done}/{self.total} · {_left(remaining_s, honest)}")
        self.live.refresh()

    def close(self) -> None:
        self.live.stop()


def _name(job: Job) -> str:
    return line(f"{job.label} #{job.replicate}" if job.case else job.label)


def _short(reason: str) -> str:
    """The first line; the record has the rest."""
    first = reason.partition("\n")[0]
    return first if len(first) <= REASON_CHARACTERS else first[: REASON_CHARACTERS - 1] + "…"


def _left(remaining_s: float, honest: bool) -> str:
    if remaining_s < 1:  # all estimates are used up
        return "less than a second left" if honest else "time left unknown"
    return f"{'about' if honest else 'perhaps'} {fmt.seconds(remaining_s)} left"
