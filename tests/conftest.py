"""Every test has a cache of its own, one thread, and no network. What is compiled is kept in build/kernels."""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import settings

# What hypothesis draws is the same every time too, so that a change is red for its own faults.
settings.register_profile("fixed", derandomize=True, database=None, deadline=None)
settings.load_profile("fixed")
pytest_plugins = ["support.golden", "support.runs", "support.tiers"]
HERE = Path(__file__).parent
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("BENCHSUITE_KERNELS_CACHE", str(Path(__file__).parents[1] / "build" / "kernels"))
if not Path("/dev/nvidia0").exists():  # the host's part of the CUDA code is tried without a GPU too
    os.environ.setdefault("TORCH_CUDA_ARCH_LIST", "9.0")
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


@pytest.fixture
def fake_kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Speed and quality cases call `support.run_fakes`, which needs no torch; workers find it on their path."""
    from benchsuite.records import case

    path = os.pathsep.join(filter(None, [str(HERE), os.environ.get("PYTHONPATH")]))
    monkeypatch.setenv("PYTHONPATH", path)
    for name, kind in case.KINDS.items():
        prepare = kind.prepare and "support.run_fakes:prepare"
        function = "measure" if kind.alone else "train_and_evaluate"
        fake = replace(kind, measure=f"support.run_fakes:{function}", prepare=prepare, preload=None)
        monkeypatch.setitem(case.KINDS, name, fake)
