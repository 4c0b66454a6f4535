"""Measure what an architectural choice of a language model costs in speed, and what it buys in zero-shot quality.

    import benchsuite

    benchsuite.plan("quick").cases                   # what a run would measure here; nothing runs
    run = benchsuite.run("quick", out="runs/quick")  # measure it; a Run
    run = benchsuite.load("runs/quick")              # read it again: run.manifest, run.cases, run.records
    run.frame()                                      # one row for each record, as a pandas DataFrame
    benchsuite.compare("runs/old", run).rows         # ratios with intervals and verdicts, case by case
    benchsuite.gate("micro", base=["main"]).verdict  # is what is here slower than a commit?

Wrong input raises `UserError`, with the way out in its `hint`. The command line calls these functions.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchsuite.engine.session import resume, run
    from benchsuite.errors import Interrupted, UserError
    from benchsuite.gating.session import Outcome, gate
    from benchsuite.planning.plan import Plan, plan
    from benchsuite.records.case import Case, Record
    from benchsuite.records.load import Run, load
    from benchsuite.report.compare import Comparison, compare

__version__ = "0.2.0"
__all__ = [
    "Case", "Comparison", "Interrupted", "Outcome", "Plan", "Record", "Run", "UserError", "__version__", "compare",
    "gate", "load", "plan", "resume", "run",
]  # fmt: skip

# Imported when they are asked for: `import benchsuite` takes milliseconds.
_MODULES = {
    "benchsuite.engine.session": ("resume", "run"),
    "benchsuite.errors": ("Interrupted", "UserError"),
    "benchsuite.gating.session": ("Outcome", "gate"),
    "benchsuite.planning.plan": ("Plan", "plan"),
    "benchsuite.records.case": ("Case", "Record"),
    "benchsuite.records.load": ("Run", "load"),
    "benchsuite.report.compare": ("Comparison", "compare"),
}


def __getattr__(name: str) -> Any:
    module = next((module for module, names in _MODULES.items() if name in names), None)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(module), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
