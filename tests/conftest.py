"""Every test has a cache of its own, one thread, and no network. What is compiled is kept in build/kernels."""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("BENCHSUITE_KERNELS_CACHE", str(Path(__file__).parents[1] / "build" / "kernels"))
# pytest-benchmark measures nothing beside other tests; sessions that a test starts are meant to.
for name in ("PYTEST_XDIST_WORKER", "PYTEST_XDIST_WORKER_COUNT"):
    os.environ.pop(name, None)
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_DATASETS_OFFLINE"] = "1"


@pytest.fixture(scope="session", autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One empty cache folder for the whole session: nothing is taken from the user's, nothing left there."""
    folder = tmp_path_factory.mktemp("cache")
    os.environ["BENCHSUITE_CACHE"] = str(folder)
    yield folder
    del os.environ["BENCHSUITE_CACHE"]


@pytest.fixture(autouse=True)
def _seeded() -> None:
    """What a test draws is the same every time and in any order of the tests."""
    random.seed(0)
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(0)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)
