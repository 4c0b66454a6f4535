"""The quality side of a row: paired outcomes of two models, judged by the spread between seeds of all models."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial
from typing import Any

import numpy as np

from benchsuite.limits import FIRST_LOOK
from benchsuite.records import rates
from benchsuite.records.case import Comparison
from benchsuite.records.load import Run
from benchsuite.records.results import QualityResult
from benchsuite.stats.intervals import CONFIDENCE, holm, t_interval
from benchsuite.stats.layout import Layout, fit
from benchsuite.stats.looks import Looks
from benchsuite.stats.quality import QualityComparison, by_question, compare_quality, mcnemar, ratio_parts
from benchsuite.suite.schema import LANGUAGES, MARGIN
from benchsuite.verdicts import task_index

Fields = dict[str, Any]
BITS = ("delta", "low", "high", "minimum_detectable", "p", "p_holm", "verdict", "value", "baseline")
Cell = tuple[str, int]  # (case id, seed)


@dataclass(frozen=True)
class Models:
    """All trained models of a run with what they answered.

    results  by (case id, seed). pool  the case ids that share the recipe and the budget, whose residuals measure the
    spread between seeds; a crippled control is not among them. index  the tasks over which means are taken
    (`benchsuite.verdicts.task_index`). looks  those that the seeds were added by, None where they were planned.
    """

    run: Run
    results: dict[Cell, QualityResult]
    pool: frozenset[str]
    index: tuple[str, ...]
    looks: Looks | None = None

    @property
    def confidence(self) -> float:
        """The level of every interval."""
        return self.looks.confidence if self.looks else CONFIDENCE

    def p_value(self, p: float | None) -> float | None:
        """A p-value, made valid for all looks where there were several."""
        return p if p is None or self.looks is None else self.looks.p_value(p)

    def trained(self, case_id: str, seed: int) -> bool:
        """Return whether a result is the case's own, and not that of another which is the same training."""
        record = self.run.records.get(case_id, {}).get(seed)
        return record is not None and record.quality is not None

    def seeds(self, case_id: str) -> list[int]:
        return sorted(seed for case, seed in self.results if case == case_id)

    def layout(self, score: Callable[[QualityResult], float | None], like: Callable[[QualityResult], Any]) -> dict:
        """Residual variances of `score`, one layout for each group of models that agree in `like` (same documents)."""
        groups: dict[Any, dict[Cell, float]] = {}
        for (case, seed), result in self.results.items():
            value = score(result)
            if case in self.pool and value is not None:
                groups.setdefault(like(result), {})[case, seed] = value
        return {key: fit(cells) for key, cells in groups.items()}


def models_of(run: Run) -> Models:
    """Collects the quality records of a run. The pool: every model of a quality comparison, and every control that must
    come out as good as the baseline."""
    pool = {
        case
        for c in run.manifest.comparisons
        if c.kind == "quality" or (c.kind == "control" and c.expected in ("unresolved", "1x"))
        for case in (c.case, c.base_case)
    }
    results = {
        (case_id, seed): record.quality
        for case_id, records in run.records.items()
        for seed, record in records.items()
        if record.quality is not None
    }
    for case in run.cases.values():
        choice = rates.chosen(case.typed, run.records)
        if choice is not None and choice.multiple == rates.SHARED:  # the same training, which was not done twice
            twin = rates.at_shared_rate(case)
            if twin not in run.cases:  # the suite did not ask for it
                continue
            results |= {(twin, seed): result for (own, seed), result in results.items() if own == case.id}
    return Models(run=run, results=results, pool=frozenset(pool), index=task_index.index(run), looks=looks_of(run))


def mean_acc(result: QualityResult, patterns: Sequence[str] = ()) -> float | None:
    """Mean over tasks of acc, every task alike, of those that `patterns` name (all without); None without tasks."""
    tasks = _about(result, patterns)
    return float(np.mean([_answers(result.tasks[task].outcomes).mean() for task in tasks])) if tasks else None


def looks_of(run: Run) -> Looks | None:
    """The looks that a run's seeds may have, where they are added until they decide."""
    quality = (run.manifest.resolved_suite or {}).get("quality") or {}
    return Looks(FIRST_LOOK, quality["seeds"]) if quality.get("until") == "decided" else None


def margin_of(run: Run) -> float:
    """The margin of equivalence of a run's suite, as a fraction of a token ratio."""
    quality = (run.manifest.resolved_suite or {}).get("quality") or {}
    return float(quality.get("margin", MARGIN))


def warnings_of(models: Models) -> list[str]:
    """Warn the reader if there is one seed only."""
    if len({seed for case, seed in models.results if case in models.pool}) != 1:
        return []
    return ["One seed only: the intervals of quality cover new documents, not new seeds, so every delta is unresolved."]


class QualityRows:
    """The `quality` object of report rows and the outcome of controls, for one run."""

    def __init__(self, models: Models) -> None:
        self.models = models
        self._overall = {
            patterns: models.layout(partial(mean_acc, patterns=patterns), _asked)
            for patterns in {self._index(c) for c in models.run.manifest.comparisons}
        }
        self._of_task: dict[str, dict[Any, Layout | None]] = {}
        for task in sorted({name for result in models.results.values() for name in result.tasks}):
            self._of_task[task] = models.layout(partial(_acc, task=task), _asked)
        self._bits = models.layout(bits_per_byte, text)

    def compare(self, comparison: Comparison) -> Fields:
        """Variant minus baseline over the seeds that both have; accuracies and deltas are fractions, not points."""
        models, fields = self.models, empty(comparison.source)
        seeds = sorted(set(models.seeds(comparison.case)) & set(models.seeds(comparison.base_case)))
        pairs = [(models.results[comparison.case, s], models.results[comparison.base_case, s]) for s in seeds]
        reason = self._incomparable(comparison, pairs)
        if reason is not None:
            return fields | {"verdict": "unresolved", "reason": reason}
        fields["seeds"] = len(seeds)
        fields["parameters"], fields["baseline_parameters"] = pairs[0][0].parameters, pairs[0][1].parameters
        key = _asked(pairs[0][0])
        if pairs[0][0].tasks:
            arrays = {task: _paired(pairs, task) for task in pairs[0][0].tasks}
            patterns = self._index(comparison)
            about = [arrays[task] for task in _about(pairs[0][0], patterns)]
            overall = compare_quality(about, self._overall[patterns].get(key), step=1, confidence=models.confidence)
            fields |= self._delta(overall) | {"verdict": overall.verdict, "covers_seeds": overall.covers_seeds}
            fields["acc"] = float(np.mean([mean_acc(v, patterns) for v, _ in pairs]))
            fields["baseline_acc"] = float(np.mean([mean_acc(b, patterns) for _, b in pairs]))
            fields["tasks"] = self._tasks(arrays, pairs)
        fields["bits_per_byte"] = self._bits_per_byte(pairs)
        return fields

    def _index(self, comparison: Comparison) -> tuple[str, ...]:
        """Return the tasks that a comparison is about: those of the index, or all where it names none of them. A
        comparison of languages is about tasks too that a baseline of another language cannot but guess."""
        if comparison.component == LANGUAGES:
            return tuple(comparison.tasks)
        named = comparison.tasks or ["*"]
        inside = (task for task in self.models.index if any(fnmatchcase(task, pattern) for pattern in named))
        return tuple(inside) or tuple(comparison.tasks)

    def _incomparable(self, comparison: Comparison, pairs: Sequence[tuple[QualityResult, QualityResult]]) -> str | None:
        if not pairs:
            sides = ((comparison.case, "variant"), (comparison.base_case, "baseline"))
            reasons = [self.models.run.why_not(case, side) for case, side in sides]
            return "; ".join(r for r in reasons if r) or "no seed was trained on both sides"
        if len({_asked(result) for pair in pairs for result in pair}) > 1:
            return "the models were asked different tasks"
        if not pairs[0][0].tasks and pairs[0][0].bits_per_byte is None:
            return "nothing was evaluated"
        if pairs[0][0].tasks and not _about(pairs[0][0], comparison.tasks):
            return f"no task that was asked is one of {', '.join(comparison.tasks)}"
        return None

    def _tasks(
        self, arrays: Mapping[str, np.ndarray], pairs: Sequence[tuple[QualityResult, QualityResult]]
    ) -> dict[str, Fields]:
        key = _asked(pairs[0][0])
        compared = {t: self._compared(a, self._of_task[t].get(key)) for t, a in arrays.items()}
        tests = {t: mcnemar(a) for t, a in arrays.items()}
        p_values = [p if (p := self.models.p_value(c.delta.p_value())) is not None else 1.0 for c in compared.values()]
        adjusted = dict(zip(arrays, holm(p_values), strict=True))
        adjusted_mcnemar = dict(zip(arrays, holm([p for _, _, p in tests.values()]), strict=True))
        return {
            task: self._delta(c)
            | {
                "verdict": c.verdict if adjusted[task] < 0.05 else "unresolved",
                "p_holm": adjusted[task],
                "acc": float(np.mean([_acc(v, task) for v, _ in pairs])),
                "baseline_acc": float(np.mean([_acc(b, task) for _, b in pairs])),
                "wins": tests[task][0],
                "losses": tests[task][1],
                "mcnemar_p_holm": adjusted_mcnemar[task],
            }
            for task, c in compared.items()
        }

    def _bits_per_byte(self, pairs: Sequence[tuple[QualityResult, QualityResult]]) -> Fields:
        fields: Fields = dict.fromkeys(BITS)
        texts = {text(result) for pair in pairs for result in pair}
        if len(texts) != 1 or None in texts or any(bits_per_byte(r) is None for pair in pairs for r in pair):
            return fields
        variant, baseline = (bits_parts(side) for side in zip(*pairs, strict=True))
        compared = compare_quality(
            [variant - baseline],
            self._bits.get(next(iter(texts))),
            better="lower",
            confidence=self.models.confidence,
        )
        values = {"value": float(variant.mean()), "baseline": float(baseline.mean())}
        return fields | self._delta(compared) | {"verdict": compared.verdict} | values

    def _compared(self, differences: np.ndarray, layout: Layout | None) -> QualityComparison:
        return compare_quality([differences], layout, step=1, confidence=self.models.confidence)

    def _delta(self, compared: QualityComparison) -> Fields:
        return {
            "delta": compared.delta.estimate,
            "low": compared.delta.low,
            "high": compared.delta.high,
            "minimum_detectable": compared.minimum_detectable,
            "p": self.models.p_value(compared.delta.p_value()) if compared.covers_seeds else None,
        }


def as_one_family(judged: Sequence[Fields]) -> list[Fields]:
    """The `quality` objects of a run's comparisons with verdicts that hold for all of them together: Holm's correction
    over the table, apart for accuracy and for bits per byte. Intervals stay those of one comparison."""
    adjusted = [dict(fields) for fields in judged]
    for parts in (adjusted, [fields.setdefault("bits_per_byte", {}) for fields in adjusted]):
        known = [part for part in parts if part.get("p") is not None]
        for part, p in zip(known, holm([part["p"] for part in known]), strict=True):
            part["p_holm"] = p
            part["verdict"] = part["verdict"] if p < 0.05 else "unresolved"
    return adjusted


def bits_parts(side: Sequence[QualityResult]) -> np.ndarray:
    """Return the contribution of each held-out document to bits per byte, (seeds, documents)."""
    measured = [result.bits_per_byte for result in side if result.bits_per_byte]
    return ratio_parts(np.array([m.bits for m in measured]), np.array(measured[0].bytes))


def empty(source: str | None = None) -> Fields:
    """The `quality` object of a row whose quality was not measured."""
    keys = (
        "delta",
        "low",
        "high",
        "minimum_detectable",
        "verdict",
        "acc",
        "baseline_acc",
        "covers_seeds",
        "parameters",
    )
    later = ("tokens", "tokens_graded", "learning_rates", "shared_rate", "trend")  # the caller's
    fields: Fields = dict.fromkeys((*keys, "baseline_parameters", "reason", "p", "p_holm", *later))
    return fields | {"source": source, "seeds": 0, "tasks": {}, "bits_per_byte": dict.fromkeys(BITS)}


def task_list(models: Models) -> list[Fields]:
    """Return what each task is and how the baselines do on it: family, documents, random baseline, accuracy by
    baseline label.

    `above_chance` says whether a baseline's accuracy on these documents is above the random baseline (95% interval over
    documents, seeds averaged); a task at chance for every model adds noise and no information.
    """
    bases = list(dict.fromkeys(c.base_case for c in models.run.manifest.comparisons if c.kind == "quality"))
    tasks: dict[str, Fields] = {}
    for case, seed in sorted(models.results):
        for name, score in models.results[case, seed].tasks.items():
            fields = {"name": name, "family": score.family, "n": score.n, "random_acc": score.random_acc}
            tasks.setdefault(name, fields | {"baselines": {}})
    for base in bases:
        label = models.run.cases[base].label if base in models.run.cases else base
        for name, task in tasks.items():
            scores = [r.tasks[name] for s in models.seeds(base) if name in (r := models.results[base, s]).tasks]
            if not scores or len({len(score.outcomes) for score in scores}) > 1 or not scores[0].outcomes:
                continue
            answers = np.stack([_answers(score.outcomes) for score in scores])
            interval = t_interval(by_question(answers, scores[0].questions).mean(axis=0).tolist())
            above = None
            if task["random_acc"] is not None and interval.low is not None:
                above = interval.low > task["random_acc"]
            half = None if interval.low is None else interval.estimate - interval.low
            task["baselines"][label] = {"acc": interval.estimate, "half": half, "above_chance": above}
    return list(tasks.values())


def _answers(outcomes: str) -> np.ndarray:
    return np.frombuffer(outcomes.encode(), dtype=np.uint8).astype(float) - ord("0")


def _about(result: QualityResult, patterns: Sequence[str]) -> list[str]:
    return [task for task in result.tasks if not patterns or any(fnmatchcase(task, p) for p in patterns)]


def _acc(result: QualityResult, task: str) -> float | None:
    return float(_answers(result.tasks[task].outcomes).mean()) if task in result.tasks else None


def _asked(result: QualityResult) -> tuple[tuple[str, int], ...]:
    return tuple(sorted((name, len(score.outcomes)) for name, score in result.tasks.items()))


def text(result: QualityResult) -> tuple[float, ...] | None:
    """The sizes of the held-out documents: what was read."""
    return tuple(result.bits_per_byte.bytes) if result.bits_per_byte and result.bits_per_byte.bytes else None


def bits_per_byte(result: QualityResult) -> float | None:
    """Of all held-out text; None where it was not measured."""
    measured = result.bits_per_byte
    if measured is None or not measured.bytes or len(measured.bits) != len(measured.bytes):
        return None
    value = sum(measured.bits) / sum(measured.bytes) if sum(measured.bytes) > 0 else math.nan
    return value if math.isfinite(value) else None


def _paired(pairs: Sequence[tuple[QualityResult, QualityResult]], task: str) -> np.ndarray:
    """Differences of outcomes, (seeds, questions)."""
    return by_question(
        np.stack([_answers(v.tasks[task].outcomes) - _answers(b.tasks[task].outcomes) for v, b in pairs]),
        pairs[0][0].tasks[task].questions,
    )
