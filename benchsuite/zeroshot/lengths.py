"""Find choices of tasks that do not fit into a model that takes no more tokens than its training length.

A context that is too long loses its beginning; a choice is scored whole. Before training there is no tokenizer, and
what is known is the least that a choice takes: every byte-level tokenizer splits a text at its words first.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path

from tokenizers import Tokenizer, pre_tokenizers

from benchsuite.errors import UserError
from benchsuite.zeroshot import fact_tasks, taskfiles, tasks

MOST_WORDS = 32  # no choice of a task that the package makes has more words and punctuation marks


@cache
def made(source: str, languages: tuple[str, ...], limit: int, seed: int) -> Mapping[str, tuple[str, ...]]:
    """The different choices of every task of the source `world` or `facts`."""
    found = {}
    if source == "world":
        for name in tasks.task_names():
            found[name] = [choice for item in tasks.items(name, limit=limit, seed=seed) for choice in item.choices]
    else:
        asked = fact_tasks.questions(limit=limit, seed=seed)
        for code in languages or tuple(fact_tasks.LANGUAGES):
            found[fact_tasks.task_name(code)] = [choice for one in asked for choice in one.item(code).choices]
    return {name: tuple(dict.fromkeys(choices)) for name, choices in found.items()}


def written(folder: Path) -> dict[str, tuple[str, ...]]:
    """The different choices of every task in `folder`."""
    found = {}
    for info in taskfiles.read_tasks(folder):
        lines = (folder / f"{info.name}.jsonl").read_text(encoding="utf-8").splitlines()
        found[info.name] = tuple(dict.fromkeys(choice for line in lines for choice in json.loads(line)["choices"]))
    return found


def check(
    choices: Mapping[str, Iterable[str]], names: Sequence[str] | None, seq: int, tokenizer: Tokenizer | None = None
) -> None:
    """Raise UserError for a task (of all, or of `names`) with a choice of more than `seq` tokens: as `tokenizer` has
    it, or the least that any tokenizer needs where there is none."""
    split = pre_tokenizers.ByteLevel(add_prefix_space=False)
    count: Callable[[str], int] = (
        (lambda text: len(split.pre_tokenize_str(text)))
        if tokenizer is None
        else (lambda text: len(tokenizer.encode(text, add_special_tokens=False).ids))
    )
    longest = {
        name: max((count(choice), choice) for choice in found)
        for name, found in choices.items()
        if names is None or name in names
    }
    if not (unfit := {name: found for name, found in longest.items() if found[0] > seq}):
        return
    name, (tokens, choice) = max(unfit.items(), key=lambda entry: entry[1])
    least = "at least " if tokenizer is None else ""
    more = f" ({len(unfit)} tasks do not fit)" if len(unfit) > 1 else ""
    raise UserError(
        f"task {name}: its choice {choice!r} has {least}{tokens} tokens, and a model with a position for each of its "
        f"{seq} tokens takes no more than {seq}{more}",
        hint=f"set model.seq to {tokens} or more, name the tasks that fit (quality.tasks.names), or take positions "
        "without a table, as rotary or alibi",
    )
