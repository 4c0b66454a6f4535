"""What trained models show beside their zero-shot quality: how far beyond the training length they predict, and how
calmly they learn."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from benchsuite.records.case import Case, Comparison
from benchsuite.records.load import Run
from benchsuite.records.results import QualityResult, Stability
from benchsuite.stats.intervals import t_interval

Fields = dict[str, Any]
KEPT = 0.5  # of what its best learning rate learned: what a model must keep to have survived another


def beyond(run: Run) -> list[Fields]:
    """Bits per byte by place in the text, one entry for each model of a comparison of variants, the baselines first.

    `bits_per_byte[r]` is the mean over seeds and windows at the places `edges[r]` to `edges[r + 1]`, None where the
    model cannot reach. `rise[r]` is by how much that is more than in the last range it was trained on, with an interval
    over windows of text (each the mean of all seeds); `holds_to` is the last place before the rise is resolved.
    """
    return [
        entry
        for role, component, name, case in _models(run, "quality")
        if (entry := _beyond(run, role, component, name, case)) is not None
    ]


def _beyond(run: Run, role: str, component: str, name: str, case: Case) -> Fields | None:
    results = [r.quality for r in run.records.get(case.id, {}).values() if r.quality and r.quality.by_position]
    if not results:
        return None
    edges = results[0].by_position.edges if results[0].by_position else []
    trained = int(case.params["model"]["seq"])
    per_window = np.mean([_per_byte(result, len(edges) - 1) for result in results], axis=0)  # (windows, ranges)
    home = max(r for r in range(len(edges) - 1) if edges[r + 1] <= trained)
    rises = [_rise(per_window[:, r] - per_window[:, home]) if r > home else None for r in range(len(edges) - 1)]
    holds_to = trained
    for r in range(home + 1, len(edges) - 1):
        rise = rises[r]
        if rise is None or rise["verdict"] == "worse":
            break
        holds_to = edges[r + 1]
    means = per_window.mean(axis=0)
    return {
        "run": run.name,
        "role": role,
        "component": component,
        "name": name,
        "seeds": len(results),
        "windows": len(per_window),
        "trained": trained,
        "edges": edges,
        "bits_per_byte": [float(mean) if np.isfinite(mean) else None for mean in means],
        "rise": rises,
        "holds_to": holds_to,
    }


def _per_byte(result: QualityResult, ranges: int) -> np.ndarray:
    """Bits per byte by window and range; NaN where the model cannot reach."""
    found = result.by_position
    assert found is not None
    rows = np.full((len(found.bits), ranges), np.nan)
    for w, (bits, sizes) in enumerate(zip(found.bits, found.bytes, strict=True)):
        rows[w, : len(bits)] = np.array(bits) / np.maximum(1, sizes[: len(bits)])
    return rows


def _rise(differences: np.ndarray) -> Fields | None:
    if not np.isfinite(differences).all():
        return None
    interval = t_interval(differences.tolist())
    verdict = "unresolved"
    if interval.low is not None and interval.high is not None:
        verdict = "worse" if interval.low > 0 else "better" if interval.high < 0 else "unresolved"
    return {"value": interval.estimate, "low": interval.low, "high": interval.high, "verdict": verdict}


def stability(run: Run) -> list[Fields]:
    """One entry for each model and precision of a stability test, the baseline first.

    `rates` holds for every learning rate the mean final loss of the seeds that ended finite, how many diverged, and
    the mean spike scores and norms. `survives` is the largest rate up to which every seed ended finite and kept at
    least half of what the model's best rate learned. `sensitivity` is the mean over rates of min(final, first) - best
    loss (arXiv:2309.14322, section 2.2): what a wrong learning rate costs, in nats.
    """
    entries = []
    for precision in dict.fromkeys(_precision(case) for _, _, _, case in _models(run, "stability")):
        grouped: dict[tuple[str, str, str], list[Case]] = {}
        for role, component, name, case in _models(run, "stability"):
            if _precision(case) == precision:
                grouped.setdefault((role, component, name), []).append(case)
        for (role, component, name), cases in grouped.items():
            rates = [rate for case in cases if (rate := _rate(run, case)) is not None]
            if not rates:
                continue
            rates.sort(key=lambda rate: rate["lr"])
            about = {"run": run.name, "role": role, "component": component, "name": name, "precision": precision}
            entries.append(about | {"rates": rates} | _judged(rates))
    return entries


def _precision(case: Case) -> str:
    return str(case.params["train"]["precision"])


def _rate(run: Run, case: Case) -> Fields | None:
    found: list[Stability] = [r.stability for r in run.records.get(case.id, {}).values() if r.stability]
    if not found:
        return None
    finals = [s.last for s in found if s.last is not None]
    tails = [s.norm_p99 / s.norm_median for s in found if s.norm_p99 is not None and s.norm_median]
    return {
        "lr": float(case.params["train"]["lr"]),
        "seeds": len(found),
        "diverged": sum(s.diverged_at is not None for s in found),
        "start": _mean(s.start for s in found),
        "final": _mean(finals),
        "worst": max(finals) if finals else None,
        "loss_spikes": _mean(s.loss_spikes for s in found),
        "norm_spikes": _mean(s.norm_spikes for s in found),
        "norm_tail": _mean(tails),
        "skipped": _mean(s.skipped / s.steps for s in found),
    }


def _judged(rates: list[Fields]) -> Fields:
    finals = [rate["final"] for rate in rates if rate["final"] is not None]
    starts = [rate["start"] for rate in rates if rate["start"] is not None]
    if not finals or not starts:
        return {"best": None, "survives": None, "sensitivity": None}
    best, start = min(finals), float(np.mean(starts))
    survives = None
    for rate in rates:
        lost = rate["diverged"] or rate["worst"] is None
        if lost or start - rate["worst"] < KEPT * (start - best):
            break
        survives = rate["lr"]
    cost = [min(start if rate["diverged"] or rate["final"] is None else rate["final"], start) - best for rate in rates]
    return {"best": best, "survives": survives, "sensitivity": float(np.mean(cost))}


def _models(run: Run, kind: str) -> Iterator[tuple[str, str, str, Case]]:
    """(role, component, name, case) of the baselines of the comparisons of a kind, then of the variants, each once."""
    cases = run.cases
    compared = [c for c in run.manifest.comparisons if c.kind == kind and {c.case, c.base_case} <= cases.keys()]
    bases: dict[str, Comparison] = {c.base_case: c for c in compared}
    variants: dict[str, Comparison] = {c.case: c for c in compared}
    for identity in bases:
        yield "baseline", "", "baseline", cases[identity]
    for identity, c in itertools.filterfalse(lambda item: item[0] in bases, variants.items()):
        yield "variant", c.component, c.variant, cases[identity]


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None
