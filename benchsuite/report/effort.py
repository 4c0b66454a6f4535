"""What the wall time of a run's speed cases went into: the work that is timed, or all that stands around it.

Timed work is what a process has the subject do by the clock: the first call, warm-up and samples. The first call of a
compiled case is mostly torch.compile, which is timed too (`compile_s`), but says nothing of the case's speed; so its
share is told apart. All else is overhead: the workers' start, fork and exit of each process, inputs and weights, the
check against float64, the memory pass, the records, and what lies between two processes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from benchsuite import format
from benchsuite.report.load import Run

BREAK_S = 60.0  # between two processes: the run was interrupted then, or kernels were built


@dataclass(frozen=True)
class Effort:
    """Seconds of all speed cases. `wall`: from the run's creation to its last speed record, breaks left out, and added
    up where devices worked at the same time; `sampled`: warm-up and samples; `compiled`: first calls of compiled cases;
    `first`: those of the others."""

    wall_s: float
    sampled_s: float
    first_s: float
    compiled_s: float

    @property
    def timed(self) -> float:
        """Fraction of the wall time that was timed work, compilation included."""
        return (self.sampled_s + self.first_s + self.compiled_s) / self.wall_s

    def to_json(self) -> dict[str, float]:
        return asdict(self) | {"timed_fraction": self.timed, "compiled_fraction": self.compiled_s / self.wall_s}


def effort(run: Run) -> Effort | None:
    """The effort of a run; None where it has no speed cases, or they do not tell their phases or their times."""
    sampled = first = compiled = 0.0
    spans = []
    before = _seconds(run.manifest.created)
    for case in run.manifest.cases:
        for record in run.records.get(case.id, {}).values() if case.timed else ():
            started = _seconds(record.started)
            if started is None:
                continue
            spans.append((started, record.time_s))
            phases = record.speed.phases_s if record.speed else {}
            sampled += phases.get("timing", 0.0)
            if case.params.get("implementation") == "compile":
                compiled += phases.get("first_call", 0.0)
            else:
                first += phases.get("first_call", 0.0)
    wall_s = 0.0
    for started, time_s in sorted(spans):
        gap = started - before if before is not None else 0.0
        wall_s += time_s + (gap if 0 <= gap <= BREAK_S else 0.0)
        before = started + time_s
    known = math.isfinite(wall_s + sampled + first + compiled) and wall_s > 0 and sampled > 0
    return Effort(wall_s, sampled, first, compiled) if known else None


def sentence(found: Mapping[str, Any]) -> str:
    """An effort, as JSON has it, for a reader."""
    parts = [found[key] / found["wall_s"] for key in ("sampled_s", "first_s", "compiled_s")]
    sampled, first, compiled = (f"{part:.0%}" for part in parts)
    return (
        f"{found['timed_fraction']:.0%} of {format.seconds(found['wall_s'])} (warm-up and samples {sampled}, first "
        f"calls {first}, torch.compile {compiled})"
    )


def _seconds(moment: str) -> float | None:
    """Since 1970; None for what is no moment, as in runs that were imported."""
    try:
        return datetime.fromisoformat(moment).timestamp()
    except (ValueError, OverflowError, OSError):
        return None
