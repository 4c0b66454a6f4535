"""The speed and memory side of a row: the records of two cases, paired by round."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Mapping
from typing import Any

from benchsuite.hardware.roofline import REACHED
from benchsuite.records.case import Comparison, Record
from benchsuite.records.load import Run, figure, kind_of
from benchsuite.records.params import TimedParams
from benchsuite.stats.rounds import by_round, timed
from benchsuite.stats.speed import MARGIN, SpeedComparison, compare_speed, paired_logs

Fields = dict[str, Any]
ABOVE = "above the measured peak"


def speed_and_memory(run: Run, comparison: Comparison, margin: float = MARGIN) -> tuple[Fields, Fields]:
    """The `speed` and `memory` objects of a report row.

    Replicates that are `throttled` or `unstable` count, and so do disturbed ones; `flags` tell of them. Other statuses
    leave no number. Where no pair is left, the verdict is `incomparable` and `reason` says why. So it is where every
    round was disturbed and its processes took no turns: what disturbs falls on both sides alike only where they do.
    """
    variant, baseline = run.records.get(comparison.case, {}), run.records.get(comparison.base_case, {})
    of_variant, of_baseline = timed(variant.values()), timed(baseline.values())
    result = compare_speed(paired_logs(of_variant, of_baseline), margin=margin)
    rate = _rate_in_shared_rounds(baseline, variant)
    flags = Counter(r.status for r in (*variant.values(), *baseline.values()) if r.speed and r.status != "ok")
    rounds = by_round(variant.values()).keys() & by_round(baseline.values()).keys()
    disturbed = rounds & (_disturbed(variant) | _disturbed(baseline))
    in_turns = all(one.in_turns for one in (*of_variant, *of_baseline))
    spoilt = _spoilt(variant, baseline) if rounds and disturbed == rounds and not in_turns else None
    if spoilt is not None:
        result = SpeedComparison(ratio=None, low=None, high=None, verdict="incomparable", rounds=result.rounds)
    elif disturbed:
        flags["disturbed"] = len(disturbed)
    speed: Fields = {
        "ratio": result.ratio,
        "low": result.low,
        "high": result.high,
        "verdict": result.verdict,
        # Both are of the rounds that the ratio is of, so that the three agree.
        "tokens_per_s": rate * result.ratio if rate and result.ratio else _median(variant, "tokens_per_s"),
        "baseline_tokens_per_s": rate or _median(baseline, "tokens_per_s"),
        "time_s": _median(variant, "time_s"),
        "gb_per_s": _median(variant, "gb_per_s"),
        "tflop_per_s": _median(variant, "tflop_per_s"),
        "compile_s": _median(variant, "compile_s"),
        "error": _error(variant),
        "replicates": result.rounds,
        "margin": margin,
        "fusion": _fusion(variant),
        "baseline_fusion": _fusion(baseline),
        "flags": dict(sorted(flags.items())),
        "reason": spoilt or _reason(run, comparison, result),
    }
    peak, base_peak = _median(variant, "peak_bytes"), _median(baseline, "peak_bytes")
    memory: Fields = {
        "ratio": peak / base_peak if peak is not None and base_peak else None,
        "peak_bytes": peak,
        "baseline_peak_bytes": base_peak,
        "saved_bytes": _median(variant, "saved_bytes"),
    }
    return speed, memory


def not_measured() -> tuple[Fields, Fields]:
    """The `speed` and `memory` objects of a variant whose speed is no question: a corpus, for example."""
    speed: Fields = dict.fromkeys(
        (
            *("ratio", "low", "high", "verdict", "tokens_per_s", "baseline_tokens_per_s", "time_s", "gb_per_s"),
            *("tflop_per_s", "compile_s", "error", "margin", "fusion", "baseline_fusion", "reason"),
        )
    )
    speed |= {"replicates": 0, "flags": {}}
    return speed, dict.fromkeys(("ratio", "peak_bytes", "baseline_peak_bytes", "saved_bytes"))


def measurements(run: Run) -> list[Fields]:
    """Every speed case that has a figure, compared or not: how far from the roofline it is and where memory goes."""
    found = []
    for case in run.manifest.cases:
        records = run.records.get(case.id, {})
        results = [record.speed for record in records.values() if record.speed]
        times = [result.time_s for result in results if result.time_s is not None]
        if not times:
            continue
        distances = [result.roofline for result in results if result.roofline]
        fractions = [one.fraction for one in distances if one.fraction is not None and one.fraction <= REACHED]
        # Earlier versions recorded figures above a peak as fractions.
        above = [one.reason or ABOVE for one in distances if one.reason or (one.fraction or 0) > REACHED]
        # Where a peak is too low, the fraction is above the others', wherever it lies.
        reached = statistics.median([*fractions, *(math.inf for _ in above)] or [math.inf])
        saved = next((result.saved_by for result in results if result.saved_by), None)
        energies = [result.energy_per_token_j for result in results if result.energy_per_token_j is not None]
        params = case.typed if isinstance(case.typed, TimedParams) else None
        found.append(
            {
                "run": run.name,
                "label": case.label,
                "mode": params.mode if params else None,
                "scope": params.scope if params else None,
                "tokens_per_s": _median(records, "tokens_per_s"),
                "mfu": _median(records, "mfu"),
                "hfu": _median(records, "hfu"),
                "peak_bytes": _median(records, "peak_bytes"),
                "reserved_bytes": _median(records, "reserved_bytes"),
                "time_s": statistics.median(times),
                "low_s": min(times),
                "high_s": max(times),
                "processes": len(times),
                "roofline": min(reached, 1.0) if math.isfinite(reached) else None,
                "roofline_note": None if math.isfinite(reached) or not above else above[0],
                "bound": next((one.bound for one in distances if one.bound), None),
                "level": next((one.level for one in distances if one.level), None),
                "peaks": distances[0].peaks if distances else None,
                "energy_per_token_j": statistics.median(energies) if energies else None,
                "saved_bytes": _median(records, "saved_bytes"),
                "largest_saved": saved[0].model_dump() if saved else None,
                "disturbed": sum(bool(result.monitor.disturbed) for result in results),
            }
        )
    return found


def _reason(run: Run, comparison: Comparison, result: SpeedComparison) -> str | None:
    if result.verdict != "incomparable":
        return None if result.low is not None else f"too few rounds for an interval: {result.rounds}"
    reasons = [run.why_not(comparison.case, "variant"), run.why_not(comparison.base_case, "baseline")]
    found = "; ".join(reason for reason in reasons if reason)
    return found or "no replicate has a usable tokens/s on both sides"


def _rate_in_shared_rounds(records: Mapping[int, Record], others: Mapping[int, Record]) -> float | None:
    """Median tokens/s over the rounds that both have."""
    mine = by_round(records.values())
    shared = mine.keys() & by_round(others.values()).keys()
    return _median({number: mine[number] for number in shared}, "tokens_per_s")


def _disturbed(records: Mapping[int, Record]) -> set[int]:
    """The rounds that other work, or the host, got into."""
    return {
        number
        for number, record in by_round(records.values()).items()
        if record.speed is not None and record.speed.monitor.disturbed
    }


def _spoilt(*sides: Mapping[int, Record]) -> str:
    """Why measurements give no ratio that were all disturbed: by what, the most frequent first."""
    seen = [record.speed.monitor for side in sides for record in side.values() if record.speed]
    texts = [text for monitor in seen for text in monitor.disturbed]
    kinds = Counter(map(kind_of, texts)).most_common(2)
    worst = [max((text for text in texts if kind_of(text) == kind), key=figure) for kind, _ in kinds]
    return f"every round was disturbed: {'; '.join(f'{text} at worst' for text in worst)}"


def _median(records: Mapping[int, Record], field: str) -> float | None:
    """Median over replicates of the finite values of a result field."""
    values = [getattr(record.speed, field) for record in records.values() if record.speed is not None]
    finite = [value for value in values if value is not None and math.isfinite(value)]
    return statistics.median(finite) if finite else None


def _error(records: Mapping[int, Record]) -> float | None:
    """The largest relative error against float64, forward or backward, of any replicate."""
    errors = [record.speed.error for record in records.values() if record.speed is not None and record.speed.error]
    sizes = [error.get(way) for error in errors for way in ("forward", "backward")]
    return max((size for size in sizes if isinstance(size, float)), default=None)


def _fusion(records: Mapping[int, Record]) -> str | None:
    return next((r.speed.fusion for r in records.values() if r.speed is not None and r.speed.fusion), None)
