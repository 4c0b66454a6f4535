"""The headline of a row: the tokens that a variant needs for equal quality over the baseline's, and the time.

Quality is held-out bits per byte, the sharpest axis that a run has. The baseline's curve goes through the models of the
manifest's `curve` comparisons and the baseline itself.
"""

from __future__ import annotations

from typing import Any

from benchsuite.records.schema import Comparison
from benchsuite.report.quality import Models, bits_parts, bits_per_byte, text
from benchsuite.stats.curve import Curve, Ratio, equal_tokens, layout_in_tokens, time_to_quality

Fields = dict[str, Any]


class Placed:
    """Places the models of a run on the learning curves of their baselines."""

    def __init__(self, models: Models) -> None:
        self.models = models
        self.points: dict[str, list[str]] = {}
        for comparison in models.run.manifest.comparisons:
            if comparison.kind == "curve":
                self.points.setdefault(comparison.base_case, [comparison.base_case]).append(comparison.case)

    def ratio(self, comparison: Comparison, p: float | None = None) -> Fields:
        """The variant's tokens over those that the baseline needs for the same bits per byte.

        p  of "as good at equal tokens", corrected over the table: from 0.05 on the ratio is unresolved. Where there is
        none the interval decides alone.
        """
        found = self._equal(comparison)
        if isinstance(found, str):
            return unplaced(found)
        tokens = self._tokens(comparison.case)
        fields = _told(found.over(tokens).inverse())
        if p is not None and p >= 0.05:
            fields["verdict"] = "unresolved"
        return fields | {"tokens": tokens, "baseline_tokens": self._tokens(comparison.base_case)}

    def multiple(self, comparison: Comparison) -> Fields:
        """The baseline's tokens for the quality of a control, over those that the baseline took."""
        found = self._equal(comparison)
        return unplaced(found) if isinstance(found, str) else _told(found.over(self._tokens(comparison.base_case)))

    def _equal(self, comparison: Comparison) -> Ratio | str:
        """The baseline's tokens for the quality of the comparison's case, or why they are not known."""
        points = self.points.get(comparison.base_case)
        if points is None:
            return "the suite measures no learning curve of this baseline"
        if comparison.component == "languages" and not comparison.tasks:
            return "held-out text is in the baseline's languages alone"
        results = self.models.results
        if any(not result.train.tokens for result in results.values()):
            return "a training does not say how many tokens it took"
        by_tokens = {self._tokens(case): case for case in points if self.models.seeds(case)}
        models = [comparison.case, *(by_tokens[tokens] for tokens in sorted(by_tokens))]
        seeds = sorted(set.intersection(*(set(self.models.seeds(case)) for case in models)))
        if not seeds:
            return "no seed was trained on the curve and on both sides"
        read = {text(results[case, seed]) for case in models for seed in seeds}
        measured = all(bits_per_byte(results[case, seed]) is not None for case in models for seed in seeds)
        if len(read) != 1 or None in read or not measured:
            return "held-out text was not measured, or is not the same"
        sides = {case: [bits_parts([results[case, seed] for seed in seeds])] for case in models}
        try:
            curve = Curve(sorted(by_tokens), [sides[case] for case in models[1:]])
        except ValueError as error:
            return str(error)
        scores = {
            cell: value
            for cell, result in results.items()
            if text(result) in read and (value := bits_per_byte(result)) is not None
        }
        return equal_tokens(sides[comparison.case], curve, layout_in_tokens(curve, scores))

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


def unplaced(reason: str | None) -> Fields:
    """The fields of a ratio that is not known."""
    names = ("ratio", "low", "high", "bound", "low_open", "high_open", "verdict", "tokens", "baseline_tokens")
    return dict.fromkeys(names) | {"reason": reason}


def _told(ratio: Ratio) -> Fields:
    verdict = "unresolved" if not ratio.resolved else "less" if ratio.high < 1 else "more"
    known = {name: getattr(ratio, name) for name in ("low", "high", "bound", "low_open", "high_open")}
    return unplaced(None) | {"ratio": ratio.value, "verdict": verdict} | known
