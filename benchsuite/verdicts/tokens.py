"""The headline of a row: the tokens that a variant needs for equal quality over the baseline's, and the time.

Quality is held-out bits per byte (`Bits`), the sharpest axis that a run has; beside it stands the graded zero-shot
score (`Graded`): the probability of the right answer, the mean over the tasks of the index. The baseline's curve
goes through the models of the manifest's `curve` comparisons and the baseline itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Protocol

import numpy as np

from benchsuite.records.results import QualityResult
from benchsuite.records.schema import Comparison
from benchsuite.stats.curve import Curve, Ratio, equal_tokens, layout_in_tokens, time_to_quality
from benchsuite.stats.quality import by_question
from benchsuite.verdicts.quality import Models, bits_parts, bits_per_byte, margin_of, text

Fields = dict[str, Any]


class Axis(Protocol):
    """A score that has a learning curve."""

    better: str

    def asked(self, result: QualityResult) -> object | None:
        """Return what the score is about: models compare where it is equal. None where it was not measured."""

    def parts(self, results: Sequence[QualityResult]) -> list[np.ndarray]:
        """Return what each document contributes to the scores of one model: (seeds, documents) a task."""

    def score(self, result: QualityResult) -> float:
        """The mean over tasks of the mean over documents."""


class Bits:
    """Bits per byte of held-out text."""

    better = "lower"

    def asked(self, result: QualityResult) -> object | None:
        return text(result) if bits_per_byte(result) is not None else None

    def parts(self, results: Sequence[QualityResult]) -> list[np.ndarray]:
        return [bits_parts(results)]

    def score(self, result: QualityResult) -> float:
        value = bits_per_byte(result)
        assert value is not None
        return value


BITS = Bits()


@dataclass(frozen=True)
class Graded:
    """The probability of the right answer in `tasks`, by question."""

    tasks: tuple[str, ...]
    better = "higher"

    def asked(self, result: QualityResult) -> object | None:
        graded = [result.tasks[task].graded for task in self.tasks if task in result.tasks]
        if len(graded) < len(self.tasks) or None in graded or not graded:
            return None
        return tuple((task, len(result.tasks[task].outcomes)) for task in self.tasks)

    def parts(self, results: Sequence[QualityResult]) -> list[np.ndarray]:
        return [
            by_question(np.array([self._probabilities(one, task) for one in results]), results[0].tasks[task].questions)
            for task in self.tasks
        ]

    def score(self, result: QualityResult) -> float:
        return float(np.mean([part.mean() for part in self.parts([result])]))

    @staticmethod
    def _probabilities(result: QualityResult, task: str) -> list[float]:
        graded = result.tasks[task].graded
        assert graded is not None
        return graded.probability


class Placed:
    """Places the models of a run on the learning curves of their baselines."""

    def __init__(self, models: Models) -> None:
        self.models = models
        self.points: dict[str, list[str]] = {}
        for comparison in models.run.manifest.comparisons:
            if comparison.kind == "curve":
                self.points.setdefault(comparison.base_case, [comparison.base_case]).append(comparison.case)

    def ratio(self, comparison: Comparison, p: float | None = None, axis: Axis = BITS) -> Fields:
        """The variant's tokens over those that the baseline needs for the same score.

        p  of "as good at equal tokens", corrected over the table: from 0.05 on the ratio is unresolved. Where there is
        none the interval decides alone.
        """
        found = self._equal(comparison, axis)
        if isinstance(found, str):
            return unplaced(found)
        tokens = self._tokens(comparison.case)
        fields = _told(found.over(tokens).inverse())
        if p is not None and p >= 0.05:
            fields["verdict"] = "unresolved"
        fields["margin"] = margin = margin_of(self.models.run)
        if fields["verdict"] == "unresolved" and within(fields, margin):
            fields["verdict"] = "same"
        return fields | {"tokens": tokens, "baseline_tokens": self._tokens(comparison.base_case)}

    def multiple(self, comparison: Comparison) -> Fields:
        """The baseline's tokens for the quality of a control, over those that the baseline took."""
        found = self._equal(comparison, BITS)
        return unplaced(found) if isinstance(found, str) else _told(found.over(self._tokens(comparison.base_case)))

    def graded(self, comparison: Comparison) -> Fields:
        """The same on the graded zero-shot score of the tasks that the comparison is about; its interval decides
        alone."""
        named = comparison.tasks or ("*",)
        tasks = (task for task in self.models.index if any(fnmatchcase(task, pattern) for pattern in named))
        return self.ratio(comparison, axis=Graded(tuple(tasks)))

    def _equal(self, comparison: Comparison, axis: Axis) -> Ratio | str:
        """The baseline's tokens for the quality of the comparison's case, or why they are not known."""
        points = self.points.get(comparison.base_case)
        if points is None:
            return "the suite measures no learning curve of this baseline"
        if comparison.component == "languages" and not comparison.tasks:
            return "held-out text is in the baseline's languages alone"
        # Only models that are compared with this baseline: those of another size have a curve of their own.
        beside = {c.case for c in self.models.run.manifest.comparisons if c.base_case == comparison.base_case}
        beside.add(comparison.base_case)
        results = {cell: result for cell, result in self.models.results.items() if cell[0] in beside}
        if any(not result.train.tokens for result in results.values()):
            return "a training does not say how many tokens it took"
        by_tokens = {self._tokens(case): case for case in points if self.models.seeds(case)}
        models = [comparison.case, *(by_tokens[tokens] for tokens in sorted(by_tokens))]
        seeds = sorted(set.intersection(*(set(self.models.seeds(case)) for case in models)))
        if not seeds:
            return "no seed was trained on the curve and on both sides"
        asked = {axis.asked(results[case, seed]) for case in models for seed in seeds}
        if len(asked) != 1 or None in asked:
            what = "held-out text was" if axis is BITS else "graded scores were"
            return f"{what} not measured, or not the same for all"
        sides = {case: axis.parts([results[case, seed] for seed in seeds]) for case in models}
        try:
            curve = Curve(sorted(by_tokens), [sides[case] for case in models[1:]], axis.better)
        except ValueError as error:
            return str(error)
        scores = {cell: axis.score(result) for cell, result in results.items() if axis.asked(result) in asked}
        return equal_tokens(sides[comparison.case], curve, layout_in_tokens(curve, scores), self.models.confidence)

    def _tokens(self, case: str) -> float:
        """Return the tokens that a case was trained on, the same at every seed."""
        found = self.models.results[case, self.models.seeds(case)[0]].train.tokens
        assert found is not None
        return float(found)


def time(tokens: Fields | None, speed: Fields) -> Fields:
    """Time to quality of a row: its token ratio over its speed ratio."""
    if tokens is None or tokens["ratio"] is None:
        return unplaced(tokens["reason"] if tokens else None)
    if speed["ratio"] is None or speed["low"] is None or not speed["low"] > 0:
        return unplaced("no speed with an interval")
    of_speed = Ratio(value=speed["ratio"], low=speed["low"], high=speed["high"])
    parts = ("low", "high", "bound", "low_open", "high_open")
    of_tokens = Ratio(value=tokens["ratio"], **{part: tokens[part] for part in parts})
    return _told(time_to_quality(of_tokens, of_speed))


def within(ratio: Fields, margin: float) -> bool:
    """Return whether all of the interval is within `margin` of 1: equivalence, by two one-sided tests (Schuirmann
    1987)."""
    open_ = ratio["low_open"] or ratio["high_open"]
    return not open_ and ratio["low"] >= 1 / (1 + margin) and ratio["high"] <= 1 + margin


def unplaced(reason: str | None) -> Fields:
    """The fields of a ratio that is not known."""
    names = ("ratio", "low", "high", "bound", "low_open", "high_open", "verdict", "margin", "tokens", "baseline_tokens")
    return dict.fromkeys(names) | {"reason": reason}


def _told(ratio: Ratio) -> Fields:
    verdict = "unresolved" if not ratio.resolved else "less" if ratio.high < 1 else "more"
    known = {name: getattr(ratio, name) for name in ("low", "high", "bound", "low_open", "high_open")}
    return unplaced(None) | {"ratio": ratio.value, "verdict": verdict} | known
