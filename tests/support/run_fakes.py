"""Measurements that take no time, and four that go wrong. Jobs call them by name, as they call the real ones."""

from __future__ import annotations

import ctypes
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from benchsuite.records.case import Incorrect, Unsupported
from benchsuite.timing.turns import Turns


def measure(params: dict[str, Any], *, first: bool, turns: dict[str, Any] | None = None) -> dict[str, Any]:
    """A speed case: `params["do"]`, or the name of the variant, says what happens."""
    do = params.get("do") or params.get("variant", "ok")
    time.sleep(params.get("sleep_s", params.get("sample_s", 0.0)))
    match do:
        case "raise":
            raise ValueError("a variant that raises")
        case "memory":
            blocks = [bytearray(64 * 1024**2) for _ in range(100_000)]
            return {"blocks": len(blocks)}
        case "work":
            time.sleep(params["s"])
            return {"time_s": params["s"], "cores": sorted(os.sched_getaffinity(0))}
        case "hang":
            print("now I hang", flush=True)
            time.sleep(3600)
        case "chatter":
            while True:
                print("more and more " * 1000)
        case "segfault":
            ctypes.string_at(0)
        case "no_place":
            work = Path(params["work"])
            work.rename(work.with_name("work.away"))
            work.touch()
        case "exit":
            print("bye", flush=True)
            os._exit(3)
        case "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        case "kill_server":
            mark = Path(params["mark"])
            if params.get("always") or not mark.exists():
                mark.touch()
                os.kill(psutil.Process(os.getppid()).ppid(), signal.SIGKILL)
                time.sleep(60)
        case "unsupported":
            raise Unsupported("not on this machine")
        case "incorrect":
            raise Incorrect("wrong by 3", {"error": {"forward": 3.0}})
        case "torch_oom":
            raise RuntimeError("[enforce fail] DefaultCPUAllocator: not enough memory: you tried to allocate 1 bytes.")
        case "nan":
            return {"time_s": float("nan")}
        case "strange":
            return {"time_s": 0.001, **params["result"]}
        case "grandchild":
            pid = os.fork()
            if pid == 0:
                time.sleep(3600)
            Path(params["mark"]).write_text(str(pid))
        case "daemon":
            if os.fork() == 0:
                os.setsid()
                if os.fork() == 0:
                    Path(params["mark"]).write_text(str(os.getpid()))
                    time.sleep(3600)
                os._exit(0)
            while not Path(params["mark"]).exists():
                time.sleep(0.005)
            if params.get("nanny"):
                os.kill(os.getppid(), signal.SIGKILL if params["nanny"] == "killed" else signal.SIGSTOP)
            time.sleep(params.get("then_s", 0))
        case "system_exit":
            raise SystemExit(0)
    if turns is None:
        return {"time_s": 0.001, "pid": os.getpid()}
    samples_s, mine = [], Turns(**turns)
    mine.take()
    while mine.take():
        samples_s.append(0.001)
    mine.close()
    return {"time_s": 0.001, "samples_s": samples_s, "stop": "turns", "pid": os.getpid()}


def prepare(params: dict[str, Any]) -> None:
    """Makes nothing; fails where the corpus is called `broken`."""
    if params.get("corpus", {}).get("name") == "broken":
        raise ValueError("no such text")


def train_and_evaluate(
    params: dict[str, Any], *, seed: int, workdir: Path, progress: Callable[[float], None]
) -> dict[str, Any]:
    """A quality case: a model file and a result that depends on the seed alone."""
    duration_s = params.get("sleep_s", params.get("train", {}).get("tokens", 0) / 1e6)
    for step in range(3):
        time.sleep(duration_s / 3)
        progress((step + 1) / 3)
    rank, size = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    if params.get("do") == "second_fails":
        if rank == 1:
            raise ValueError("the second one fails")
        time.sleep(600)
    elif params.get("do") == "ranks":
        (workdir / "model").mkdir(exist_ok=True)
        (workdir / "model" / f"rank-{rank}-of-{size}").touch()
    elif params.get("do"):
        measure(params, first=True)
    (workdir / "model").mkdir(exist_ok=True)
    (workdir / "model" / "weights").write_text(str(seed))
    return {"bits_per_byte": {"value": 1.0 + seed}}
