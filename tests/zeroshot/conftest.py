"""A tokenizer, and untrained models loud enough for a wrong mask or position to be heard in every log-likelihood."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
import torch
from lm_eval.tasks import TaskManager
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from benchsuite.model.encoder_decoder import build
from benchsuite.model.gpt import GPT
from benchsuite.model.spec import ModelSpec

from .words import WORDS


@pytest.fixture(scope="session")
def bpe() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    rng = random.Random(0)
    tokenizer.train_from_iterator([" ".join(rng.choices(WORDS, k=30)) for _ in range(100)], trainer)
    return tokenizer


@pytest.fixture(scope="session")
def make_model(bpe: Tokenizer) -> Callable[..., GPT]:
    def make(**options: Any) -> GPT:
        shape = {"layers": 2, "width": 48, "heads": 4, "vocab": bpe.get_vocab_size(), "seq": 32}
        model = build(ModelSpec(**{**shape, **options}))
        generator = torch.Generator().manual_seed(3)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.normal_(std=0.15, generator=generator)
            model.final_norm.weight.add_(1.0)
        return model.eval()

    return make


@pytest.fixture(scope="session")
def manager() -> TaskManager:
    """lm-eval's index of its tasks: some thousand files are read for it, once."""
    return TaskManager()
