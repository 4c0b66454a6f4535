"""Choices that a model with a table of positions cannot take are found before it is trained."""

from __future__ import annotations

from pathlib import Path

import pytest
from tokenizers import Tokenizer

from benchsuite import components
from benchsuite.components.position_modules import Shape
from benchsuite.errors import UserError
from benchsuite.pretrain import tokenizer
from benchsuite.pretrain.corpora import world
from benchsuite.zeroshot import fact_tasks, lengths, taskfiles, tasks


@pytest.fixture(scope="module")
def small() -> Tokenizer:
    return tokenizer.train(world.documents("curated", seed=0, n_bytes=50_000), 300)


def test_the_least_is_no_more_than_any_tokenizer_takes(tmp_path: Path, small: Tokenizer) -> None:
    tasks.write_tasks(tmp_path, limit=20)
    choices = lengths.written(tmp_path)
    assert choices == lengths.made("world", (), 20, 0)
    assert choices.keys() == {info.name for info in taskfiles.read_tasks(tmp_path)}
    longest = max(len(small.encode(choice).ids) for choice in choices["paraphrase"])
    lengths.check(choices, None, longest, small)
    with pytest.raises(UserError, match=f"has {longest} tokens, .* no more than {longest - 1}") as raised:
        lengths.check(choices, None, longest - 1, small)
    assert f"set model.seq to {longest}" in raised.value.hint
    assert longest > 7
    lengths.check(choices, None, 7)  # before training it is not known that they take more
    lengths.check(choices, ["recall_near"], 4)


@pytest.mark.parametrize("source", ["world", "facts"])
def test_no_choice_has_more_words_than_are_looked_for(source: str) -> None:
    choices = lengths.made(source, (), 300, 0)
    assert len(choices) == len(tasks.TASKS if source == "world" else fact_tasks.LANGUAGES)
    lengths.check(choices, None, lengths.MOST_WORDS)


def test_positions_are_bounded_where_their_modules_are() -> None:
    for name, entry in components.variants("position").items():
        limit = entry.build(Shape(heads=2, width=16, seq=12)).max_length
        assert entry.bounded == (limit is not None), name
