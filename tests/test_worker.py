"""One job in one process, without fork server or scheduler."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import pytest
import torch

from benchsuite import worker

pytestmark = pytest.mark.slow

MODULE = """
import os, resource
def measure(params):
    if params.get("bytes"):
        return {"length": len(bytearray(params["bytes"]))}
    print("said by the job")
    return {"limit": resource.getrlimit(resource.RLIMIT_CORE)[0], "pid": os.getpid()}
def seeded(params, *, seed, workdir, progress):
    progress(0.5)
    (workdir / "file").write_text("x")
    return {"seed": seed}
"""


def run(folder: Path, **changes: Any) -> tuple[int, dict[str, Any] | None]:
    (folder / "jobs.py").write_text(MODULE)
    job = {
        "name": "a",
        "measure": "jobs:measure",
        "seeded": False,
        "params": {},
        "replicate": 3,
        "threads": 1,
        "memory_limit_bytes": None,
        "workdir": str(folder / "work"),
        "log": str(folder / "log"),
        "result": str(folder / "result.json"),
        "progress_fd": None,
        **changes,
    }
    (folder / "job.json").write_text(json.dumps(job))
    command = [sys.executable, "-m", "benchsuite.worker", str(folder / "job.json")]
    root = str(Path(worker.__file__).parents[1])
    code = subprocess.run(command, cwd=folder, env={"PYTHONPATH": f"{folder}:{root}"}, check=False).returncode
    path = folder / "result.json"
    return code, json.loads(path.read_text()) if path.exists() else None


def test_a_job_file_gives_a_result_file(tmp_path: Path) -> None:
    code, outcome = run(tmp_path)
    assert code == 0
    assert outcome is not None
    assert outcome["status"] == "ok"
    assert outcome["result"]["limit"] == 0, "a crash would leave a core file"
    assert outcome["result"]["context"]["allocator"]
    assert (tmp_path / "log").read_text() == "said by the job\n"


def test_seeded_jobs_get_seed_workdir_and_progress(tmp_path: Path) -> None:
    _, outcome = run(tmp_path, measure="jobs:seeded", seeded=True)
    assert outcome is not None
    assert outcome["result"]["seed"] == 3
    assert (tmp_path / "work/file").exists()


def test_memory_beyond_the_limit_is_refused(tmp_path: Path) -> None:
    limit = 200 * 1024**2
    _, outcome = run(tmp_path, params={"bytes": limit // 2}, memory_limit_bytes=limit)
    assert outcome is not None
    assert outcome["status"] == "ok"
    _, outcome = run(tmp_path, params={"bytes": 2 * limit}, memory_limit_bytes=limit)
    assert outcome is not None
    assert outcome["status"] == "oom"


@pytest.mark.parametrize("target", ["jobs:nothing", "nowhere:measure"])
def test_a_function_that_is_not_there_is_an_error(tmp_path: Path, target: str) -> None:
    _, outcome = run(tmp_path, measure=target)
    assert outcome is not None
    assert outcome["status"] == "error"


def test_a_result_that_cannot_be_written_shows_in_the_exit_status(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    code, outcome = run(tmp_path, result=str(tmp_path / "file" / "result.json"))
    assert (code, outcome) == (worker.EXIT_NO_RESULT, None)


WRITTEN: list[tuple[Any, str, str | None, Any]] = [
    ({"a": 1.5, "b": ["x", None]}, "ok", None, {"a": 1.5, "b": ["x", None]}),
    ({"loss": {"final": math.nan}}, "incorrect", "nan as loss.final", {"loss": {"final": None}}),
    ({"times": [1.0, -math.inf]}, "incorrect", "-inf as times", {"times": [1.0, None]}),
    ({"scalar": torch.tensor(math.nan)}, "incorrect", "nan as scalar", {"scalar": None}),
    ({"scalar": torch.tensor(2)}, "ok", None, {"scalar": 2}),
    ({"name": "\udce9\x1b[31m\0"}, "ok", None, {"name": "\\xe9\\x00"}),
    ({"many": torch.ones(3)}, "error", "cannot be written as JSON", None),
    ({"thing": object()}, "error", "cannot be written as JSON: TypeError", None),
]


@pytest.mark.parametrize(("result", "status", "reason", "written"), WRITTEN)
def test_a_result_is_written_whatever_it_holds(
    tmp_path: Path, result: Any, status: str, reason: str | None, written: Any
) -> None:
    worker.write_result(tmp_path / "result.json", {"status": "ok", "reason": None, "result": result})
    found = json.loads((tmp_path / "result.json").read_text())
    assert (found["status"], found["result"]) == (status, written)
    assert found["reason"] is None if reason is None else reason in found["reason"]


def test_what_failed_keeps_its_status_and_loses_its_nan(tmp_path: Path) -> None:
    worker.write_result(
        tmp_path / "result.json", {"status": "incorrect", "reason": "\x1b[1mno\x1b[0m", "result": {"error": math.inf}}
    )
    found = json.loads((tmp_path / "result.json").read_text())
    assert found == {"status": "incorrect", "reason": "no", "result": {"error": None}}


class _SilentError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("not even this")


def test_an_exception_that_cannot_tell_itself_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(params: dict[str, Any]) -> None:
        raise _SilentError

    monkeypatch.setitem(sys.modules, "jobs", types.SimpleNamespace(measure=fails))
    outcome = worker.measure({"measure": "jobs:measure", "seeded": False, "params": {}, "threads": 1})
    assert outcome["status"] == "error"
    assert outcome["reason"].startswith("_SilentError: it cannot say why")


def test_usage() -> None:
    assert worker.main([]) == 2
