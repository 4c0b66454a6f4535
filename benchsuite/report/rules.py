"""The rules of learning side by side: from the records of a run to one row for each architecture and task."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from benchsuite.domains import ARCHITECTURES, METRICS, TASKS
from benchsuite.domains.published import PUBLISHED
from benchsuite.records.case import Comparison
from benchsuite.records.load import Run
from benchsuite.records.params import RuleParams, RuleStepParams
from benchsuite.records.results import RuleResult
from benchsuite.report import speed
from benchsuite.stats.fraction import between
from benchsuite.stats.intervals import Interval, holm, t_interval

Fields = dict[str, Any]
BACKPROP, DFA, SHALLOW = RULES = ("backprop", "dfa", "shallow")
Results = dict[str, dict[int, RuleResult]]


def rows(run: Run) -> list[Fields]:
    """One row for each architecture and task that was trained by rules of learning, in the order of the suite. The
    verdicts of a pair of rules are corrected over all rows (Holm)."""
    found: list[tuple[str, str, Results]] = []
    cases = [(case.id, case.typed) for case in run.manifest.cases if isinstance(case.typed, RuleParams)]
    for architecture, task in dict.fromkeys((params.architecture, params.task) for _, params in cases):
        results: Results = {}
        for case_id, params in cases:
            if (params.architecture, params.task) == (architecture, task):
                records = run.records.get(case_id, {})
                results[params.rule] = {r.replicate: r.rule for r in records.values() if r.rule is not None}
        if architecture in ARCHITECTURES and task in TASKS and any(results.values()):
            found.append((architecture, task, results))
    told = [_row(run, *one) for one in found]
    for pair in ("dfa_over_shallow", "backprop_over_dfa"):
        judged = [row[pair] for row in told if row[pair]["p"] is not None]
        for difference, p in zip(judged, holm([one["p"] for one in judged]), strict=True):
            difference["p_holm"] = p
            sign = "better" if difference["value"] > 0 else "worse"
            difference["verdict"] = sign if p < 0.05 else "unresolved"
    return told


def expectations(rows: Sequence[Fields]) -> list[Fields]:
    """An expectation that follows from the original study, and whether it came out so: `met` is None where nothing
    is resolved. An expectation that is not met is a finding, not a fault of the measurement."""
    shallow = [row for row in rows if row["dfa_over_shallow"]["verdict"] is not None]
    best = [row for row in rows if row["backprop_over_dfa"]["verdict"] is not None]
    worse = [row for row in shallow if row["dfa_over_shallow"]["verdict"] == "better"]
    behind = any(row["dfa_over_shallow"]["verdict"] == "worse" for row in shallow)
    beaten = [
        f"{row['title']} on {row['task_title']}" for row in best if row["backprop_over_dfa"]["verdict"] == "worse"
    ]
    ahead = sum(row["backprop_over_dfa"]["verdict"] == "better" for row in best)
    if not rows:
        return []
    return [
        {
            "expected": "the shallow rule is worse than DFA somewhere",
            "observed": f"It is worse in {len(worse)} of {len(shallow)}",
            "met": True if worse else False if behind else None,
        },
        {
            "expected": "DFA beats backpropagation nowhere",
            "observed": f"Backpropagation is ahead in {ahead} of {len(best)}"
            + (f", and DFA with {', '.join(beaten)}" if beaten else ", and DFA in none"),
            "met": False if beaten else True if ahead else None,
        },
    ]


def _row(run: Run, architecture: str, task: str, results: Results) -> Fields:
    told = TASKS[task]
    metric, meaning = METRICS[told.domain]
    by_rule = {rule: _of_rule(list(results.get(rule, {}).values())) for rule in RULES}
    seeds = sorted(set.intersection(*(set(results.get(rule, {})) for rule in RULES)))
    scores = {rule: [_score(results[rule][seed]) for seed in seeds] for rule in RULES if rule in results}
    fraction = between(scores[SHALLOW], scores[DFA], scores[BACKPROP]) if len(seeds) > 1 else None
    first = next(result for rule in RULES for result in results.get(rule, {}).values())
    quoted = {
        TASKS[name].title: asdict(PUBLISHED[architecture, name])
        for name in (told.stands_for or (task,))
        if (architecture, name) in PUBLISHED
    }
    return {
        "run": run.name,
        "architecture": architecture,
        "title": ARCHITECTURES[architecture].title,
        "source": ARCHITECTURES[architecture].source,
        "domain": told.domain,
        "task": task,
        "task_title": told.title,
        "generated": told.generated,
        "stands_for": [TASKS[name].title for name in told.stands_for],
        "metric": metric,
        "metric_meaning": meaning,
        "parameters": first.parameters,
        "chance": first.about.get("chance"),
        "ceiling": first.about.get("ceiling"),
        "seeds": len(seeds),
        "rules": by_rule,
        "fraction": {
            "value": fraction.estimate if fraction else None,
            "low": fraction.low if fraction else None,
            "high": fraction.high if fraction else None,
            "reason": None if fraction else _no_fraction(len(seeds)),
        },
        "dfa_over_shallow": _difference(scores, DFA, SHALLOW),
        "backprop_over_dfa": _difference(scores, BACKPROP, DFA),
        "speed": {rule: _step(run, architecture, task, rule) for rule in (DFA, SHALLOW)},
        "published": quoted,
        "pictures": _pictures(results),
    }


def _score(result: RuleResult) -> float:
    return next(iter(result.scores.values()))


def _of_rule(results: Sequence[RuleResult]) -> Fields:
    """The score with its interval over seeds, what was chosen, and what the search cost."""
    if not results:
        return dict.fromkeys(("value", "low", "high", "lr", "trainings", "search_time_s", "angle", "others")) | {
            "seeds": 0,
            "curves": [],
        }
    interval = t_interval([_score(result) for result in results])
    angles = [statistics.fmean(result.angles.values()) for result in results if result.angles]
    names = list(results[0].scores)[1:]
    return {
        "value": interval.estimate,
        "low": interval.low,
        "high": interval.high,
        "seeds": len(results),
        "lr": sorted({result.lr for result in results}),
        "trainings": sum(len(result.tried) for result in results),
        "search_time_s": sum(result.search_time_s or 0.0 for result in results),
        "angle": statistics.fmean(angles) if angles else None,
        "others": {name: statistics.fmean(result.scores[name] for result in results) for name in names},
        "curves": [[list(point) for point in result.curve] for result in results],
    }


def _no_fraction(seeds: int) -> str:
    if seeds < 2:
        return "one seed"
    return "the way is unresolved"


def _difference(scores: dict[str, list[float]], one: str, other: str) -> Fields:
    """The mean of the paired differences of two rules, with its interval."""
    pairs = list(zip(scores.get(one, []), scores.get(other, []), strict=True))
    interval: Interval | None = t_interval([a - b for a, b in pairs]) if pairs else None
    return {
        "value": interval.estimate if interval else None,
        "low": interval.low if interval else None,
        "high": interval.high if interval else None,
        "p": interval.p_value() if interval else None,
        "p_holm": None,
        "verdict": None,
    }


def _step(run: Run, architecture: str, task: str, rule: str) -> Fields:
    """Speed and memory of a training step against backpropagation's."""
    comparison = next((c for c in run.manifest.comparisons if _is_step(run, c, architecture, task, rule)), None)
    measured = speed.speed_and_memory(run, comparison) if comparison else speed.not_measured()
    return {"speed": measured[0], "memory": measured[1]}


def _is_step(run: Run, comparison: Comparison, architecture: str, task: str, rule: str) -> bool:
    if comparison.kind != "rule" or comparison.scope != "step":
        return False
    params = run.cases[comparison.case].typed
    asked = (architecture, task, rule)
    return isinstance(params, RuleStepParams) and (params.architecture, params.task, params.rule) == asked


def _pictures(results: Results) -> Fields | None:
    """Return what the first seed's models render, beside the truth."""
    found = {rule: next((r.pictures for r in results.get(rule, {}).values() if r.pictures), None) for rule in RULES}
    first = next((one for one in found.values() if one), None)
    if first is None:
        return None
    return {"truth": first.truth, **{rule: one.rendered for rule, one in found.items() if one}}
