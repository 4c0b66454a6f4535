"""Joins speed with quality: run directories in, one JSON document out, and everything that is shown is made from it.

>>> from benchsuite.report.join import join
>>> document = join(["runs/quick"])              # doctest: +SKIP
>>> document["rows"][0]["speed"]["ratio"]        # doctest: +SKIP
0.883
"""

from __future__ import annotations

import hashlib
import math
import re
import shlex
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from benchsuite.errors import UserError
from benchsuite.records.case import Comparison
from benchsuite.records.load import Run, load
from benchsuite.report import controls, effort, notices, speed, training
from benchsuite.report.sections import SECTIONS
from benchsuite.report.words import findings
from benchsuite.text import plain
from benchsuite.verdicts import decided, quality, scales, searches, task_index, tokens

Fields = dict[str, Any]

SCHEMA_VERSION = 1
UNITS = {
    "speed.ratio": "variant over baseline in tokens/s; below 1 is slower",
    "memory.ratio": "variant over baseline in peak bytes; below 1 is less",
    "quality.tokens.ratio": "tokens that the variant needs over those that the baseline needs for equal bits per byte "
    "of held-out text; below 1 it needs less",
    "time.ratio": "time to quality: token ratio over speed ratio; below 1 the variant is there sooner",
    "quality.delta": "difference of accuracies, variant minus baseline, as a fraction: 0.01 is one point",
    "quality.bits_per_byte.delta": "bits per byte, variant minus baseline; below 0 is better",
}


def join(run_dirs: Sequence[str | Path]) -> Fields:
    """The report of one or several runs as one JSON-ready document.

    There is one row for each (component, variant, matching, implementation, scope, direction, shape) of each run.
    The quality of a (component, variant, matching) stands in every one of its rows; a variant without speed cases has
    one row without speed. What was not measured is None and says why in `reason`. Numbers that are not finite become
    None, texts are harmless and of one line.
    Raises UserError where a directory is not a run, is broken or of a newer schema, or none is given.
    """
    if not run_dirs:
        raise UserError("no run directory given", hint="benchsuite report RUN")
    runs = _named_apart([load(Path(folder)) for folder in run_dirs])
    rows, told, tasks, trained, described = [], [], [], [], []
    noticed: list[Fields] = []
    counts: Counter[str] = Counter()
    for run in runs:
        models = quality.models_of(run)
        judge = quality.QualityRows(models)
        placed = tokens.Placed(models)
        rows += _rows(models, judge, placed)
        told += controls.controls(run, judge, placed)
        tasks += [{"run": run.name} | task for task in quality.task_list(models)]
        trained += training.training(run, models)
        counts += run.statuses()
        noticed += notices.notices(run, models)
        described.append(_described(run))
    machines = [description["hardware"] for description in described]
    noticed += [*notices.of_controls(told), *notices.of_hardware(machines)]
    several = len(runs) > 1
    document: Fields = {
        "schema_version": SCHEMA_VERSION,
        "run": " + ".join(run.name for run in runs),
        "runs": described,
        "hardware": machines[0],
        "units": UNITS,
        "rows": rows,
        "controls": told,
        "cases": dict(sorted(counts.items())),
        "notices": [{**n, "text": f"{n['run']}: {n['text']}"} if several and n["run"] else n for n in noticed],
        "tasks": tasks,
        "task_index_rule": task_index.RULE,
        "training": trained,
    }
    document |= {s.key: [entry for run in runs for entry in s.collect(run)] for s in SECTIONS if s.collect}
    clean: Fields = _clean(document)
    warnings = [notice["text"] for notice in clean["notices"]]
    return clean | {"warnings": warnings, "findings": findings(clean)}


def _named_apart(runs: list[Run]) -> list[Run]:
    """Run names are directory names; equal ones are numbered, so that rows can be told apart."""
    seen: Counter[str] = Counter()
    for index, run in enumerate(runs):
        seen[run.name] += 1
        if seen[run.name] > 1:
            runs[index] = replace(run, name=f"{run.name} ({seen[run.name]})")
    return runs


def _rows(models: quality.Models, judge: quality.QualityRows, placed: tokens.Placed) -> list[Fields]:
    """Rows in the manifest's order: of components, then of variants, then of speed cases."""
    run = models.run
    comparisons = [c for c in run.manifest.comparisons if c.kind in ("speed", "quality")]
    of_quality = {scales.subject(c): c for c in comparisons if c.kind == "quality"}
    family = quality.as_one_family([judge.compare(c) for c in of_quality.values()])
    shared = {scales.subject(c): c for c in run.manifest.comparisons if c.kind == "shared"}
    at_shared = dict(zip(shared, quality.as_one_family([judge.compare(c) for c in shared.values()]), strict=True))
    taken = searches.multiples(run)
    trends = {scales.subject_of(entry): entry for entry in scales.told(models, placed)}
    judged = {
        subject: fields
        | {
            "tokens": placed.ratio(c, fields["bits_per_byte"]["p_holm"]),
            "tokens_graded": placed.graded(c),
            "learning_rates": {"variant": taken.get(c.case), "baseline": taken.get(c.base_case)},
            "shared_rate": _at_shared_rate(shared[subject], at_shared[subject], placed) if subject in shared else None,
            "trend": trends.get(subject),
        }
        for (subject, c), fields in zip(of_quality.items(), family, strict=True)
    }
    with_speed = {scales.subject(c) for c in comparisons if c.kind == "speed"}
    components = list(dict.fromkeys(c.component for c in comparisons))
    subjects = list(dict.fromkeys(scales.subject(c) for c in comparisons))
    rows: list[Fields] = []
    for c in comparisons:
        if c.kind == "quality" and scales.subject(c) in with_speed:
            continue
        measured = speed.speed_and_memory(run, c) if c.kind == "speed" else speed.not_measured()
        of_variant = judged.get(scales.subject(c)) or quality.empty()
        in_training = measured[0] if c.scope == "step" else speed.not_measured()[0]
        named = (
            "component",
            "variant",
            "baseline",
            "matching",
            "implementation",
            "scope",
            "direction",
            "dtype",
            "shape",
        )
        rows.append(
            {
                "run": run.name,
                **{name: getattr(c, name) for name in named},
                "speed": measured[0],
                "memory": measured[1],
                "quality": of_variant,
                "time": tokens.time(of_variant["tokens"], in_training),
            }
        )
    place = {subject: (components.index(subject[0]), number) for number, subject in enumerate(subjects)}
    return sorted(rows, key=lambda row: place[row["component"], row["variant"], row["matching"]])


def _at_shared_rate(comparison: Comparison, judged: Fields, placed: tokens.Placed) -> Fields:
    """The delta and the token ratio of a variant where all are trained at the shared learning rate."""
    kept = ("delta", "low", "high", "verdict", "seeds", "reason")
    ratio = placed.ratio(comparison, judged["bits_per_byte"]["p_holm"])
    return {key: judged[key] for key in kept} | {"tokens": ratio}


def _described(run: Run) -> Fields:
    manifest = run.manifest
    spent = effort.effort(run)
    ids = "\n".join(sorted(case.id for case in manifest.cases))
    digests: dict[str, Fields] = {}
    for (case_id, _), result in sorted(quality.models_of(run).results.items()):
        digests.setdefault(run.cases[case_id].label, result.digests)
    return {
        "name": run.name,
        "suite": manifest.suite,
        "description": manifest.description,
        "created": manifest.created,
        "hardware": asdict(manifest.hardware),
        "notes": [*manifest.notes, *decided.notes_of(run)],
        "cases": dict(sorted(run.statuses().items())),
        "effort": spent.to_json() if spent else None,
        "how_to_reproduce": {
            "command": shlex.join(manifest.command),
            "benchsuite_version": manifest.benchsuite_version,
            "cases_digest": hashlib.sha256(ids.encode()).hexdigest()[:16],
            "data_digests": digests,
        },
    }


def _clean(value: Any) -> Any:
    """`value` with numbers that JSON cannot hold (NaN, infinities) replaced by None, and texts that others wrote made
    harmless and put on one line: a name from a result must not move a terminal's cursor."""
    if isinstance(value, dict):
        return {_clean(str(key)): _clean(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_clean(item) for item in value]
    if isinstance(value, str):
        return re.sub(r"[\n\t]+", " ", plain(value))
    return None if isinstance(value, float) and not math.isfinite(value) else value
