"""Run by torchrun in test_ranks.py: trains a small model over all processes and tells what came out.

    torchrun … ranks_app.py RESULT PARALLEL [SNAPSHOTS [KILL]]

With KILL the last process kills itself at that fraction of the training.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

import numpy as np
import torch

from benchsuite.model.spec import ModelSpec
from benchsuite.pretrain.ranks import Ranks
from benchsuite.pretrain.snapshots import Snapshots
from benchsuite.pretrain.trainer import train
from benchsuite.records.params import TrainConfig

SPEC = ModelSpec(layers=2, width=16, heads=2, vocab=16, seq=8)
CONFIG = TrainConfig(tokens=1_920, batch=8, lr=1e-2, micro_batch=1)
TOKENS = np.random.default_rng(0).integers(0, 16, 640).astype(np.uint16)


def main() -> None:
    result, parallel, *rest = sys.argv[1:]
    ranks = Ranks.here("cpu")
    torch.set_num_threads(1)

    def progress(done: float) -> None:
        if len(rest) > 1 and ranks.rank == ranks.size - 1 and done >= float(rest[1]):
            os.kill(os.getpid(), signal.SIGKILL)

    found = {}
    for way in parallel.split(","):
        model, log = train(
            SPEC, TOKENS, CONFIG, seed=0, ranks=ranks, parallel="fsdp" if way == "fsdp" else "ddp",
            snapshots=Snapshots(Path(rest[0]), 5) if rest else None, progress=progress,
        )  # fmt: skip
        weights = [weight.flatten().tolist() for weight in model.parameters()]
        found[way] = {"curve": log.curve, "weights": weights, "first": [log.stability["norm_max"]]}
    if ranks.first:
        Path(result).write_text(json.dumps(found))
    ranks.leave()


if __name__ == "__main__":
    main()
