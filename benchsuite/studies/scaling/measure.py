"""python -m benchsuite.studies.scaling.measure [FOLDER] [--rules dfa] [--only-page]: trains decoders of four sizes by
each learning rule, at each of a few learning rates, and at the best of them at further seeds.

Every training is a line of FOLDER/records.jsonl as soon as it has ended; what is there is not trained again. A second
process may train another rule into the same folder at the same time. `report.md` is made of the records alone. All of
it takes some ten minutes on one core.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchsuite.model import flops
from benchsuite.model.encoder_decoder import build
from benchsuite.model.gpt import GPT
from benchsuite.model.spec import ModelSpec
from benchsuite.pretrain import corpora, tokenizer
from benchsuite.pretrain.order import data_order
from benchsuite.pretrain.step import Objective, adamw, set_lr, teach, train_step
from benchsuite.pretrain.trainer import Diverged, train
from benchsuite.records.params import TrainConfig
from benchsuite.studies.scaling import page

FOLDER = Path("reports/dfa-scaling")
RULES = ("backprop", "dfa")
SIZES = ((2, 16), (2, 24), (2, 32), (2, 48))  # layers, width
TOKENS_PER_WEIGHT = 6  # of the blocks'
RATES = (1e-3, 3e-3, 9e-3, 2.7e-2)
SEEDS = 3  # the first chooses the learning rate
BATCH, SEQ, VOCAB = 8, 64, 512
TRAIN_BYTES, HELDOUT_BYTES = 2_000_000, 120_000
ANGLES = 12  # points of the curve of angles


def spec_of(layers: int, width: int, rule: str) -> ModelSpec:
    """A decoder with ALiBi. Embeddings are untied, as in the authors' transformer: a tied table would learn to read
    words by the projected error and to predict them by the true one."""
    return ModelSpec(
        layers=layers,
        width=width,
        heads=width // 8,
        vocab=VOCAB,
        seq=SEQ,
        position="alibi",
        tied=False,
        learning_rule=rule,
    )


def weights(spec: ModelSpec) -> int:
    """Parameters without the embedding and the unembedding."""
    return flops.parameters(spec) - 2 * spec.vocab * spec.width


def config_of(spec: ModelSpec, lr: float) -> TrainConfig:
    return TrainConfig(tokens=TOKENS_PER_WEIGHT * weights(spec), batch=BATCH, lr=lr)


@cache
def text() -> tuple[NDArray[np.unsignedinteger], NDArray[np.unsignedinteger]]:
    """The generated corpus `curated`, in tokens: to train on, and held out."""
    corpus = corpora.load("curated", train_bytes=TRAIN_BYTES, heldout_bytes=HELDOUT_BYTES)
    vocabulary = tokenizer.train(corpus.train[: len(corpus.train) // 4], VOCAB)
    return tokenizer.encode_corpus(vocabulary, corpus), tokenizer.encode(vocabulary, corpus.heldout)


@torch.no_grad()
def heldout_loss(model: GPT) -> float:
    """Mean cross-entropy of the held-out tokens, in nats."""
    tokens = torch.from_numpy(text()[1].astype(np.int64))
    rows = tokens[: (len(tokens) - 1) // SEQ * SEQ + 1]
    x, y = rows[:-1].view(-1, SEQ), rows[1:].view(-1, SEQ)
    parts = [float(model.loss(a, b)) * len(a) for a, b in zip(x.split(64), y.split(64), strict=True)]
    return sum(parts) / len(x)


def trained(layers: int, width: int, rule: str, lr: float, seed: int) -> dict[str, Any]:
    """Train one model; a loss of None is that of a training that diverged."""
    spec = spec_of(layers, width, rule)
    config = config_of(spec, lr)
    steps = config.steps(SEQ)
    about = {"layers": layers, "width": width, "rule": rule, "lr": lr, "seed": seed, "weights": weights(spec)}
    about |= {"tokens": steps * BATCH * SEQ, "flops": steps * flops.step_flops(spec, BATCH, SEQ)}
    try:
        model, _ = train(spec, text()[0], config, seed=seed)
    except Diverged:
        return {**about, "loss": None}
    return {**about, "loss": heldout_loss(model)}


def angles(layers: int, width: int, lr: float) -> dict[str, Any]:
    """Train once more by DFA, and look at the cosine between its gradients and the true ones on the way, on a batch of
    held-out text."""
    spec = spec_of(layers, width, "dfa")
    config = config_of(spec, lr)
    torch.manual_seed(0)
    objective = Objective(build(spec, config.implementation))
    learner = teach(objective, 0)
    optimizer = adamw(objective.parameters(), config)
    sizes = config.sizes(SEQ)
    looked_at = next(data_order(text()[1], SEQ, [32], 0))
    curve = []
    when = np.unique(np.linspace(0, len(sizes), ANGLES, dtype=int)).tolist()
    batches = data_order(text()[0], SEQ, sizes, 0)
    for step in range(len(sizes) + 1):
        if step in when:
            found = learner.angles(lambda: objective(looked_at))
            curve.append([step * BATCH * SEQ, {name.removeprefix("model."): x for name, x in found.items()}])
        if step < len(sizes):
            set_lr(optimizer, config, (step + 1) * BATCH, sum(sizes))
            train_step(objective, optimizer, (next(batches),), config)
    return {"angles": curve, "layers": layers, "width": width, "rule": "dfa", "lr": lr, "seed": 0}


def wanted(records: Sequence[dict[str, Any]], rules: Sequence[str]) -> Iterator[tuple[int, int, str, float, int]]:
    """Yield what is to be trained next, told what there is: every learning rate at seed 0, then the best at the
    others."""
    for layers, width in SIZES:
        for rule in rules:
            yield from ((layers, width, rule, lr, 0) for lr in RATES)
            best = page.best_rate(records, layers, width, rule)
            yield from ((layers, width, rule, best, seed) for seed in range(1, SEEDS))


def measure(folder: Path, rules: Sequence[str]) -> None:
    torch.set_num_threads(1)
    path = folder / "records.jsonl"
    folder.mkdir(parents=True, exist_ok=True)
    records = page.read(path)

    def keep(record: dict[str, Any]) -> None:
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
        records[:] = page.read(path)  # another process may have added to them

    for job in wanted(records, rules):
        keys = dict(zip(("layers", "width", "rule", "lr", "seed"), job, strict=True))
        if not any("loss" in record and keys.items() <= record.items() for record in records):
            keep(trained(*job))
    if "dfa" in rules and not any("angles" in record for record in records):
        layers, width = SIZES[-1]
        keep(angles(layers, width, page.best_rate(records, layers, width, "dfa")))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=FOLDER)
    parser.add_argument("--rules", nargs="+", choices=RULES, default=RULES)
    parser.add_argument("--only-page", action="store_true")
    asked = parser.parse_args()
    if not asked.only_page:
        measure(asked.folder, asked.rules)
    found = page.read(asked.folder / "records.jsonl")
    if page.whole(found, SIZES, RULES):
        (asked.folder / "report.md").write_text(page.text(found), encoding="utf-8")


if __name__ == "__main__":
    main()
