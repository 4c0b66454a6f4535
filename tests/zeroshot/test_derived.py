"""Tasks derived from held-out text: well-formed, balanced, absent from training, the same each time, in any script."""

from __future__ import annotations

import itertools
import json
import math
import random
import tempfile
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchsuite.errors import UserError
from benchsuite.pretrain.corpora import Corpus
from benchsuite.pretrain.corpora.text import sentences, word_spans
from benchsuite.pretrain.tokenizer import train
from benchsuite.zeroshot.derived import TASKS, task_names, write_tasks
from benchsuite.zeroshot.taskfiles import Document, read_tasks

SCRIPTS = {
    "latin": ("abcdeilmnorst", " ", ". "),
    "cyrillic": ("абвгдежиклмно", " ", "! "),
    "arabic": ("ابتثجحخدذرز", " ", "؟ "),
    "devanagari": ("कखगघचछजझटठ", " ", "। "),
    "han": ("的一是不了人我在有他这中大来上个国", "", "。"),
    "thai": ("กขคงจฉชซดตถทนบปผ", "", ". "),
}


def text_of(script: str, n_documents: int, seed: int, n_sentences: int = 8) -> list[str]:
    """Documents of random words, of which few are frequent, as in a language."""
    alphabet, space, stop = SCRIPTS[script]
    words = random.Random(script)
    lexicon = ["".join(words.choices(alphabet, k=words.randint(2, 7))) for _ in range(300)] if space else list(alphabet)
    rng = random.Random(seed)
    weights = [1 / (rank + 2) for rank in range(len(lexicon))]

    def sentence() -> str:
        return space.join(rng.choices(lexicon, weights, k=rng.randint(7, 18))).capitalize() + stop

    return ["".join(sentence() for _ in range(n_sentences)).strip() for _ in range(n_documents)]


def corpus_of(script: str = "latin", n_heldout: int = 60) -> Corpus:
    return Corpus("made", text_of(script, 200, 1), text_of(script, n_heldout, 2), "0" * 64, None)


def rows_of(folder: Path, name: str) -> list[Document]:
    return [json.loads(line) for line in (folder / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def english(tmp_path_factory: pytest.TempPathFactory) -> tuple[Corpus, Path]:
    corpus, folder = corpus_of(n_heldout=120), tmp_path_factory.mktemp("tasks")
    write_tasks(folder, corpus, limit=200)
    return corpus, folder


@pytest.mark.slow
@pytest.mark.parametrize("script", SCRIPTS)
def test_every_script_gives_four_well_formed_tasks(script: str, tmp_path: Path) -> None:
    corpus = corpus_of(script)
    infos = write_tasks(tmp_path, corpus, limit=100, max_words=40)
    assert [info.name for info in infos] == task_names()
    assert sorted(read_tasks(tmp_path), key=lambda info: info.name) == sorted(infos, key=lambda info: info.name)
    heldout = {" ".join(document.split()) for document in corpus.heldout}
    for info in infos:
        rows = rows_of(tmp_path, info.name)
        assert 50 <= len(rows) == info.documents <= 100
        for row in rows:
            assert len(row["choices"]) == round(1 / info.random_acc) == len(set(row["choices"]))
            assert row["context"]
            assert row["context"] == row["context"].strip()
            assert all(choice.startswith(SCRIPTS[script][1]) for choice in row["choices"])
            whole = row["context"] + row["choices"][row["gold"]]
            assert len(word_spans(whole)) <= 40
            assert any(whole in document for document in heldout)  # natural text, to the letter


def test_wrong_choices_are_not_in_the_text(english: tuple[Corpus, Path]) -> None:
    corpus, folder = english
    for name in task_names():
        for row in rows_of(folder, name):
            wrong = [row["context"] + choice for index, choice in enumerate(row["choices"]) if index != row["gold"]]
            assert not any(whole in document for whole in wrong for document in corpus.heldout), (name, row)


def test_gold_is_balanced(english: tuple[Corpus, Path]) -> None:
    for name, task in TASKS.items():
        counts = Counter(row["gold"] for row in rows_of(english[1], name))
        assert set(counts) == set(range(task.choices))
        assert max(counts.values()) - min(counts.values()) <= 1


def test_choices_are_alike(english: tuple[Corpus, Path]) -> None:
    """Neither the length of a choice nor its frequency in training tells the right one."""
    corpus, folder = english
    frequency = Counter(word for document in corpus.train for word in document.replace(".", "").split())
    for name, task in TASKS.items():
        rows = rows_of(folder, name)
        longest = sum(_wins(row, [len(choice) for choice in row["choices"]]) for row in rows) / len(rows)
        assert abs(longest - 1 / task.choices) < 3 * math.sqrt(0.25 / len(rows)), (name, longest)
        if name == "derived_last_word":
            counts = [[frequency[choice.strip()] for choice in row["choices"]] for row in rows]
            commonest = sum(_wins(row, values) for row, values in zip(rows, counts, strict=True)) / len(rows)
            assert abs(commonest - 0.25) < 3 * math.sqrt(0.1875 / len(rows))
            assert all(max(values) <= 2.5 * min(values) for values in counts)
        if name in ("derived_order", "derived_swap"):
            assert all(len(row["choices"][0]) == len(row["choices"][1]) for row in rows)
            assert all(Counter(row["choices"][0]) == Counter(row["choices"][1]) for row in rows)


def _wins(row: Document, values: list[int]) -> float:
    """The probability that guessing one of the largest values is right."""
    best = [index for index, value in enumerate(values) if value == max(values)]
    return (row["gold"] in best) / len(best)


def test_nothing_of_training_is_asked(tmp_path: Path) -> None:
    clean = corpus_of(n_heldout=100)
    shared = [" ".join(sentences(document)[:4]).upper() for document in clean.heldout]
    write_tasks(tmp_path, Corpus("made", clean.train + shared, clean.heldout, "", None), limit=1000)
    trained = {sentence.casefold() for document in shared for sentence in sentences(document)}
    for name in task_names():
        for row in rows_of(tmp_path, name):
            whole = (row["context"] + row["choices"][row["gold"]]).casefold()
            assert not any(sentence.rstrip(".") in whole for sentence in trained)


def test_a_long_sentence_of_training_is_not_asked_in_pieces(tmp_path: Path) -> None:
    clean = corpus_of(n_heldout=100)
    long = [document.replace(". ", " ") for document in text_of("latin", 60, 5)]
    write_tasks(tmp_path, Corpus("made", clean.train + long, clean.heldout + long, "", None), limit=1000)
    for name in task_names():
        for row in rows_of(tmp_path, name):
            assert not any(row["context"] + row["choices"][row["gold"]] in document for document in long)


def test_passages_of_a_task_do_not_overlap(english: tuple[Corpus, Path]) -> None:
    corpus, folder = english
    for name in task_names():
        taken: dict[int, list[tuple[int, int]]] = {}
        for row in rows_of(folder, name):
            whole = row["context"] + row["choices"][row["gold"]]
            number = next(index for index, document in enumerate(corpus.heldout) if whole in document)
            start = corpus.heldout[number].index(whole)
            taken.setdefault(number, []).append((start, start + len(whole)))
        for spans in taken.values():
            spans.sort()
            assert all(first[1] <= second[0] for first, second in itertools.pairwise(spans)), name


def test_distractors_of_a_continuation_come_from_other_documents(english: tuple[Corpus, Path]) -> None:
    corpus, folder = english
    for row in rows_of(folder, "derived_continuation"):
        whole = row["context"] + row["choices"][row["gold"]]
        own = next(document for document in corpus.heldout if whole in document)
        wrong = [choice for index, choice in enumerate(row["choices"]) if index != row["gold"]]
        assert not any(choice in own for choice in wrong)
        assert all(any(choice in document for document in corpus.heldout) for choice in wrong)
        assert {len(word_spans(choice)) for choice in row["choices"]} == {8}


def test_deterministic_and_seeded(english: tuple[Corpus, Path], tmp_path: Path) -> None:
    corpus, folder = english
    write_tasks(tmp_path / "again", corpus, limit=200)
    write_tasks(tmp_path / "other", corpus, limit=200, seed=1)
    for name in task_names():
        assert rows_of(tmp_path / "again", name) == rows_of(folder, name)
        assert rows_of(tmp_path / "other", name) != rows_of(folder, name)


def test_limit_and_names(tmp_path: Path) -> None:
    infos = write_tasks(tmp_path, corpus_of(), limit=7, names=["derived_order"])
    assert [(info.name, info.documents, info.random_acc) for info in infos] == [("derived_order", 7, 0.5)]
    assert {path.name for path in tmp_path.iterdir()} == {"derived_order.jsonl", "derived_order.yaml"}


@pytest.mark.slow
@pytest.mark.parametrize(("script", "most"), [("latin", 56), ("han", 20)])
def test_no_document_exceeds_the_tokens_of_a_sequence(script: str, most: int, tmp_path: Path) -> None:
    corpus = corpus_of(script, n_heldout=110)
    tokenizer = train(corpus.train, 400)
    write_tasks(tmp_path / "free", corpus, limit=1000)
    write_tasks(tmp_path / "bound", corpus, limit=1000, tokenizer=tokenizer, max_tokens=most)
    shortened = 0
    for name in task_names():
        free = {row["context"] for row in rows_of(tmp_path / "free", name)}
        for row in rows_of(tmp_path / "bound", name):
            assert max(len(tokenizer.encode(row["context"] + choice).ids) for choice in row["choices"]) < most
            assert row["context"]
            shortened += row["context"] not in free
            assert any(context.endswith(row["context"]) for context in free)
    assert shortened > 20


def test_too_little_text_says_how_much_it_takes(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"derived_\w+ needs 50 documents; made gives \d+, with [\d,]+ bytes") as caught:
        write_tasks(tmp_path, corpus_of(n_heldout=6), limit=100)
    assert "hold out about" in caught.value.hint
    assert not list(tmp_path.iterdir())


def test_text_without_sentences_is_said(tmp_path: Path) -> None:
    corpus = Corpus("lists", ["alpha beta"] * 9, ["alpha beta", "gamma", "", "...", "\n"] * 50, "", None)
    with pytest.raises(UserError, match="needs 50 documents; lists gives 0"):
        write_tasks(tmp_path, corpus, limit=100)


@pytest.mark.parametrize(("limit", "max_words", "names"), [(0, 48, None), (10, 8, None), (10, 48, ["derived_rhyme"])])
def test_wrong_arguments(tmp_path: Path, limit: int, max_words: int, names: list[str] | None) -> None:
    with pytest.raises(UserError):
        write_tasks(tmp_path, corpus_of(), limit=limit, max_words=max_words, names=names)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.text(alphabet="ab Cé猫ก.。!\n\u00a0\u2028'-3क़\r", max_size=200), max_size=8))
def test_any_text_gives_tasks_or_says_why_not(documents: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        corpus = Corpus("any", documents, [document + "a" for document in documents], "", None)
        for limit in (1, 60):
            try:
                write_tasks(Path(folder), corpus, limit=limit, max_words=32)
            except UserError as error:
                assert "needs" in error.message  # noqa: PT017
