"""The fork server's promise: nothing has run in it that a fork would spoil."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from benchsuite import cuda_ext
from benchsuite.engine import fork_workers, forkserver, workers
from benchsuite.errors import UserError

pytestmark = [pytest.mark.usefixtures("fake_kinds"), pytest.mark.slow]


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ["PYTHONPATH"]]))
    return tmp_path / "preloaded.py"


def test_an_import_that_starts_a_thread_is_refused(module: Path) -> None:
    module.write_text("import threading, time\nthreading.Thread(target=time.sleep, args=(60,), daemon=True).start()\n")
    with pytest.raises(Exception, match="started threads"):
        fork_workers.ForkWorkers(("preloaded",)).warm()


def test_an_import_that_initialises_cuda_is_refused(module: Path) -> None:
    fake = "import sys, types\nsys.modules['torch'] = torch = types.ModuleType('torch')\n"
    fake += "torch.cuda = types.SimpleNamespace(is_initialized=lambda: True)\n"
    module.write_text(fake)
    with pytest.raises(Exception, match="initialised cuda"):
        fork_workers.ForkWorkers(("preloaded",)).warm()


KILLED = """
import os, signal
from pathlib import Path
mark = Path({mark!r})
with open(mark, "a") as file:
    file.write("x")
if len(mark.read_text()) <= {times}:
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_server_that_is_killed_while_it_starts_is_started_once_more(module: Path, tmp_path: Path) -> None:
    module.write_text(KILLED.format(mark=str(tmp_path / "starts"), times=1))
    place = fork_workers.ForkWorkers(("preloaded",))
    place.warm()
    place.close()
    assert (tmp_path / "starts").read_text() == "xx"


def test_a_server_that_is_always_killed_says_by_what(module: Path, tmp_path: Path) -> None:
    module.write_text(KILLED.format(mark=str(tmp_path / "starts"), times=9))
    with pytest.raises(UserError, match="ended by SIGKILL twice while it started") as error:
        fork_workers.ForkWorkers(("preloaded",)).warm()
    assert error.value.exit_code == 5  # nothing is wrong with what the user gave
    assert "memory" in error.value.hint


def test_a_server_that_ends_without_a_word_says_how(module: Path) -> None:
    module.write_text("import os\nos._exit(3)\n")
    with pytest.raises(UserError, match="ended with exit status 3 while it started, and said nothing"):
        fork_workers.ForkWorkers(("preloaded",)).warm()


def test_this_process_has_only_harmless_threads_or_names_them() -> None:
    assert all(isinstance(name, str) for name in forkserver.threads())


def test_the_server_pins_threads_and_hashes(module: Path, tmp_path: Path) -> None:
    module.write_text(
        "import json, os\nfrom pathlib import Path\n"
        f"Path({str(tmp_path / 'seen')!r}).write_text(json.dumps(dict(os.environ)))\n"
    )
    place = fork_workers.ForkWorkers(("preloaded",))
    place.warm()
    place.close()
    seen = (tmp_path / "seen").read_text()
    for key, value in workers.ENVIRONMENT.items():
        assert f'"{key}": "{value}"' in seen


def test_the_hub_is_reachable_only_where_a_corpus_needs_it() -> None:
    assert workers.environment()["HF_HUB_OFFLINE"] == "1"
    pinned = workers.environment(network=True)
    assert pinned.get("HF_HUB_OFFLINE") == os.environ.get("HF_HUB_OFFLINE")


def test_the_server_ends_with_its_parent(tmp_path: Path) -> None:
    child = os.fork()
    if child == 0:
        try:
            place = fork_workers.ForkWorkers(("support.run_fakes",))
            place.warm()
            (tmp_path / "pid").write_text(str(place.pid))
            time.sleep(60)
        finally:
            os._exit(1)
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
        time.sleep(0.02)
    server = int((tmp_path / "pid").read_text())
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    for _ in range(200):
        status = Path(f"/proc/{server}/status")
        if not status.exists() or "State:\tZ" in status.read_text():
            return
        time.sleep(0.02)
    raise AssertionError("the server outlives its parent")


def test_a_function_is_called_once_for_all_children(module: Path, tmp_path: Path) -> None:
    seen = tmp_path / "called"
    module.write_text(f"def ready():\n    open({str(seen)!r}, 'a').write('x')\n")
    place = fork_workers.ForkWorkers(("preloaded:ready",))
    place.warm()
    place.close()
    assert seen.read_text() == "x"


def test_the_compiler_and_the_kernels_can_be_preloaded() -> None:
    cuda_ext.prepare()  # a server does not wait for a build, and another test may be building
    place = fork_workers.ForkWorkers(("benchsuite.measure.speed:import_compiler", "benchsuite.cuda_ext:load"))
    place.warm()
    place.close()


def test_real_measurements_can_be_preloaded() -> None:
    place = fork_workers.ForkWorkers(("benchsuite.measure.speed",))
    place.warm()
    place.close()
