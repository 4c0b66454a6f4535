"""Fixtures: made-up runs to read and to change."""

import json
from pathlib import Path

import pytest

from support.make_run import make_run


@pytest.fixture(scope="session")
def quick(tmp_path_factory):
    """A run of the quick suite: 10 models at two seeds, 15 tasks, some speed cases failed. Do not write into it."""
    return make_run(tmp_path_factory.mktemp("runs") / "quick")


@pytest.fixture
def small(tmp_path):
    """A run with few documents, to be changed by the test."""
    return make_run(tmp_path / "small", documents=20, tasks=["cloze", "reading"], replicates=3)


@pytest.fixture
def edit():
    """Rewrites the manifest or the records of a run by a function."""

    def apply(run: Path, manifest=None, records=None):
        if manifest:
            path = run / "manifest.json"
            content = json.loads(path.read_text())
            path.write_text(json.dumps(manifest(content) or content))
        if records:
            path = run / "records.jsonl"
            rows = [json.loads(line) for line in path.read_text().splitlines()]
            path.write_text("".join(json.dumps(row) + "\n" for row in (records(rows) or rows)))
        return run

    return apply
