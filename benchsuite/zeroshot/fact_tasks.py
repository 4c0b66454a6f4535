"""One zero-shot task for each language, about facts: document n asks the same in all of them.

    infos = write_tasks(Path("tasks"), ["en", "eu"], limit=300)

What is asked is held out by construction in every language at once (`corpora.facts.items`), and the choices are drawn
before the right one among them is, so that the choices alone tell nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from babel import Locale

from benchsuite.errors import UserError
from benchsuite.pretrain.corpora.facts import LANGUAGES, items
from benchsuite.pretrain.corpora.world.draw import Draw
from benchsuite.zeroshot import taskfiles
from benchsuite.zeroshot.taskfiles import Document, TaskInfo, write_task

MAX_DOCUMENTS = 1000


def task_name(language: str) -> str:
    """Return what the task of a language is called; "_en" at its end says the language, as in derived tasks."""
    return f"facts_{language}"


def questions(*, limit: int, seed: int = 0) -> list[items.Asked]:
    """The first `limit` questions, all different: a third each about territories, months and days of the week. Those
    about the same subject, with other choices, come after one of each. Raises UserError for a limit that is not from 1
    to MAX_DOCUMENTS."""
    if not 1 <= limit <= MAX_DOCUMENTS:
        raise UserError(f"a task has 1 to {MAX_DOCUMENTS} documents, not {limit}")
    draw = Draw("task", "facts", seed)
    found: dict[tuple[str, frozenset[str]], items.Asked] = {}
    while len(found) < MAX_DOCUMENTS:
        asked = items.ask(draw, True)
        found.setdefault((asked.subject, frozenset(asked.choices)), asked)
    return taskfiles.distinct_first(list(found.values()), lambda asked: (asked.kind, asked.subject))[:limit]


def described() -> list[TaskInfo]:
    """The tasks of all languages, with no documents yet."""
    return [_info(language, 0, 0) for language in LANGUAGES]


def write_tasks(folder: Path, languages: Sequence[str], *, limit: int, seed: int = 0) -> list[TaskInfo]:
    """Write the tasks of `languages` into `folder`, each with `limit` documents (1 to 1000)."""
    infos = []
    for language in languages:
        if language not in LANGUAGES:
            raise UserError(f"there are no facts in {language!r}", hint=f"choose from: {', '.join(LANGUAGES)}")
        rows = []
        for asked in questions(limit=limit, seed=seed):
            item, question = asked.item(language), f"{asked.kind} {asked.subject}"
            rows.append(Document(context=item.context, choices=list(item.choices), gold=item.gold, question=question))
        infos.append(_info(language, len(rows), len({row["question"] for row in rows})))
        write_task(folder, infos[-1], rows)
    return infos


def _info(language: str, documents: int, questions: int) -> TaskInfo:
    what = f"currencies, languages, months and days of the week in {Locale(language).get_display_name('en')}"
    return TaskInfo(task_name(language), "facts", (), 1 / items.CHOICES, documents, what, questions)
