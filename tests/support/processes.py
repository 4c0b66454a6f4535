"""`benchsuite run` as a process of its own, with measurements that take no time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

TESTS = Path(__file__).parents[1]
PATIENCE_S = 300.0  # for what takes seconds: a machine that is busy with ten other things is no fault of the run

SUITE = """
name: small
model: {layers: 1, width: 8, heads: 2, vocab: 300, seq: 8}
speed:
  rounds: 4
  most_rounds: 4
  sample_s: 0.03
  cases:
    - {component: activation, variants: [swiglu, relu], shape: {batch: 1}}
quality:
  seeds: 2
  train: {tokens: 60k, batch: 4}
  variants: {position: [none, alibi]}
  controls:
    - {name: a_against_a, set: {init_offset: 1000}, expect: unresolved}
"""
MEASUREMENTS = 3 * 4 + 4 * 2


def environment_of(folder: Path) -> dict[str, str]:
    """With a cache of its own, so that no other test's run is waited for."""
    path = os.pathsep.join(filter(None, [str(TESTS), os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PYTHONPATH": path, "BENCHSUITE_CACHE": str(folder / "cache"), "COLUMNS": "200"}


def begin(environment: dict[str, str], *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, str(TESTS / "support" / "run_app.py"), *map(str, arguments)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=PATIENCE_S)
    return process.returncode, out, err


def run(environment: dict[str, str], *arguments: object) -> tuple[int, str, str]:
    return finish(begin(environment, *arguments))


def rows(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "records.jsonl").read_text().splitlines()]


def wait_for_records(folder: Path, number: int) -> None:
    path = folder / "records.jsonl"
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        if path.exists() and path.read_bytes().count(b"\n") >= number:
            return
        time.sleep(0.02)
    raise AssertionError(f"{folder} has no {number} records")


def relatives(parent: int) -> list[int]:
    """The fork server that process `parent` started and its children: they share its command line."""
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        alive = process.info["status"] != psutil.STATUS_ZOMBIE
        if alive and f"--parent={parent}" in (process.info["cmdline"] or []):
            found.append(process.pid)
    return found


def gone(parent: int) -> Iterator[bool]:
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        yield not relatives(parent)
        time.sleep(0.05)
