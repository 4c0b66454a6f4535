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
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from benchsuite import format
from benchsuite.errors import UserError
from benchsuite.records.case import Comparison, Record
from benchsuite.records.load import Run, load
from benchsuite.report import effort, speed, trained
from benchsuite.report.words import findings
from benchsuite.suite.corpora import displayed
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
CURVE_POINTS = 200


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
    rows, controls, tasks, training, failures, described = [], [], [], [], [], []
    implementations: list[Fields] = []
    far: list[Fields] = []
    calm: list[Fields] = []
    measurements: list[Fields] = []
    indexed: list[Fields] = []
    laddered: list[Fields] = []
    searched: list[Fields] = []
    warnings: list[str] = []
    counts: Counter[str] = Counter()
    for run in runs:
        models = quality.models_of(run)
        judge = quality.QualityRows(models)
        placed = tokens.Placed(models)
        ladder = scales.told(models, placed)
        rows += _rows(run, judge, placed, ladder)
        laddered += ladder
        searched += searches.told(run)
        implementations += [_implementation(run, c) for c in run.manifest.comparisons if c.kind == "implementation"]
        measurements += speed.measurements(run)
        controls += [_control(run, c, judge, placed) for c in run.manifest.comparisons if c.kind == "control"]
        controls += [_twin(run, c) for c in run.manifest.comparisons if c.kind == "twin"]
        tasks += [{"run": run.name} | task for task in quality.task_list(models)]
        indexed += task_index.told(run)
        training += _training(run, models)
        far += trained.beyond(run)
        calm += trained.stability(run)
        failures += _failures(run)
        counts += run.statuses()
        said = [*run.warnings, *quality.warnings_of(models), *_warnings(run), *searches.warnings_of(run)]
        warnings += [f"{run.name}: {text}" if len(runs) > 1 else text for text in said]
        described.append(_described(run))
    for control in controls:
        if control["passed"] is False:
            text = (
                f"The control {control['name']} came out {control['observed']}, and must come out {control['expected']}"
            )
            warnings.append(
                f"{control['run']}: {text}." if len(runs) > 1 else f"{text}: distrust the {control['of']} verdicts."
            )
    machines = [description["hardware"] for description in described]
    if any(machine != machines[0] for machine in machines):
        warnings.append("The runs differ in hardware: compare ratios between them with care, and tokens/s not at all.")
    document: Fields = {
        "schema_version": SCHEMA_VERSION,
        "run": " + ".join(run.name for run in runs),
        "runs": described,
        "hardware": machines[0],
        "units": UNITS,
        "rows": rows,
        "implementations": implementations,
        "measurements": measurements,
        "controls": controls,
        "cases": dict(sorted(counts.items())),
        "failures": failures,
        "warnings": warnings,
        "tasks": tasks,
        "task_index": indexed,
        "task_index_rule": task_index.RULE,
        "training": training,
        "beyond": far,
        "stability": calm,
        "learning_rates": searched,
        "scales": laddered,
    }
    clean: Fields = _clean(document)
    return clean | {"findings": findings(clean)}


def _named_apart(runs: list[Run]) -> list[Run]:
    """Run names are directory names; equal ones are numbered, so that rows can be told apart."""
    seen: Counter[str] = Counter()
    for index, run in enumerate(runs):
        seen[run.name] += 1
        if seen[run.name] > 1:
            runs[index] = replace(run, name=f"{run.name} ({seen[run.name]})")
    return runs


def _rows(run: Run, judge: quality.QualityRows, placed: tokens.Placed, ladder: list[Fields]) -> list[Fields]:
    """Rows in the manifest's order: of components, then of variants, then of speed cases."""
    comparisons = [c for c in run.manifest.comparisons if c.kind in ("speed", "quality")]
    of_quality = {scales.subject(c): c for c in comparisons if c.kind == "quality"}
    family = quality.as_one_family([judge.compare(c) for c in of_quality.values()])
    shared = {scales.subject(c): c for c in run.manifest.comparisons if c.kind == "shared"}
    at_shared = dict(zip(shared, quality.as_one_family([judge.compare(c) for c in shared.values()]), strict=True))
    taken, trends = searches.multiples(run), {scales.subject_of(entry): entry for entry in ladder}
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


def _implementation(run: Run, c: Comparison) -> Fields:
    """One implementation of a variant against another of the same: what fusion buys."""
    measured = speed.speed_and_memory(run, c)
    named = ("component", "variant", "matching", "implementation", "scope", "direction", "dtype", "shape")
    about = {name: getattr(c, name) for name in named}
    return {"run": run.name, **about, "against": c.baseline, "speed": measured[0], "memory": measured[1]}


def _at_shared_rate(comparison: Comparison, judged: Fields, placed: tokens.Placed) -> Fields:
    """The delta and the token ratio of a variant where all are trained at the shared learning rate."""
    kept = ("delta", "low", "high", "verdict", "seeds", "reason")
    ratio = placed.ratio(comparison, judged["bits_per_byte"]["p_holm"])
    return {key: judged[key] for key in kept} | {"tokens": ratio}


def _control(run: Run, comparison: Comparison, judge: quality.QualityRows, placed: tokens.Placed) -> Fields:
    """A control passes where the verdict is the one that must come, or where the interval of its place on the learning
    curve holds the one that must; `passed` is None where it could not be judged."""
    judged, multiple, expected = judge.compare(comparison), placed.multiple(comparison), comparison.expected
    if expected.endswith("x"):
        measured = multiple["ratio"] is not None
        observed = format.bounded(multiple)
        passed = measured and multiple["low"] <= float(expected[:-1]) <= multiple["high"]
    else:
        measured, observed = judged["delta"] is not None, judged["verdict"]
        passed = observed == expected
    return {
        "run": run.name,
        "of": "quality",
        "name": comparison.name,
        "description": comparison.description,
        "expected": expected,
        "observed": observed if measured else "not measured",
        "passed": passed if measured else None,
        "tokens": multiple,
        "delta": judged["delta"],
        "low": judged["low"],
        "high": judged["high"],
        "minimum_detectable": judged["minimum_detectable"],
        "seeds": judged["seeds"],
        "reason": judged["reason"] or (multiple["reason"] if expected.endswith("x") else None),
    }


def _twin(run: Run, comparison: Comparison) -> Fields:
    """A speed against itself passes where the interval of its ratio holds 1."""
    found, _ = speed.speed_and_memory(run, comparison)
    measured = found["low"] is not None
    nothing = quality.empty(None)
    return {
        "run": run.name,
        "of": "speed",
        "name": comparison.name,
        "description": comparison.description,
        "expected": comparison.expected,
        "observed": format.ratio(found["ratio"], found["low"], found["high"]) if measured else "not measured",
        "passed": found["low"] <= 1 <= found["high"] if measured else None,
        "tokens": tokens.unplaced(None),
        **{key: nothing[key] for key in ("delta", "low", "high", "minimum_detectable")},
        "seeds": 0,
        "reason": found["reason"],
    }


def _training(run: Run, models: quality.Models) -> list[Fields]:
    """One entry for each trained model and seed, with its loss curve thinned to at most `CURVE_POINTS` means."""
    roles: dict[str, tuple[str, str, str]] = {}
    for c in run.manifest.comparisons:
        if c.kind == "control":
            roles.setdefault(c.case, ("control", "", c.name))
    for c in run.manifest.comparisons:
        if c.kind == "curve":
            roles.setdefault(c.case, ("curve", "", f"baseline, {c.variant}{f' of {c.name}' if c.name else ''}"))
    for c in run.manifest.comparisons:
        if c.kind in ("shared", "rung"):
            told = "shared rate" if c.kind == "shared" else c.name
            roles.setdefault(c.case, (c.kind, c.component, f"{c.variant}, {told}"))
            roles.setdefault(c.base_case, (c.kind, "", f"baseline, {told}"))
    for c in run.manifest.comparisons:
        if c.kind == "quality":
            roles[c.base_case] = ("baseline", "", "baseline")
    for c in run.manifest.comparisons:
        if c.kind == "quality":  # what others are compared with may itself be compared with something
            roles[c.case] = ("variant", c.component, c.variant)
    bases = list(dict.fromkeys(c.base_case for c in run.manifest.comparisons if c.kind == "quality"))
    cases = [case.id for case in run.manifest.cases if case.kind == "quality"]
    read = {case.id: _corpus(case.params) for case in run.manifest.cases if case.kind == "quality"}
    shown = displayed(sorted({name for name in read.values() if name is not None}))
    entries = []
    trained = [(case, seed) for case, seed in models.results if run.records.get(case, {}).get(seed) is not None]
    trained = [cell for cell in trained if run.records[cell[0]][cell[1]].quality]  # not what another case stands for
    for case, seed in sorted(trained, key=lambda cell: (cases.index(cell[0]), cell[1])):
        result = models.results[case, seed]
        role, component, name = roles.get(case, ("", "", run.cases[case].label))
        if role == "baseline" and case in bases[1:]:  # of a comparison at another budget
            name += f", {format.si(result.train.tokens, 'tokens')}"
        entries.append(
            {
                "run": run.name,
                "case": case,
                "label": run.cases[case].label,
                "role": role,
                "component": component,
                "name": name,
                "corpus": shown.get(read[case] or ""),
                "seed": seed,
                "parameters": result.parameters,
                "tokens": result.train.tokens,
                "tokens_per_s": result.train.tokens_per_s,
                "final_loss": result.train.final_loss,
                "acc": quality.mean_acc(result, models.index),
                "bits_per_byte": result.bits_per_byte.value if result.bits_per_byte else None,
                "curve": _thinned(result.train.curve),
            }
        )
    return entries


def _corpus(params: Fields) -> str | None:
    """The text that a model was trained on, as its case names it; None where it does not."""
    corpus = params.get("corpus")
    name = corpus.get("name") if isinstance(corpus, dict) else None
    return name if isinstance(name, str) and name else None


def _thinned(curve: Sequence[tuple[float, float]]) -> list[list[float]]:
    """The finite points of a curve; where there are many, means over runs of neighbours."""
    points = [(tokens, loss) for tokens, loss in curve if math.isfinite(tokens) and math.isfinite(loss)]
    size = math.ceil(len(points) / CURVE_POINTS) or 1
    blocks = [points[start : start + size] for start in range(0, len(points), size)]
    return [[sum(p[0] for p in b) / len(b), sum(p[1] for p in b) / len(b)] for b in blocks]


def _failures(run: Run) -> list[Fields]:
    """Planned (case, replicate) pairs that did not end `ok`; those of one case with one status and reason are one."""
    failures: dict[tuple[str, str, str | None], list[int]] = {}
    for case in run.manifest.cases:
        for replicate in case.replicates:
            record: Record | None = run.records.get(case.id, {}).get(replicate)
            status = record.status if record else "missing"
            reason = (record.reason if record else None) or (case.unsupported if status == "unsupported" else None)
            if status != "ok":
                failures.setdefault((case.id, status, reason), []).append(replicate)
    return [
        {
            "run": run.name,
            "case": case_id,
            "label": run.cases[case_id].label,
            "kind": run.cases[case_id].kind,
            "status": status,
            "reason": reason,
            "replicates": replicates,
        }
        for (case_id, status, reason), replicates in failures.items()
    ]


def _warnings(run: Run) -> Iterable[str]:
    statuses = run.statuses()
    if missing := statuses["missing"]:
        yield f"{missing} planned measurements have no record: `benchsuite run --resume` finishes the run."
    for status in ("throttled", "unstable"):
        if count := statuses[status]:
            yield f"{count} measurements are {status}: they are counted, and flagged in their rows."
    for c in run.manifest.comparisons:
        if not {c.case, c.base_case} <= run.cases.keys():
            yield f"The comparison of {c.component or 'a control'}, {c.variant or c.name}, names a case without a plan."
    if not any(c.kind == "control" for c in run.manifest.comparisons) and any(
        c.kind == "quality" for c in run.manifest.comparisons
    ):
        yield "This run has no controls: nothing shows that its quality verdicts can be wrong or right."


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
