"""Our training step and our evaluation beside other people's, in alternating processes: `benchsuite peers`.

Training: the baseline of `quick` by our loop, by a loop in nanoGPT's style and by transformers' GPT-2 in a plain loop,
eager against eager, compiled against compiled, and ours with its own kernels against both. Evaluation: lm-eval's own
HFLM on the exported model, same requests.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchsuite.errors import UserError
from benchsuite.runs.case import KINDS
from benchsuite.stats.speed import SpeedComparison, compare_speed

STEPS = {
    "sdpa": ("nanogpt", "transformers"),
    "fused": ("nanogpt", "nanogpt-compile"),
    "compile": ("nanogpt-compile", "transformers-compile"),
}
NAMES = {"sdpa": "eager", "compile": "compiled"}
SHAPE: dict[str, Any] = {"batch": 32, "seq": 96, "width": 96, "heads": 4, "layers": 3, "vocab": 512}
TASK_DOCUMENTS = 100


@dataclass(frozen=True)
class Row:
    """`ours` over `theirs` in `unit`: medians over processes, and the ratio with its interval (above 1: ours is
    faster).
    """

    what: str
    ours: float
    theirs: float
    unit: str
    comparison: SpeedComparison
    note: str = ""


def training_rows(pairs: int, threads: int, say: Callable[[str], None]) -> list[Row]:
    """Tokens/s of one training step, each measurement in a process of its own, orders reversed in every other pair."""
    rates: dict[
        tuple[str, str], dict[int, float]
    ] = {}  # measured anew for each of ours, so that pairs are near in time
    for pair in range(pairs):
        for mine, others in STEPS.items():
            order = (mine, *others) if pair % 2 == 0 else (*reversed(others), mine)
            for implementation in order:
                say(f"pair {pair + 1} of {pairs}: training step, {implementation}")
                rates.setdefault((mine, implementation), {})[pair] = _step_tokens_per_s(implementation, threads)
    return [
        Row(
            f"training step, {NAMES.get(mine, mine)}, against {_peer(mine, other)}",
            _median(rates[mine, mine]),
            _median(rates[mine, other]),
            "tokens/s",
            compare_speed(rates[mine, mine], rates[mine, other]),
        )
        for mine, others in STEPS.items()
        for other in others
    ]


def _peer(mine: str, other: str) -> str:
    name = other.removesuffix("-compile")
    return f"{name}, compiled" if mine == "fused" and name != other else name


def evaluation_row(pairs: int, threads: int) -> Row:
    """Requests/s over all tasks of the generated world, from text to answers, with the baseline's shape."""
    import torch

    from benchsuite.model.gpt import GPT
    from benchsuite.model.spec import ModelSpec
    from benchsuite.pretrain import corpora, tokenizer
    from benchsuite.zeroshot import tasks
    from benchsuite.zeroshot.peers import compare_with_hflm

    torch.manual_seed(0)
    vocabulary = tokenizer.train(corpora.load("curated", train_bytes=500_000).train, SHAPE["vocab"])
    model = GPT(ModelSpec(**{name: size for name, size in SHAPE.items() if name != "batch"})).eval()
    with tempfile.TemporaryDirectory() as folder:
        tasks.write_tasks(Path(folder), limit=TASK_DOCUMENTS)
        found = compare_with_hflm(model, vocabulary, Path(folder), pairs=pairs, threads=threads)
    ours, theirs = dict(enumerate(found.ours)), dict(enumerate(found.theirs))
    note = (
        f"HFLM at batch size {found.batch_size}, the best of three; log-likelihoods within {found.difference_nats:.0e}"
    )
    return Row(
        "evaluation, against HFLM", _median(ours), _median(theirs), "requests/s", compare_speed(ours, theirs), note
    )


def _step_tokens_per_s(implementation: str, threads: int) -> float:
    params = {
        "component": "position", "variant": "learned", "implementation": implementation, "scope": "step",
        "direction": "step", "shape": SHAPE, "dtype": "float32", "device": "cpu", "mode": "wall", "threads": threads,
        "matching": "iso-parameter", "sample_s": 2.0,
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        job: dict[str, Any] = {"name": implementation, "measure": KINDS["speed"].measure, "seeded": False}
        job |= {"params": params, "replicate": 0, "threads": threads, "memory_limit_bytes": None, "workdir": folder}
        job |= {"log": f"{folder}/log.txt", "result": f"{folder}/result.json", "progress_fd": None, "parent": None}
        file = Path(folder) / "job.json"
        file.write_text(json.dumps(job))
        subprocess.run([sys.executable, "-m", "benchsuite.worker", str(file)], check=False)
        outcome = json.loads((Path(folder) / "result.json").read_text())
    if outcome["status"] != "ok":
        raise UserError(f"the training step {implementation} ended as {outcome['status']}: {outcome['reason']}")
    return float(outcome["result"]["tokens_per_s"])


def _median(rates: dict[int, float]) -> float:
    ordered = sorted(rates.values())
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
