"""The tasks that can tell models of this budget apart, and those that are in the index, the mean that reports lead
with.

The index is chosen from the baseline's models alone, by a rule that was fixed before any variant was trained
(`RULE`), so that no variant chooses the tasks on which it is judged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from scipy.special import ndtr

from benchsuite.records.load import Run
from benchsuite.records.results import QualityResult, TaskScore

Fields = dict[str, Any]
Score = Callable[[TaskScore], float | None]

STANDARD_ERRORS = 3.0
SATURATED = 0.95
RULE = (
    "A task is in the index unless the baseline's own models are at chance on it at every budget of their learning "
    "curve (their mean accuracy is within 3 standard errors of guessing, over questions), saturated (95% or more in "
    "most seeds), or bimodal (one seed within 3 standard errors of guessing, another beyond the middle between "
    "guessing and 100%). Variants have no part in the choice. Where no task is left, all are in the index."
)


def told(run: Run) -> list[Fields]:
    """Return the resolving power of each task of a run, one entry a task.

    `questions`: distinct ones; `chance`, `ceiling`: what guessing and a perfect reader get; `acc`, `probability`,
    `bits_per_byte`, `margin`: the baseline's means over documents and seeds (`benchsuite.zeroshot.graded`);
    `state`: None, or why the task is not in the index; `signal_to_noise`: of accuracy and of the probability,
    `equal_models` what models without a difference would show. The baseline is that of the run's first comparison.
    """
    base = baseline_of(run)
    scores = _scores(run)
    baseline = scores.get(base or "", {})
    curve = [scores.get(c.case, {}) for c in run.manifest.comparisons if c.kind == "curve" and c.base_case == base]
    entries = []
    for name in dict.fromkeys(name for tasks in scores.values() for name in tasks):
        ours = baseline.get(name, [])
        first = next(tasks[name][0] for tasks in scores.values() if name in tasks)
        by_model = [tasks[name] for case, tasks in scores.items() if name in tasks and case in _compared(run)]
        seeds = [len(found) for found in by_model]
        entries.append(
            {
                "run": run.name,
                "name": name,
                "documents": first.n,
                "questions": len(set(first.questions)) if first.questions else first.n,
                "chance": first.random_acc,
                "ceiling": 1.0,  # every document has one right choice, and no two ask the same with another answer
                "acc": _mean(map(accuracy, ours)),
                "probability": _mean(map(probability, ours)),
                "bits_per_byte": _mean(_mean(one.graded.bits_per_byte) for one in ours if one.graded),
                "margin": _mean(_mean(one.graded.margin) for one in ours if one.graded),
                "state": state(ours, [tasks[name] for tasks in curve if name in tasks]),
                "signal_to_noise": {
                    "acc": signal_to_noise([[accuracy(one) for one in found] for found in by_model]),
                    "probability": signal_to_noise([[probability(one) for one in found] for found in by_model]),
                    "equal_models": equal_models(len(seeds), float(np.mean(seeds))) if seeds else None,
                },
            }
        )
    in_index = [entry for entry in entries if entry["state"] is None] or entries
    return [entry | {"in_index": entry in in_index} for entry in entries]


def index(run: Run) -> tuple[str, ...]:
    """The names of the tasks in the index."""
    return tuple(entry["name"] for entry in told(run) if entry["in_index"])


def baseline_of(run: Run) -> str | None:
    """The case id of the run's baseline; None where no quality is compared."""
    return next((c.base_case for c in run.manifest.comparisons if c.kind == "quality"), None)


def state(scores: Sequence[TaskScore], curve: Sequence[Sequence[TaskScore]] = ()) -> str | None:
    """Return why the baseline's results of a task, one a seed, keep it out of the index: "at chance", "saturated" or
    "bimodal"; None where they do not, or where there are none. `curve` has its results at other budgets: a task that
    it learns with more tokens is one that a better variant learns with fewer."""
    if not scores or scores[0].random_acc is None:
        return None
    chance = scores[0].random_acc
    if all(_guesses(found, chance) for found in (scores, *curve)):
        return "at chance"
    means = [accuracy(one) for one in scores]
    if sum(mean >= SATURATED for mean in means) > len(means) / 2:
        return "saturated"
    some_guess = any(_guesses([one], chance) for one in scores)
    return "bimodal" if some_guess and max(means) > (1 + chance) / 2 else None


def _guesses(scores: Sequence[TaskScore], chance: float) -> bool:
    """Return whether the mean accuracy over seeds is within 3 standard errors of guessing, over questions."""
    answers = np.stack([by_question(one) for one in scores]).mean(axis=0)
    mean = float(np.mean([accuracy(one) for one in scores]))
    return abs(mean - chance) <= STANDARD_ERRORS * _standard_error(answers, chance)


def _standard_error(values: np.ndarray, chance: float) -> float:
    """Of a mean over questions; at least a hundredth of what guessing has, so that equal values do not make it zero."""
    least = 0.01 * np.sqrt(chance * (1 - chance))
    return float(max(values.std(ddof=1) if len(values) > 1 else 0.0, least) / np.sqrt(len(values)))


def by_question(score: TaskScore) -> np.ndarray:
    """The share of right answers to each distinct question."""
    answers = np.frombuffer(score.outcomes.encode(), dtype=np.uint8).astype(float) - ord("0")
    if score.questions is None:
        return answers
    _, place, counts = np.unique(np.asarray(score.questions), return_inverse=True, return_counts=True)
    return np.bincount(place, weights=answers) / counts


def accuracy(score: TaskScore) -> float:
    """Of the recorded outcomes."""
    return score.outcomes.count("1") / len(score.outcomes)


def probability(score: TaskScore) -> float | None:
    """The mean probability of the right answer among the choices; None in records without it."""
    return _mean(score.graded.probability) if score.graded else None


def signal_to_noise(models: Sequence[Sequence[float | None]]) -> float | None:
    """The range of the models' means over the standard deviation of seeds, pooled over the models: the relative
    dispersion over the relative standard deviation of arXiv:2508.13144, with seeds in the place of checkpoints.

    models  for each model one value a seed. None for fewer than two models or without a second seed; 0 where nothing
    varies; infinite where models differ and seeds do not.
    """
    known = [np.array(values, dtype=float) for values in models if values and None not in values]
    df = sum(len(values) - 1 for values in known)
    if len(known) < 2 or df < 1:
        return None
    noise = float(np.sqrt(sum(((values - values.mean()) ** 2).sum() for values in known) / df))
    signal = float(np.ptp([values.mean() for values in known]))
    return signal / noise if noise > 0 else (0.0 if signal == 0 else float("inf"))


def equal_models(models: int, seeds: float) -> float:
    """The range that the means of so many equal models have on average, in standard deviations of seeds: the expected
    range of normal values (Tippett 1925) over the square root of the seeds."""
    z = np.linspace(-8, 8, 4001)
    below = ndtr(z)
    return float(np.trapezoid(1 - (1 - below) ** models - below**models, z) / np.sqrt(seeds))


def _scores(run: Run) -> dict[str, dict[str, list[TaskScore]]]:
    """The results of every task by case, one a seed in the order of seeds."""
    found: dict[str, dict[str, list[TaskScore]]] = {}
    for case, records in run.records.items():
        for _, record in sorted(records.items()):
            result: QualityResult | None = record.quality
            for name, score in result.tasks.items() if result else ():
                found.setdefault(case, {}).setdefault(name, []).append(score)
    return found


def _compared(run: Run) -> set[str]:
    """The cases that differ in what is compared, or in the budget; controls are no variants."""
    kinds = ("quality", "curve")
    return {case for c in run.manifest.comparisons if c.kind in kinds for case in (c.case, c.base_case)}


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def summary(entries: Sequence[Mapping[str, Any]]) -> Fields:
    """The index as a whole: its tasks, chance level and ceiling, and the baseline's accuracy and graded score."""
    inside = [entry for entry in entries if entry["in_index"]]
    keys = ("chance", "ceiling", "acc", "probability", "bits_per_byte", "margin")
    return {"tasks": len(inside), "of": len(entries), **{key: _mean(e[key] for e in inside) for key in keys}}
