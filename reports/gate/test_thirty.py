"""The thirty workloads as a gate measures them: `benchsuite gate reports/gate/test_thirty.py --base …`."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from thirty import NAMES, workload

from benchsuite.pytest_plugin import Speed


@pytest.mark.parametrize("name", NAMES)
def test_time(name: str, speed: Speed) -> None:
    speed(workload(name), threads=1)
