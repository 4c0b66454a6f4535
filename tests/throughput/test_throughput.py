"""benchsuite's own throughput: `pytest tests/throughput --benchsuite-gate main` tells whether a change slowed it down.

In an ordinary session these are tests of a fraction of a second, checked where there is something to check.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from benchsuite import cuda_ext
from benchsuite.cuda_ext.activation import glu
from benchsuite.stats.decisions import Rule, decide
from benchsuite.stats.levels import pieces

pytestmark = pytest.mark.slow

ROWS, WIDTH = 512, 768


@pytest.fixture
def kernels() -> None:
    if cuda_ext.unavailable_reason() is not None:
        pytest.skip(str(cuda_ext.unavailable_reason()))
    cuda_ext.load()


def test_swiglu(kernels: None, speed) -> None:
    both = torch.randn(ROWS, 2 * WIDTH)
    gate, up = both.double().chunk(2, -1)
    speed(
        lambda: glu(both, "swiglu"),
        tokens=ROWS,
        results=lambda: [glu(both, "swiglu")],
        reference=lambda: [F.silu(gate) * up],
    )


def test_a_decision_on_thirty_cases(speed) -> None:
    draw = np.random.default_rng(0)
    logs = {str(case): list(draw.normal(0, 0.02, 40)) for case in range(30)}
    speed(lambda: decide(logs, Rule()))


def test_a_history_of_a_hundred_runs(speed) -> None:
    values = list(np.exp(np.random.default_rng(0).normal(0, 0.02, 100)))
    speed(lambda: pieces(values))
