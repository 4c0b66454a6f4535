"""The tasks about facts: the same question in every language, without cues in the choices."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from benchsuite.errors import UserError
from benchsuite.pretrain.corpora import facts
from benchsuite.zeroshot import fact_tasks
from benchsuite.zeroshot.taskfiles import read_tasks


def test_there_is_a_task_for_each_language(tmp_path: Path) -> None:
    infos = fact_tasks.write_tasks(tmp_path, list(facts.LANGUAGES), limit=40)
    assert [info.name for info in infos] == [f"facts_{code}" for code in facts.LANGUAGES]
    assert sorted(infos, key=lambda info: info.name) == read_tasks(tmp_path)
    assert [info.name for info in fact_tasks.described()] == [info.name for info in infos]
    lines = {info.name: (tmp_path / f"{info.name}.jsonl").read_text(encoding="utf-8").splitlines() for info in infos}
    rows = {name: [json.loads(line) for line in found] for name, found in lines.items()}
    for name, found in rows.items():
        assert [row["gold"] for row in found] == [row["gold"] for row in rows["facts_en"]], name
        assert all(len(set(row["choices"])) == 4 for row in found), name
    assert len({json.dumps(found) for found in rows.values()}) == 11


def test_lm_eval_loads_them(tmp_path: Path) -> None:
    from lm_eval.tasks import TaskManager

    fact_tasks.write_tasks(tmp_path, ["hi"], limit=12)
    loaded = TaskManager(include_path=str(tmp_path), include_defaults=False).load(["facts_hi"])["tasks"]["facts_hi"]
    doc = next(iter(loaded.test_docs()))
    item = fact_tasks.questions(limit=12)[0].item("hi")
    assert (loaded.doc_to_text(doc), loaded.doc_to_choice(doc)) == (item.context, list(item.choices))
    assert loaded.doc_to_target(doc) == item.gold


@pytest.mark.slow
@pytest.mark.parametrize("code", list(facts.LANGUAGES))
def test_the_choices_alone_tell_nothing(code: str) -> None:
    """Position, length and frequency of the right choice, in training and in the task: all at chance."""
    questions = fact_tasks.questions(limit=1000)
    rows = [question.item(code) for question in questions]
    text = "\n".join(facts.documents(code, seed=0, n_bytes=300_000))
    frequency = {c: text.count(c.strip(" .。।")) for item in rows for c in item.choices}
    golds = Counter(item.choices[item.gold] for item in rows[::2])
    strategies = {f"position {i}": [i] * 1000 for i in range(4)}
    scores = {"frequent": frequency, "usual": golds, "long": {c: len(c) for c in frequency}}
    for what, table in scores.items():
        counts = [[table[choice] for choice in item.choices] for item in rows]
        strategies[f"most {what}"] = [row.index(max(row)) for row in counts]
        strategies[f"least {what}"] = [row.index(min(row)) for row in counts]
    for strategy, picks in strategies.items():
        hits = [pick == item.gold for pick, item in zip(picks, rows, strict=True)]
        hits = hits[1::2] if "usual" in strategy else hits  # the others it was counted on
        assert abs(sum(hits) / len(hits) - 0.25) < 4.5 * (0.25 * 0.75 / len(hits)) ** 0.5, strategy


def test_questions_are_different_and_of_all_kinds() -> None:
    questions = fact_tasks.questions(limit=1000)
    assert len({(question.subject, frozenset(question.choices)) for question in questions}) == 1000
    kinds = Counter(question.kind for question in questions)
    assert set(kinds) == {"currency", "language", "weekday", "month"}
    assert min(kinds.values()) > 120
    asked = [(question.kind, question.subject) for question in questions]
    assert len(set(asked[:300])) == 300 < len(set(asked)) < 1000
    assert fact_tasks.questions(limit=50) == questions[:50]
    assert fact_tasks.questions(limit=50, seed=1) != questions[:50]


def test_wrong_requests_are_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no facts in 'xx'"):
        fact_tasks.write_tasks(tmp_path, ["xx"], limit=5)
    for limit in (0, 1001):
        with pytest.raises(UserError, match="1 to 1000"):
            fact_tasks.questions(limit=limit)
