"""Loss by place in the text: what a model of known behaviour gives, and models that end at their training length."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.nn import functional

from benchsuite.errors import UserError
from benchsuite.model.gpt import GPT
from benchsuite.model.spec import ModelSpec
from benchsuite.pretrain import tokenizer as bpe
from benchsuite.zeroshot.extrapolation import by_position, ranges

DOCUMENTS = [f"the {word} ran over {word} hills, né? " * 6 for word in ("fox", "dog", "cow", "hen", "cat", "owl")]
SEQ, LONGEST = 16, 50


def model(position: str) -> GPT:
    torch.manual_seed(0)
    return GPT(ModelSpec(layers=1, width=16, heads=2, vocab=300, seq=SEQ, position=position)).eval()


def test_ranges_double_and_end_where_they_are_told() -> None:
    assert ranges(16, 50) == [0, 8, 16, 32, 50]
    assert ranges(16, 32) == [0, 8, 16, 32]


@pytest.mark.parametrize("position", ["alibi", "t5", "rotary"])
def test_the_bits_are_those_of_a_plain_pass(position: str) -> None:
    tokenizer = bpe.train(DOCUMENTS, 300)
    gpt = model(position)
    found = by_position(gpt, tokenizer, DOCUMENTS, LONGEST)
    packed = torch.from_numpy(bpe.encode(tokenizer, DOCUMENTS).astype(np.int64))
    assert len(found.bits) == len(found.bytes) == len(packed) // (LONGEST + 1)
    window = packed[LONGEST + 1 : 2 * (LONGEST + 1)]
    with torch.no_grad():
        nats = functional.cross_entropy(gpt(window[None, :-1])[0], window[1:], reduction="none")
    expected = [float(nats[a:b].sum()) / math.log(2) for a, b in ((0, 8), (8, 16), (16, 32), (32, 50))]
    assert found.bits[1] == pytest.approx(expected, abs=2e-3)
    for (a, b), size in zip(((0, 8), (8, 16), (16, 32), (32, 50)), found.bytes[1], strict=True):
        text = tokenizer.decode(window[a + 1 : b + 1].tolist(), skip_special_tokens=True)
        assert abs(len(text.encode()) - size) <= 2, "a character may be cut between two ranges"
    assert sum(map(sum, found.bytes)) <= sum(len(document.encode()) for document in DOCUMENTS)


def test_learned_positions_end_at_the_training_length() -> None:
    found = by_position(model("learned"), bpe.train(DOCUMENTS, 300), DOCUMENTS, LONGEST)
    assert {len(row) for row in found.bits} == {2}
    assert {len(row) for row in found.bytes} == {4}


def test_too_little_text_is_said() -> None:
    with pytest.raises(UserError, match="less than one window of 4000"):
        by_position(model("none"), bpe.train(DOCUMENTS, 300), DOCUMENTS, 4000)
