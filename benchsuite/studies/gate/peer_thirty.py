"""The thirty workloads under pytest-benchmark: `pytest benchsuite/studies/gate/peer_thirty.py --benchmark-json=…`."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from benchsuite.studies.gate.thirty import NAMES, workload


@pytest.mark.parametrize("name", NAMES)
def test_time(name: str, benchmark: Callable[[Callable[[], object]], object]) -> None:
    torch.set_num_threads(1)
    benchmark(workload(name))
