"""Zero-shot results of one model: lm-eval runs the tasks with our `LM`; what counts is the outcome of every document.

results = evaluate(model, tokenizer, folder)          # {"last_word": TaskResult(acc=0.41, ...), ...}
bits, lengths = bits_per_byte(model, tokenizer, heldout_documents)
"""

from __future__ import annotations

import contextlib
import json
import logging
import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import lm_eval.api.task
from lm_eval.api.model import LM
from lm_eval.api.task import ConfigurableTask
from lm_eval.evaluator import evaluate as lm_eval_evaluate
from lm_eval.tasks import TaskManager
from lm_eval.tasks._index import Entry
from tokenizers import Tokenizer

from benchsuite.errors import UserError, did_you_mean
from benchsuite.model.gpt import GPT
from benchsuite.zeroshot.graded import Graded, graded
from benchsuite.zeroshot.lm import BenchsuiteLM


@dataclass(frozen=True)
class TaskResult:
    """A model's results on the `n` documents of a task. `outcomes` has one character a document, in order: 1 right, 0
    wrong.

    `random_acc` is what guessing gets on these documents: the mean of 1 / number of choices. `graded` is None for a
    task with documents of several right choices. `questions` has a number for each document, the same for documents
    that ask the same in other surroundings, which are one observation; None where each asks something of its own.
    `version` is the task's.
    """

    name: str
    acc: float
    n: int
    random_acc: float
    outcomes: str
    graded: Graded | None = None
    questions: list[str] | None = None
    version: str | None = None


class LocalTask(ConfigurableTask):
    """An ordinary lm-eval task whose JSON-lines files are read straight into memory.

    Through `datasets.load_dataset` each file would first be converted and cached on disk, and a template like
    `{{choices}}` is compiled again for each use of each document; both take longer than a small model needs for the
    whole task. Documents, requests and results are the same.
    """

    def __init__(self, config: dict[str, Any]) -> None:
        config = {key: value for key, value in config.items() if key != "class"}
        for key in ("doc_to_text", "doc_to_choice", "doc_to_target"):
            if isinstance(template := config.get(key), str) and (field := re.fullmatch(r"{{\s*(\w+)\s*}}", template)):
                config[key] = field[1]  # lm-eval takes a bare name for the field of that name
        super().__init__(config=config)

    @staticmethod
    def fits(entry: Entry) -> bool:
        """Return whether a task is plain YAML over JSON-lines files; one with Python in it is left to lm-eval's
        loader."""
        config = entry.cfg or {}
        return (
            entry.yaml_path is not None
            and "!function" not in entry.yaml_path.read_text(encoding="utf-8")
            and config.get("dataset_path") == "json"
            and isinstance((config.get("dataset_kwargs") or {}).get("data_files"), dict)
        )

    def download(self, dataset_kwargs: dict[str, Any] | None = None, **kwargs: Any) -> None:
        files = self.config.dataset_kwargs["data_files"]
        self.dataset = {split: _read_documents(Path(file)) for split, file in files.items()}


def evaluate(
    model: GPT,
    tokenizer: Tokenizer,
    tasks_folder: Path,
    *,
    names: Sequence[str] | None = None,
    batch_tokens: int | None = None,
    limit: int | None = None,
    progress: Callable[[float], None] | None = None,
) -> dict[str, TaskResult]:
    """Run the multiple-choice tasks in `tasks_folder` (all, or `names` of them), at most `limit` documents each.

    Works on the model's device, reads local files only, and is quiet; `progress` is called with the fraction done.
    `batch_tokens` moves speed and memory, never a result. Raises UserError for a folder without tasks, an unknown
    name and documents that cannot be read.
    """
    lm = BenchsuiteLM(model, tokenizer, batch_tokens=batch_tokens, progress=progress)
    with quiet():
        return run(lm, load_tasks(tasks_folder, names), limit=limit)


def load_tasks(folder: Path, names: Sequence[str] | None = None) -> dict[str, ConfigurableTask]:
    """The lm-eval tasks in `folder` by name, with their documents in memory. Raises UserError as `evaluate` does."""
    manager = TaskManager(include_path=str(folder), include_defaults=False)
    for name in names or ():
        if name not in manager.all_subtasks:
            raise UserError(f"no task {name!r} in {folder}", hint=did_you_mean(name, manager.all_subtasks))
    chosen = list(names or manager.all_subtasks)
    if not chosen:
        raise UserError(f"no tasks in {folder}", hint="it should hold lm-eval task files (*.yaml)")
    entries = {name: manager.task_index[name] for name in chosen}
    specs = [
        {**(entry.cfg or {}), "class": LocalTask} if LocalTask.fits(entry) else name for name, entry in entries.items()
    ]
    return manager.load(specs)["tasks"]


def run(lm: LM, tasks: dict[str, ConfigurableTask], *, limit: int | None = None) -> dict[str, TaskResult]:
    """Evaluate any lm-eval model on loaded tasks.

    This is lm-eval's `evaluate`, the part of `simple_evaluate` that runs tasks; the rest of it resolves names to models
    and describes the environment, for which it starts a dozen programs.
    """
    results = lm_eval_evaluate(lm, {"tasks": tasks, "groups": {}}, limit=limit, bootstrap_iters=0)
    if results is None:
        raise RuntimeError("lm-eval returned nothing; this process is not rank 0 of its group")
    return {name: _result(name, tasks[name], samples) for name, samples in results["samples"].items()}


def _result(name: str, task: ConfigurableTask, samples: list[dict[str, Any]]) -> TaskResult:
    samples = sorted(samples, key=lambda sample: sample["doc_id"])
    if not samples or "acc" not in samples[0]:
        raise UserError(
            f"task {name} reports no accuracy", hint="give it output_type multiple_choice and the metric acc"
        )
    right = [sample["acc"] == 1.0 for sample in samples]
    guess = math.fsum(1 / len(task.doc_to_choice(sample["doc"])) for sample in samples) / len(samples)
    return TaskResult(
        name=name,
        acc=sum(right) / len(right),
        n=len(right),
        random_acc=guess,
        outcomes="".join("01"[hit] for hit in right),
        graded=graded(task, samples),
        questions=_questions([sample["doc"].get("question") for sample in samples]),
        version=None if task.VERSION in (None, "Yaml") else str(task.VERSION),
    )


def _questions(names: Sequence[Any]) -> list[str] | None:
    """Numbers for the names of questions, in the order in which they occur."""
    numbers = {name: f"{number}" for number, name in enumerate(dict.fromkeys(map(str, names)))}
    if None in names or len(numbers) == len(names):
        return None
    return [numbers[str(name)] for name in names]


def bits_per_byte(
    model: GPT,
    tokenizer: Tokenizer,
    documents: Sequence[str],
    *,
    batch_tokens: int | None = None,
    progress: Callable[[float], None] | None = None,
) -> tuple[list[float], list[int]]:
    """The bits that `model` needs for each document, and its length in bytes of UTF-8.

    The quotient of the two sums is the bits per byte of the text. Each document starts from the end-of-text token and
    is predicted in windows of the training length, whatever the position scheme: lm-eval's rolling log-likelihood, in
    which each token is predicted once and the last window reaches back to be full.
    """
    nats = BenchsuiteLM(model, tokenizer, batch_tokens=batch_tokens, progress=progress).rolling(documents)
    return [-value / math.log(2) for value in nats], [len(document.encode()) for document in documents]


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence lm-eval's log (errors pass) and its progress bars, for as long as the block runs."""
    logger = logging.getLogger("lm_eval")
    level, bar = logger.level, lm_eval.api.task.tqdm
    logger.setLevel(logging.ERROR)
    lm_eval.api.task.tqdm = partial(bar, disable=True)  # it has no switch for this bar
    try:
        yield
    finally:
        logger.setLevel(level)
        lm_eval.api.task.tqdm = bar


class Documents(list[dict[str, Any]]):
    """The documents of one split, with as much of a `datasets.Dataset` as lm-eval asks of one."""

    @property
    def features(self) -> dict[str, None]:
        """The names of the fields."""
        return dict.fromkeys(self[0])


def _read_documents(path: Path) -> Documents:
    """One document a line. Raises UserError with the line where one is no JSON object with the first one's fields."""
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except FileNotFoundError as error:
        raise UserError(f"the documents {path} are missing", hint="write the tasks again") from error
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"the documents {path} cannot be read: {error}", hint="write the tasks again") from error
    documents = Documents()
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            document = json.loads(line)
        except ValueError as error:
            raise UserError(f"{path}, line {number}: {error}", hint="each line is a JSON object") from error
        if not isinstance(document, dict) or (documents and document.keys() != documents[0].keys()):
            raise UserError(f"{path}, line {number} is no document like the first", hint="each line is a JSON object")
        documents.append(document)
    if not documents:
        raise UserError(f"the documents {path} are none: the file is empty", hint="write the tasks again")
    return documents
