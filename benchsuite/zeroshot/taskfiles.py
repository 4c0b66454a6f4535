"""Zero-shot tasks as files: for each one a YAML that lm-eval reads and a JSON-lines file with its documents.

A folder of tasks works with lm-eval's own command line (`lm_eval --include_path FOLDER --tasks NAME`) as with ours.
A document is one line, {"context": str, "choices": [str, ...], "gold": int, "question": str}; `context + choices[gold]`
is natural text. Documents with the same `question` ask the same in other surroundings: they are one observation.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from benchsuite import files
from benchsuite.errors import UserError

T = TypeVar("T")
VERSION = 2.0  # of the tasks, as lm-eval and the ids of cases have it: raised when a name begins to mean another task


class Document(TypedDict):
    """A question: which of `choices` continues `context`? `gold` is the index of the right one, `question` names what
    is asked."""

    context: str
    choices: list[str]
    gold: int
    question: str


@dataclass(frozen=True)
class TaskInfo:
    """A task. `mirrors`: the tasks of the original study that it stands for; `random_acc`: what guessing gets;
    `questions`: how many of the documents ask something different."""

    name: str
    family: str
    mirrors: tuple[str, ...]
    random_acc: float
    documents: int
    description: str
    questions: int


class _Metadata(BaseModel):
    """The part of a task's YAML that `read_tasks` needs."""

    model_config = ConfigDict(extra="forbid")
    version: float
    family: str
    mirrors: tuple[str, ...]
    random_acc: float
    documents: int
    description: str
    questions: int


def write_task(folder: Path, info: TaskInfo, rows: Sequence[Document], *, acc_norm: bool = False) -> None:
    """Write `<name>.jsonl` and `<name>.yaml` into `folder`; the YAML names the documents by their absolute path.

    acc_norm: also report accuracy after division by the choices' length in bytes; for choices of unequal length.
    Raises UserError where one of the two is a link, ValueError where `rows` have not the numbers of documents and
    questions in `info`, or a gold index points to no choice.
    """
    if len(rows) != info.documents:
        raise ValueError(f"task {info.name} announces {info.documents} documents but has {len(rows)}")
    if (questions := len({row["question"] for row in rows})) != info.questions:
        raise ValueError(f"task {info.name} announces {info.questions} questions but has {questions}")
    for row in rows:
        if not 0 <= row["gold"] < len(row["choices"]):
            raise ValueError(f"task {info.name}: no choice {row['gold']} in {row}")
    folder = files.real(folder)
    files.make(folder)
    data = folder / f"{info.name}.jsonl"
    files.write(data, "".join([json.dumps(row, ensure_ascii=False) + "\n" for row in rows]))
    text = yaml.safe_dump(_config(info, data, acc_norm), sort_keys=False, allow_unicode=True)
    files.write(folder / f"{info.name}.yaml", text)


def _config(info: TaskInfo, data: Path, acc_norm: bool) -> dict[str, Any]:
    metrics = ("acc", "acc_norm") if acc_norm else ("acc",)
    return {
        "task": info.name,
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(data)}},
        "output_type": "multiple_choice",
        "test_split": "test",
        "doc_to_text": "context",
        "doc_to_choice": "choices",
        "doc_to_target": "gold",
        "target_delimiter": "",
        "metric_list": [{"metric": m, "aggregation": "mean", "higher_is_better": True} for m in metrics],
        "metadata": {
            "version": VERSION,
            "family": info.family,
            "mirrors": list(info.mirrors),
            "random_acc": info.random_acc,
            "documents": info.documents,
            "description": info.description,
            "questions": info.questions,
        },
    }


def distinct_first(found: Sequence[T], question: Callable[[T], Hashable]) -> list[T]:
    """`found` with one of every question first, then a second of each, and so on; otherwise in the order given."""
    asked: Counter[Hashable] = Counter()
    times = []
    for one in found:
        times.append(asked[question(one)])
        asked[question(one)] += 1
    return [found[i] for i in sorted(range(len(found)), key=times.__getitem__)]


def read_tasks(folder: Path) -> list[TaskInfo]:
    """The tasks in `folder`, by name. Raises UserError for a folder without tasks, and for a YAML that is not one."""
    infos = []
    for path in sorted(folder.glob("*.yaml")):
        try:
            config = yaml.safe_load(path.read_text(encoding="utf-8"))
            name = str(config["task"])
            metadata = _Metadata.model_validate(config["metadata"])
        except (yaml.YAMLError, UnicodeDecodeError, KeyError, TypeError, ValidationError) as error:
            raise UserError(
                f"{path} is not a task of this project: {error}", hint="write the folder again with write_tasks"
            ) from error
        infos.append(TaskInfo(name, **metadata.model_dump(exclude={"version"})))
    if not infos:
        raise UserError(f"no tasks in {folder}", hint="write some with write_tasks")
    return infos
