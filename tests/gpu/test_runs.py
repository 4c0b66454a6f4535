"""Runs on a GPU that go wrong: out of memory, and a process that was killed while it held the device."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from support import command

pytestmark = pytest.mark.gpu

SUITE = """
name: memory
description: one layer that fits and one that does not
model: {layers: 1, width: 64, heads: 2, vocab: 64, seq: 64}
baseline: {activation: gelu}
speed:
  rounds: 2
  most_rounds: 2
  sample_s: 0.01
  cases:
    - component: activation
      variants: [relu]
      implementations: [eager]
      dtype: bfloat16
      shape: {name: small, batch: 1}
    - component: activation
      variants: [relu]
      implementations: [eager]
      dtype: bfloat16
      shape: {name: huge, batch: 4096, seq: 4096, width: 8192, heads: 64}
"""
HOLDS = """
import sys, time, torch
x = torch.ones(2**28, device="cuda")
torch.cuda.synchronize()
print("holds", flush=True)
time.sleep(600)
"""


def test_a_layer_that_does_not_fit_is_oom_and_the_others_are_measured(tmp_path: Path) -> None:
    suite, run = tmp_path / "memory.yaml", tmp_path / "run"
    suite.write_text(SUITE)
    command.call("run", str(suite), "--device", "cuda", "-o", str(run))
    records = [json.loads(line) for line in (run / "records.jsonl").read_text().splitlines()]
    labels = {case["id"]: case["label"] for case in json.loads((run / "manifest.json").read_text())["cases"]}
    found: dict[str, set[str]] = {"small": set(), "huge": set()}
    for record in records:
        found[labels[record["case_id"]].rpartition("/")[2]].add(record["status"])
    assert found["small"] == {"ok"}
    assert "oom" in found["huge"]
    assert found["huge"] <= {"oom", "skipped"}


def test_a_killed_process_gives_the_memory_back() -> None:
    free_before, _ = torch.cuda.mem_get_info()
    process = subprocess.Popen([sys.executable, "-c", HOLDS], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "holds\n"
    free, _ = torch.cuda.mem_get_info()
    assert free < free_before - 2**29
    process.kill()
    process.wait()
    torch.zeros(1, device="cuda")
    free_after, _ = torch.cuda.mem_get_info()
    assert free_after > free_before - 2**28


def test_the_checks_of_an_operator_pass(tmp_path: Path) -> None:
    done = command.call("selftest", "--device", "cuda", "--check-only", "--only", "swiglu", "-o", str(tmp_path / "run"))
    assert done.returncode == 0, done.stdout + done.stderr
