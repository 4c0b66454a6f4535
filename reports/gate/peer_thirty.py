"""The thirty workloads under pytest-benchmark: `pytest reports/gate/peer_thirty.py --benchmark-json=…`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))

from thirty import NAMES, workload


@pytest.mark.parametrize("name", NAMES)
def test_time(name: str, benchmark: Callable[[Callable[[], object]], object]) -> None:
    torch.set_num_threads(1)
    benchmark(workload(name))
