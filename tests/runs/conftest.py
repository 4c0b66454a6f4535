"""Fakes for the two kinds of case, in this process and in the workers."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from benchsuite.runs import case

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))


@pytest.fixture
def fake_kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Speed and quality cases call `run_fakes`, which needs no torch; workers find it on their path."""
    path = os.pathsep.join(filter(None, [str(HERE), os.environ.get("PYTHONPATH")]))
    monkeypatch.setenv("PYTHONPATH", path)
    for name, kind in case.KINDS.items():
        prepare = kind.prepare and "run_fakes:prepare"
        function = "measure" if name == "speed" else "train_and_evaluate"
        monkeypatch.setitem(case.KINDS, name, replace(kind, measure=f"run_fakes:{function}", prepare=prepare))
