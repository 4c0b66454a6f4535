"""What the wall time of a run's speed cases went into: the work that is timed, or all that stands around it.

Timed work is what a process does by the clock, alone on its device: its first call, warm-up and samples. Processes of a
ring build, compile, check and measure memory side by side; that, the workers' start, fork and exit of each process, the
records, and what lies between two rings, is overhead. The seconds of torch.compile are told apart.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from benchsuite import format
from benchsuite.records.load import Run
from benchsuite.records.params import TimedParams

BREAK_S = 60.0  # between two processes: the run was interrupted then, or kernels were built


@dataclass(frozen=True)
class Effort:
    """Seconds of all speed cases. `wall`: from the run's creation to its last speed record, breaks left out, and added
    up where devices worked at the same time; `sampled`: warm-up and samples; `compiled`: first calls of compiled cases,
    several at a time; `first`: those of the others."""

    wall_s: float
    sampled_s: float
    first_s: float
    compiled_s: float

    @property
    def timed(self) -> float:
        """Fraction of the wall time that was timed work."""
        return (self.sampled_s + self.first_s) / self.wall_s

    def to_json(self) -> dict[str, float]:
        return asdict(self) | {"timed_fraction": self.timed}


def effort(run: Run) -> Effort | None:
    """The effort of a run; None where it has no speed cases, or they do not tell their phases or their times."""
    sampled = first = compiled = 0.0
    spans: dict[str, list[tuple[float, float]]] = {}
    for case in run.manifest.cases:
        for record in run.records.get(case.id, {}).values() if case.timed else ():
            started = _seconds(record.started)
            if started is None:
                continue
            spans.setdefault(case.typed.device, []).append((started, started + record.time_s))
            phases = record.speed.phases_s if record.speed else {}
            sampled += phases.get("timing", 0.0)
            if isinstance(case.typed, TimedParams) and case.typed.compiled:
                compiled += phases.get("first_call", 0.0)
            else:
                first += phases.get("first_call", 0.0)
    created = _seconds(run.manifest.created)
    wall_s = sum(_covered(sorted(own), created) for own in spans.values())
    known = math.isfinite(wall_s + sampled + first + compiled) and wall_s > 0 and sampled > 0
    return Effort(wall_s, sampled, first, compiled) if known else None


def _covered(spans: list[tuple[float, float]], begun: float | None) -> float:
    """Seconds from `begun` to the last end of `spans`, without gaps that are breaks."""
    total, last = 0.0, spans[0][0] if begun is None else begun
    for start, end in spans:
        gap = start - last
        total += max(0.0, end - max(start, last)) + (gap if 0 <= gap <= BREAK_S else 0.0)
        last = max(last, end)
    return total


def sentence(found: Mapping[str, Any]) -> str:
    """An effort, as JSON has it, for a reader."""
    sampled, first = (f"{found[key] / found['wall_s']:.0%}" for key in ("sampled_s", "first_s"))
    text = f"{found['timed_fraction']:.0%} of {format.seconds(found['wall_s'])} (warm-up and samples {sampled}, "
    text += f"first calls {first})"
    return text + (f"; torch.compile {format.seconds(found['compiled_s'])}" if found["compiled_s"] else "")


def _seconds(moment: str) -> float | None:
    """Since 1970; None for what is no moment, as in runs that were imported."""
    try:
        return datetime.fromisoformat(moment).timestamp()
    except (ValueError, OverflowError, OSError):
        return None
