"""Tests that need a GPU: marked `gpu`, and skipped with the reason where there is none."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import pytest


@cache
def missing() -> str | None:
    """Why these tests cannot run here; None where they can."""
    from benchsuite.hardware import nvml

    with nvml.opened() as why_not:
        if why_not is not None:
            return why_not
    import torch

    return None if torch.cuda.is_available() else f"torch {torch.__version__} sees no GPU"


@pytest.fixture(autouse=True)
def _gpu(request: pytest.FixtureRequest) -> Iterator[None]:
    assert request.node.get_closest_marker("gpu"), "a test in tests/gpu is marked gpu"
    if reason := missing():
        pytest.skip(f"needs a GPU: {reason}")
    yield
    import torch

    torch.cuda.synchronize()  # an error of a kernel is that of its own test
    torch.cuda.empty_cache()
