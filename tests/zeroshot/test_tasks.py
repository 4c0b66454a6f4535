"""The world's tasks: held out, without cues in the choices, readable by lm-eval as they stand."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import pytest
import yaml

from benchsuite.errors import UserError
from benchsuite.pretrain import tokenizer
from benchsuite.pretrain.corpora import world
from benchsuite.pretrain.corpora.world.item import Item
from benchsuite.pretrain.corpora.world.lexicon import NAMES
from benchsuite.zeroshot import tasks
from benchsuite.zeroshot.taskfiles import Document, TaskInfo, read_tasks, write_task

TRAIN_BYTES = 3_000_000


@pytest.fixture(scope="module")
def corpora() -> dict[str, str]:
    return {source: "\n".join(world.documents(source, seed=0, n_bytes=TRAIN_BYTES)) for source in world.SOURCES}


@pytest.fixture(scope="module")
def all_items() -> dict[str, list[Item]]:
    return {name: tasks.items(name, limit=tasks.MAX_DOCUMENTS) for name in tasks.task_names()}


def test_there_are_tasks_of_all_the_families() -> None:
    assert len(tasks.task_names()) >= 13
    assert len({task.family for task in tasks.TASKS.values()}) >= 13
    mirrored = {original for task in tasks.TASKS.values() for original in task.mirrors}
    assert {"lambada", "hellaswag", "piqa", "winogrande", "wsc", "rte", "mrpc", "boolq", "sciq", "triviaqa"} <= mirrored
    assert {"sst", "wic", "mathqa", "qnli", "qqp", "race", "multirc", "arc_easy", "webqs"} <= mirrored


def _forms(keys: set[str]) -> list[re.Pattern[str]]:
    """What the keys look like with any words in the places where they differ from one another."""
    groups: dict[tuple[str, ...], list[list[str]]] = {}
    for key in keys:
        parts = re.split(r"(\W+)", key)
        groups.setdefault(tuple(parts[1::2]), []).append(parts[::2])
    forms = []
    for gaps, rows in groups.items():
        pattern = ""
        for column, gap in zip(zip(*rows, strict=True), (*gaps, ""), strict=True):
            words = sorted(set(column))
            pattern += (f"(?:{'|'.join(words)})" if len(words) <= 3 else r"\w+") + re.escape(gap)
        forms.append(re.compile(rf"\b(?=({pattern}))"))
    return forms


@pytest.mark.slow
@pytest.mark.parametrize("name", tasks.task_names())
def test_no_key_occurs_in_training_while_its_form_does(
    name: str, corpora: dict[str, str], all_items: dict[str, list[Item]]
) -> None:
    """Every document has a key sentence, its filled template. What has the form of one in the text of any source is
    never a key; and there is a lot that has the form, so that the search would have found it."""
    keys = {item.key for item in all_items[name]}
    assert all(item.key in item.text for item in all_items[name])
    for source, text in corpora.items():
        found = {match.group(1) for form in _forms(keys) for match in form.finditer(text)}
        assert len(found) >= (40 if name != "closed_book" else 20), source
        assert not found & keys, (source, sorted(found & keys)[:3])


def test_the_search_finds_what_is_there(all_items: dict[str, list[Item]]) -> None:
    for name, items in all_items.items():
        text = " ".join(item.text for item in items[:200])
        found = {match.group(1) for form in _forms({i.key for i in items}) for match in form.finditer(text)}
        assert {item.key for item in items[:200]} <= found, name


@pytest.mark.slow
def test_no_whole_document_occurs_in_training(corpora: dict[str, str], all_items: dict[str, list[Item]]) -> None:
    for items in all_items.values():
        for item in items[:100]:
            assert all(item.text not in text for text in corpora.values())


@pytest.mark.parametrize("name", tasks.task_names())
def test_every_answer_is_trained_in_its_place(name: str, corpora: dict[str, str]) -> None:
    """The end of the context with the answer occurs in training, or with another name; else at least the answer."""
    text = re.sub("|".join(NAMES), "Tom", corpora["curated"])
    for item in tasks.items(name, limit=30):
        end = (
            item.choices[item.gold]
            if name in ("agreement", "science", "closed_book")
            else item.text[len(item.context) - 4 :]
        )
        assert re.sub("|".join(NAMES), "Tom", end) in text or name == "paraphrase", end


@pytest.mark.slow
@pytest.mark.parametrize("name", tasks.task_names())
@pytest.mark.parametrize("limit", [300, tasks.MAX_DOCUMENTS])
def test_the_choices_alone_tell_nothing(
    name: str, limit: int, corpora: dict[str, str], all_items: dict[str, list[Item]]
) -> None:
    """Position of the gold choice, the most and least frequent choice in training, and in the task: all at chance."""
    items, random_acc = all_items[name][:limit], 1 / tasks.TASKS[name].choices
    text = corpora["curated"]
    words = Counter(text.replace(".", " .").split())
    frequency = {c: min(words[w] for w in c.strip(" .").split()) for item in items for c in item.choices}
    golds = Counter(item.choices[item.gold] for item in items[::2] if name != "paraphrase")  # there all are different
    strategies = {f"position {i}": [i] * len(items) for i in range(tasks.TASKS[name].choices)}
    for what, table in (("frequent", frequency), ("usual gold", golds)):
        counts = [[table[choice] for choice in item.choices] for item in items]
        strategies[f"most {what}"] = [row.index(max(row)) for row in counts]
        strategies[f"least {what}"] = [row.index(min(row)) for row in counts]
    strategies["longest"] = [max(range(len(i.choices)), key=lambda k: len(i.choices[k])) for i in items]
    margin = 4.5 * (random_acc * (1 - random_acc) / len(items)) ** 0.5  # of some 240 comparisons none goes beyond this
    for strategy, picks in strategies.items():
        acc = sum(pick == item.gold for pick, item in zip(picks, items, strict=True)) / len(items)
        assert abs(acc - random_acc) < margin, (strategy, acc)


@pytest.mark.parametrize("name", tasks.task_names())
def test_documents_are_different_and_well_formed(name: str, all_items: dict[str, list[Item]]) -> None:
    items = all_items[name]
    assert len({(item.context, tuple(sorted(item.choices))) for item in items}) == tasks.MAX_DOCUMENTS
    for item in items:
        assert len(item.choices) == len(set(item.choices)) == tasks.TASKS[name].choices
        assert all(choice[0] == " " and choice[-1] == "." for choice in item.choices)
        assert not item.context.endswith(" ")
        assert "  " not in item.text


@pytest.mark.parametrize("name", tasks.task_names())
def test_at_least_200_questions_are_asked_and_each_once_before_any_twice(
    name: str, all_items: dict[str, list[Item]]
) -> None:
    """But of facts: the world has 20 properties and 32 attributes of which training is silent or never asks."""
    keys = [item.key for item in all_items[name]]
    distinct = len(set(keys))
    assert distinct >= {"science": 20, "closed_book": 32}.get(name, 200)
    assert len(set(keys[:distinct])) == distinct


def test_recall_reaches_near_and_far(all_items: dict[str, list[Item]]) -> None:
    """Distances in words and punctuation marks; most are one token."""
    for name, low, high in (("recall_near", 8, 75), ("recall_far", 61, 110)):
        for item in all_items[name]:
            value = item.choices[item.gold].strip(" .")
            after = item.context.split(f" {value}. ", 1)[1]
            assert low <= len(re.findall(r"\w+|[.,?]", after)) <= high
            for choice in item.choices:  # no other choice is mentioned
                assert (f"{choice[:-1]}." in item.context) == (choice == item.choices[item.gold])


def test_all_documents_fit_into_the_training_length_of_quick(all_items: dict[str, list[Item]]) -> None:
    """In tokens of its tokenizer, with the one that stands before each document."""
    text = [text for source in world.SOURCES for text in world.documents(source, seed=0, n_bytes=2_000_000 // 3)]
    vocabulary = tokenizer.train(text, 1024)
    for name, items in all_items.items():
        longest = max(len(vocabulary.encode(item.context + choice).ids) for item in items for choice in item.choices)
        assert longest + 1 <= 128, (name, longest)


def test_seeds_give_other_documents_and_a_prefix_stays() -> None:
    first = tasks.items("reading", limit=100)
    assert tasks.items("reading", limit=40) == first[:40]
    assert tasks.items("reading", limit=100, seed=1) != first


def test_arithmetic_is_right_and_the_held_out_sums_are_told_otherwise(all_items: dict[str, list[Item]]) -> None:
    numbers = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
    for item in all_items["arithmetic"]:
        words = item.context.split()
        n = numbers.index(words[2])
        assert item.choices[item.gold] == f" {numbers[n + (1 if 'found another' in item.context else -1)]}."
        assert words[0] in NAMES


@pytest.mark.parametrize(("name", "limit"), [("nothing", 10), ("reading", 0), ("reading", 1001)])
def test_wrong_requests_are_told(name: str, limit: int) -> None:
    with pytest.raises(UserError):
        tasks.items(name, limit=limit)


# ---- files


def test_write_and_read(tmp_path: Path) -> None:
    infos = tasks.write_tasks(tmp_path, limit=20)
    assert [info.name for info in infos] == tasks.task_names()
    assert sorted(read_tasks(tmp_path), key=lambda info: info.name) == sorted(infos, key=lambda info: info.name)
    for info in infos:
        assert info.documents == 20
        rows = [json.loads(line) for line in (tmp_path / f"{info.name}.jsonl").read_text().splitlines()]
        assert len(rows) == 20
        assert all(set(row) == {"context", "choices", "gold", "question"} for row in rows)
        assert info.questions == len({row["question"] for row in rows})
        assert info.questions == 20
        assert info.random_acc == 1 / len(rows[0]["choices"])


def test_lm_eval_loads_them(tmp_path: Path) -> None:
    from lm_eval.tasks import TaskManager

    tasks.write_tasks(tmp_path, limit=12)
    manager = TaskManager(include_path=str(tmp_path), include_defaults=False)
    assert set(tasks.task_names()) <= set(manager.all_tasks)
    loaded = manager.load(["reading"])["tasks"]["reading"]
    docs = list(loaded.test_docs())
    item = tasks.items("reading", limit=12)[0]
    assert loaded.doc_to_text(docs[0]) == item.context
    assert loaded.doc_to_choice(docs[0]) == list(item.choices)
    assert loaded.doc_to_target(docs[0]) == item.gold
    assert loaded.config.target_delimiter == ""


def _info(documents: int = 1, questions: int = 1) -> TaskInfo:
    return TaskInfo("one", "family", ("a", "b"), 0.5, documents, "says: {something} 'quoted' # and odd", questions)


def test_a_task_with_odd_text_survives(tmp_path: Path) -> None:
    row = Document(context='Ö "{{x}}"\nnew: line', choices=[" ja", " né"], gold=1, question="ö?")
    write_task(tmp_path, _info(), [row], acc_norm=True)
    assert read_tasks(tmp_path) == [_info()]
    assert json.loads((tmp_path / "one.jsonl").read_text(encoding="utf-8")) == row
    config = yaml.safe_load((tmp_path / "one.yaml").read_text(encoding="utf-8"))
    assert [m["metric"] for m in config["metric_list"]] == ["acc", "acc_norm"]


def test_wrong_rows_are_refused(tmp_path: Path) -> None:
    row = Document(context="c", choices=[" a", " b"], gold=2, question="c")
    with pytest.raises(ValueError, match="no choice 2"):
        write_task(tmp_path, _info(), [row])
    with pytest.raises(ValueError, match="announces 2 questions but has 1"):
        write_task(tmp_path, _info(1, 2), [row])
    with pytest.raises(ValueError, match="announces 2"):
        write_task(tmp_path, _info(2), [row])


@pytest.mark.parametrize("text", ["", "task: x\n", "task: x\nmetadata: {version: 1}\n", "a: [", "- 1\n"])
def test_files_that_are_not_tasks_are_told(tmp_path: Path, text: str) -> None:
    (tmp_path / "bad.yaml").write_text(text)
    with pytest.raises(UserError, match=r"bad\.yaml"):
        read_tasks(tmp_path)


def test_an_empty_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no tasks"):
        read_tasks(tmp_path)
