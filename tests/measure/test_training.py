"""What the models of a suite read: at one seed, the same in the same order, whichever variant reads it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from benchsuite import components
from benchsuite.measure import quality, training
from benchsuite.planning.plan import Machine, resolve
from benchsuite.pretrain import trainer
from benchsuite.pretrain.ranks import Ranks
from benchsuite.records.case import Case
from benchsuite.suite.source import validate
from benchsuite.suite.yaml_tree import parse

SUITE = """
name: order
model: {layers: 1, width: 16, heads: 2, vocab: 300, seq: 32}
baseline: {position: t5}
quality:
  train: {tokens: 3k, batch: 4}
  tokenizer: {vocab: 290}
  tasks: {names: [pronoun], limit: 4}
  train_bytes: 60000
  heldout_bytes: 5000
  seeds: 2
  variants: VARIANTS
  stability: {lr: [1, 4], seeds: 2}
  recipes:
"""
RECIPE = """
    {0}:
      stages:
        - {{architecture: {0}, objective: prefix-lm}}
        - {{architecture: {0}, objective: multitask, tasks: [agreement]}}
"""
ARCHITECTURES = ("causal", "prefix", "encdec")
VARIANTS = {name: [one for one in components.variants(name) if one != "t5"] for name in components.COMPONENTS}


def cases(kind: str) -> list[Case]:
    text = SUITE.replace("VARIANTS", str(VARIANTS))
    text += "".join(map(RECIPE.format, ARCHITECTURES))
    plan = resolve(validate(parse(text.encode(), "order.yaml")), Machine(cores=2))
    return [case for case in plan.cases if case.kind == kind]


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """The batches of every training step, which does nothing else."""
    seen: list[Tensor] = []

    def step(objective: Any, optimizer: Any, batches: Sequence[Tensor], *more: Any) -> tuple[Tensor, Tensor]:
        seen.extend(batches)
        return torch.ones(()), torch.ones(())

    monkeypatch.setattr(trainer, "train_step", step)
    return seen


def batches_of(case: Case, seed: int, read: list[Tensor], folder: Path) -> list[Tensor]:
    read.clear()
    if case.kind == "stability":
        quality.train_only(case.params, seed=seed, workdir=folder, progress=lambda done: None)
    else:
        data = quality.prepare(case.params)
        here = {"seed": seed, "workdir": folder, "ranks": Ranks()}
        assert case.training is not None
        training.trained(case.training, data.tokens, data.tokenizer, **here, progress=lambda done: None)
    assert len(read) >= 3000 // (4 * 32)
    return list(read)


def same(some: list[Tensor], others: list[Tensor]) -> bool:
    return len(some) == len(others) and all(torch.equal(a, b) for a, b in zip(some, others, strict=True))


@pytest.mark.parametrize("kind", ["quality", "stability"])
def test_every_variant_reads_the_same_in_the_same_order(kind: str, read: list[Tensor], tmp_path: Path) -> None:
    found = [case for case in cases(kind) if "stages" not in case.params]
    assert len(found) > sum(map(len, VARIANTS.values())) - len(VARIANTS)
    first = batches_of(found[0], 0, read, tmp_path / "0" / "first")
    assert not same(first, batches_of(found[0], 1, read, tmp_path / "1" / "first")), "another seed is another order"
    for number, case in enumerate(found[1:]):
        assert same(first, batches_of(case, 0, read, tmp_path / str(number) / "other")), case.label


def test_every_architecture_reads_the_same_in_the_same_order(read: list[Tensor], tmp_path: Path) -> None:
    found = [case for case in cases("quality") if "stages" in case.params]
    assert [case.label.split("/")[1] for case in found] == list(ARCHITECTURES)
    first, *others = (batches_of(case, 0, read, tmp_path / str(n) / "job") for n, case in enumerate(found))
    assert all(same(first, other) for other in others)
