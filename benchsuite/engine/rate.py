"""Measure the rate at which a device trains, before a run chooses its scale: a few seconds for each scale that may fit.

rate.measure_ladder("quick", machine, say=print)
ladder.choose("quick", machine)      # now by what was measured
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchsuite import cuda_ext
from benchsuite.engine.preloads import KERNELS, preloads
from benchsuite.engine.workers import environment
from benchsuite.planning import ladder
from benchsuite.planning.machine import Machine
from benchsuite.planning.speed_cases import step_of
from benchsuite.records.case import KINDS, Case
from benchsuite.suite import source

TIMEOUT_S = 120.0
MAYBE = 3.0  # an estimate may be so much too long


def measure_ladder(
    suite: str,
    machine: Machine,
    sets: Sequence[str] = (),
    seeds: int | None = None,
    dtype: str | None = None,
    *,
    say: Callable[[str], None],
) -> None:
    """Measure the training steps of the scales between which a suite's choice lies, and keep the rates for the plan:
    the one that is chosen by what is known, and the next one, as long as that may fit. A step that fails is reported
    and left to its estimate."""
    seen: set[str] = set()
    while (found := ladder.choose(suite, machine, sets, seeds, dtype)) is not None:
        scales = [rung.scale for rung in found.rungs if rung.run_s <= MAYBE * found.limit_s]
        above = scales[scales.index(found.scale) + 1 :] if found.scale in scales else []
        asked = next((name for name in (found.scale, *above) if name not in seen), None)
        if asked is None:
            return
        seen.add(asked)
        case = ladder.step(source.read(suite, sets=sets, scale=asked, dtype=dtype), machine)
        say(f"measuring how fast {machine.devices[0]} trains at scale {asked}")
        tokens_per_s = _measured(case, say)
        if tokens_per_s is not None:
            ladder.keep(step_of(case), tokens_per_s)


def _measured(case: Case, say: Callable[[str], None]) -> float | None:
    """The rate of a step, timed in a process of its own."""
    if KERNELS in preloads((case,)):
        cuda_ext.prepare()
    with tempfile.TemporaryDirectory() as folder:
        file, result = Path(folder) / "job.json", Path(folder) / "result.json"
        job: dict[str, Any] = {"name": "rate", "measure": KINDS["speed"].measure, "seeded": False, "alone": True}
        job |= {"params": case.params, "replicate": 1, "threads": step_of(case).threads, "result": str(result)}
        file.write_text(json.dumps({**job, "memory_limit_bytes": None, "workdir": folder, "progress_fd": None}))
        command = [sys.executable, "-m", "benchsuite.worker", str(file)]
        try:
            subprocess.run(command, env=environment(), capture_output=True, check=False, timeout=TIMEOUT_S)
            told = json.loads(result.read_text())
        except (subprocess.TimeoutExpired, OSError, ValueError) as error:
            told = {"status": "error", "reason": str(error), "result": None}
    if told["result"] is None or "tokens_per_s" not in told["result"]:
        say(f"note: its training step could not be timed ({told['status']}: {told['reason']})")
        return None
    rate: float = told["result"]["tokens_per_s"]
    return rate
