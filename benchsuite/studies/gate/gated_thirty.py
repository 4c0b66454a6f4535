"""The thirty workloads as a gate measures them: `benchsuite gate benchsuite/studies/gate/gated_thirty.py --base …`."""

from __future__ import annotations

import pytest

from benchsuite.pytest_plugin import Speed
from benchsuite.studies.gate.thirty import NAMES, workload


@pytest.mark.parametrize("name", NAMES)
def test_time(name: str, speed: Speed) -> None:
    speed(workload(name), threads=1)
