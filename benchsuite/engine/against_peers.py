"""Our training step and our evaluation beside other people's: `benchsuite peers`.

Training: the baseline of `quick` by our loop, by a loop in nanoGPT's style and by transformers' GPT-2 in a plain loop,
eager against eager, compiled against compiled, and ours with its own kernels against both: cases of the engine, in
turns. Evaluation: lm-eval's own HFLM on the exported model, same requests.
"""

from __future__ import annotations

import functools
import math
import statistics
import tempfile
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from benchsuite.engine import workers
from benchsuite.engine.preloads import preloads
from benchsuite.engine.processes import Observer
from benchsuite.engine.rounds import Resolution
from benchsuite.engine.scheduler import Scheduler
from benchsuite.errors import UserError
from benchsuite.records.case import Case, Comparison, Record, case_id
from benchsuite.records.store import Store
from benchsuite.stats.rounds import timed
from benchsuite.stats.speed import SpeedComparison, compare_speed, paired_logs

STEPS = {
    "sdpa": ("nanogpt", "transformers"),
    "fused": ("nanogpt", "nanogpt-compile"),
    "compile": ("nanogpt-compile", "transformers-compile"),
}
NAMES = {"sdpa": "eager", "compile": "compiled"}
SHAPE: dict[str, Any] = {"batch": 32, "seq": 96, "width": 96, "heads": 4, "layers": 3, "vocab": 512}
TASK_DOCUMENTS = 100
TIMEOUT_S = 300.0


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


def training_rows(rounds: int, threads: int, observer: Observer) -> list[Row]:
    """Tokens/s of one training step, ours and each rival's measured together, in turns. Raises UserError where one
    cannot be measured."""
    cases = {name: _case(name, rounds, threads) for name in dict.fromkeys(chain(STEPS, *STEPS.values()))}
    pairs = [(mine, other) for mine, others in STEPS.items() for other in others]
    with tempfile.TemporaryDirectory() as folder:
        store = Store.create(Path(folder) / "run", {})
        Scheduler(
            cases.values(),
            store,
            functools.partial(workers.make, preloads(cases.values())),
            observer,
            comparisons=[Comparison("implementation", cases[mine].id, cases[other].id) for mine, other in pairs],
            resolution=Resolution(most=rounds),
        ).run()
        store.close()
    records = {name: [r for r in store.records if r.case_id == case.id] for name, case in cases.items()}
    for name, own in records.items():
        if failed := next((record for record in own if record.status != "ok"), None):
            raise UserError(f"the training step {name} ended as {failed.status}: {failed.reason}")
    return [
        Row(
            f"training step, {NAMES.get(mine, mine)}, against {_peer(mine, other)}",
            *_rates(records[mine], records[other], found := compare_speed(_logs(records[mine], records[other]))),
            "tokens/s",
            found,
        )
        for mine, other in pairs
    ]


def _case(implementation: str, rounds: int, threads: int) -> Case:
    params = {
        "component": "position", "variant": "learned", "implementation": implementation, "scope": "step",
        "direction": "step", "shape": SHAPE, "dtype": "float32", "device": "cpu", "mode": "wall", "threads": threads,
        "matching": "iso-parameter", "sample_s": 0.5,
    }  # fmt: skip
    return Case(case_id("speed", params), "speed", implementation, params, tuple(range(rounds)), TIMEOUT_S, "steps")


def _logs(mine: list[Record], theirs: list[Record]) -> list[float]:
    return paired_logs(timed(mine), timed(theirs))


def _rates(mine: list[Record], theirs: list[Record], found: SpeedComparison) -> tuple[float, float]:
    """Median tokens/s of theirs, and ours by the ratio, so that the two agree with it."""
    rate = statistics.median(r.speed.tokens_per_s for r in theirs if r.speed and r.speed.tokens_per_s)
    return rate * (found.ratio or math.nan), rate


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
    logs = [math.log(mine / theirs) for mine, theirs in zip(found.ours, found.theirs, strict=True)]
    note = (
        f"HFLM at batch size {found.batch_size}, the best of three; log-likelihoods within {found.difference_nats:.0e}"
    )
    ours, theirs = statistics.median(found.ours), statistics.median(found.theirs)
    return Row("evaluation, against HFLM", ours, theirs, "requests/s", compare_speed(logs), note)
