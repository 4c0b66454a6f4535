"""The comparison with HFLM: that it compares the same thing. What it measures is not tested."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer

from benchsuite.model.gpt import GPT
from benchsuite.zeroshot import peers
from benchsuite.zeroshot.taskfiles import Document, TaskInfo, write_task

from .words import sentence


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = random.Random(0)
    rows: list[Document] = [
        {"context": sentence(rng, 6), "choices": [" cat", " dog runs"], "gold": n % 2, "question": f"{n}"}
        for n in range(10)
    ]
    write_task(tmp_path, TaskInfo("tiny", "test", (), 0.5, 10, "a test", 10), rows)
    return tmp_path


def test_both_answer_the_same_requests(make_model: Callable[..., GPT], bpe: Tokenizer, folder: Path) -> None:
    threads = torch.get_num_threads()
    found = peers.compare_with_hflm(
        make_model(position="rotary"), bpe, folder, limit=5, pairs=2, batch_sizes=(2, 4), threads=1
    )
    assert found.requests == 10
    assert found.model_type == "gpt_neox"
    assert found.batch_size in (2, 4)
    assert len(found.ours) == len(found.theirs) == len(found.ratios) == 2
    assert min(found.ours + found.theirs) > 0
    assert 0 < found.difference_nats <= peers.TOLERANCE
    assert torch.get_num_threads() == threads


def test_no_speed_is_given_for_other_answers(
    make_model: Callable[..., GPT], bpe: Tokenizer, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = peers.BenchsuiteLM.loglikelihood
    monkeypatch.setattr(
        peers.BenchsuiteLM,
        "loglikelihood",
        lambda *args, **kwargs: [(nats + 0.001, greedy) for nats, greedy in right(*args, **kwargs)],
    )
    with pytest.raises(ArithmeticError, match=r"differ by 0\.001 nats"):
        peers.compare_with_hflm(make_model(), bpe, folder, pairs=1, batch_sizes=(4,))
