"""What a run shows: lines where nobody watches, bars where somebody does."""

from __future__ import annotations

import io

from rich.console import Console

from benchsuite.engine.progress import LineProgress, LiveProgress, observer
from benchsuite.records.case import Case, Job, Record


def job(label: str = "activation/[swiglu]") -> Job:
    case = Case("abc", "speed", label, {}, (0, 1), 9.0)
    return Job("abc-0", label, "speed", {}, 0, 9.0, case)


def play(display: LineProgress | LiveProgress, status: str) -> None:
    display.begin(2, 1)
    display.started(job())
    display.progressed(job(), 0.5)
    display.tick(75.0, True)
    reason = None if status == "ok" else "it\nfailed"
    display.ended(job(), Record("abc", 0, status, reason, "", 1.5))
    display.tick(0.0, False)
    display.close()


def test_lines_tell_what_ended_and_what_is_left() -> None:
    out = io.StringIO()
    display = observer(Console(file=out))
    assert isinstance(display, LineProgress)
    play(display, "ok")
    assert out.getvalue().splitlines() == [
        "2 measurements, 1 of them recorded already",
        "[2/2] ok activation/[swiglu] #0 1.5 s · about 1 min 15 s left",
    ]


def test_no_time_is_never_told_as_what_is_left() -> None:
    out = io.StringIO()
    display = LineProgress(out)
    for honest in (False, True):
        display.tick(0.0, honest)
        display.ended(job(), Record("abc", 0, "ok", None, "", 1.5))
    first, second = out.getvalue().splitlines()
    assert first.endswith("· time left unknown")
    assert second.endswith("· less than a second left")


def test_bars_are_drawn_and_failures_stay() -> None:
    out = io.StringIO()
    display = observer(Console(file=out, force_terminal=True, width=120))
    assert isinstance(display, LiveProgress)
    play(display, "error")
    assert "activation/[swiglu] #0" in out.getvalue()
    assert "about 1 min 15 s left" in out.getvalue()
    assert "it" in out.getvalue()
