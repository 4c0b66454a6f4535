"""The zero-shot tasks of the generated world, in the families of the original study's 27.

    infos = write_tasks(Path("tasks"), limit=500)

Each document is an item that the world makes with its switch `held_out` on, so its key sentence occurs in no training
text of any source, while the form of the question does. The choices are drawn before the right one among them is, so no
strategy that looks at the choices alone beats chance.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from benchsuite.errors import UserError
from benchsuite.pretrain.corpora.world import knowledge, language, people, recall, things
from benchsuite.pretrain.corpora.world.draw import Draw
from benchsuite.pretrain.corpora.world.item import Item, ItemMaker
from benchsuite.zeroshot.taskfiles import Document, TaskInfo, distinct_first, write_task

MAX_DOCUMENTS = 1000


@dataclass(frozen=True)
class _Task:
    make: ItemMaker
    family: str
    mirrors: tuple[str, ...]
    choices: int
    description: str


TASKS = {
    "last_word": _Task(
        people.last_word, "last-word cloze", ("lambada",), 4, "the last word of a story, settled by its beginning"
    ),
    "story_end": _Task(
        people.story_end, "story completion", ("hellaswag", "copa"), 4, "what a person does about their need"
    ),
    "physical": _Task(
        things.physical, "physical choice", ("piqa", "prost"), 2, "what happens to a thing made of a material"
    ),
    "pronoun": _Task(
        language.pronoun, "pronoun resolution", ("winogrande", "wsc", "wnli"), 4, "which of two things `it` means"
    ),
    "entailment": _Task(
        language.entailment, "entailment", ("rte", "qnli"), 4, "what follows from a sentence with a narrower word"
    ),
    "paraphrase": _Task(language.paraphrase, "paraphrase", ("mrpc", "qqp"), 2, "the same event from the other side"),
    "reading": _Task(
        people.reading, "reading", ("boolq", "race", "multirc"), 4, "a question about a passage, in other words"
    ),
    "science": _Task(
        knowledge.science,
        "science facts",
        ("sciq", "arc_easy", "arc_challenge", "openbookqa"),
        4,
        "a property of an animal that follows from its class",
    ),
    "closed_book": _Task(
        knowledge.closed_book,
        "closed-book questions",
        ("triviaqa", "webqs", "headqa_en"),
        4,
        "a fact that training tells in other words and never asks for",
    ),
    "sentiment": _Task(things.sentiment, "sentiment", ("sst",), 2, "the sum of three opinions"),
    "word_sense": _Task(language.word_sense, "word in context", ("wic",), 2, "which sense a word has here"),
    "arithmetic": _Task(things.arithmetic, "arithmetic", ("mathqa",), 4, "story problems: one more, one less"),
    "agreement": _Task(language.agreement, "agreement", (), 2, "the verb's number across another noun"),
    "recall_near": _Task(recall.near, "recall", (), 4, "a word said some 10 to 60 tokens before"),
    "recall_far": _Task(recall.far, "recall", (), 4, "a word said some 65 to 110 tokens before"),
}


def task_names() -> list[str]:
    return list(TASKS)


def items(name: str, *, limit: int, seed: int = 0) -> list[Item]:
    """The first `limit` documents of a task, all different, of as many questions (`Item.key`) as can be.

    Raises UserError for an unknown name, or for a limit that is not from 1 to MAX_DOCUMENTS.
    """
    if not 1 <= limit <= MAX_DOCUMENTS:
        raise UserError(f"a task has 1 to {MAX_DOCUMENTS} documents, not {limit}")
    found = _different(name, Draw("task", name, seed), MAX_DOCUMENTS, held_out=True)
    if len(found) < MAX_DOCUMENTS:
        raise ValueError(f"task {name} has only {len(found)} different documents")
    return distinct_first(found, lambda item: item.key)[:limit]


def training_items(name: str, *, limit: int, seed: int = 0) -> list[Item]:
    """At most `limit` items in a task's form whose key sentences training may contain, all different: no document of
    the task, nor of another, asks for one of them. Raises UserError for an unknown name."""
    return _different(name, Draw("training", name, seed), limit, held_out=False)


def _different(name: str, draw: Draw, limit: int, *, held_out: bool) -> list[Item]:
    if name not in TASKS:
        raise UserError(f"unknown task {name!r}", hint=f"choose from: {', '.join(TASKS)}")
    found: dict[tuple[str, tuple[str, ...]], Item] = {}
    for _ in range(20 * limit):
        if len(found) == limit:
            break
        item = TASKS[name].make(draw, held_out)
        found.setdefault((item.context, tuple(sorted(item.choices))), item)
    return list(found.values())


def write_tasks(folder: Path, *, limit: int, seed: int = 0) -> list[TaskInfo]:
    """Write all tasks into `folder`, each with `limit` documents (1 to 1000), and return what they are."""
    infos = []
    for name, task in TASKS.items():
        rows = [
            Document(context=item.context, choices=list(item.choices), gold=item.gold, question=item.key)
            for item in items(name, limit=limit, seed=seed)
        ]
        questions = len({row["question"] for row in rows})
        about = (task.family, task.mirrors, 1 / task.choices, len(rows), task.description, questions)
        infos.append(TaskInfo(name, *about))
        write_task(folder, infos[-1], rows)
    return infos
