"""The search of learning rates: for each model the rates that were tried, the one taken, and the cost in all."""

from __future__ import annotations

from typing import Any

from benchsuite.records import rates
from benchsuite.records.load import Run

Fields = dict[str, Any]


def told(run: Run) -> list[Fields]:
    """One entry for each search of a run.

    `rates`: the multiple of the shared rate, the rate, and the bits per byte (None: it diverged or failed) of each that
    was tried, rising. `best`: the multiple that was taken, None where none could be. `at_edge`: whether it lies at an
    end of the range. `tokens`, `time_s`: the cost of the search. `label`: of the model.
    """
    entries: dict[tuple[str, ...], Fields] = {}
    for case in run.manifest.cases:
        tried, params = rates.tried(case.typed), case.training
        if params is None or not tried or tuple(tried.values()) in entries:
            continue
        records = [run.records.get(search, {}).get(rates.SEED) for search in tried.values()]
        found = [record.search if record else None for record in records]
        choice = rates.chosen(case.typed, run.records)
        entries[tuple(tried.values())] = {
            "run": run.name,
            "label": case.label.removesuffix("/quality"),
            "rates": [
                {
                    "multiple": multiple,
                    "lr": multiple * params.train.lr,
                    "bits_per_byte": one.bits_per_byte if one else None,
                }
                for multiple, one in zip(tried, found, strict=True)
            ],
            "best": choice.multiple if choice else None,
            "at_edge": choice.at_edge if choice else None,
            "tokens": sum(one.tokens for one in found if one),
            "time_s": sum(record.time_s for record in records if record),
        }
    return list(entries.values())


def warnings_of(run: Run) -> list[str]:
    """Warn where the best rate is the lowest or highest of those tried: a better one may lie beyond."""
    edges = [f"{entry['label']} ({entry['best']:g}x)" for entry in told(run) if entry["at_edge"]]
    if not edges:
        return []
    return [
        f"The best learning rate is at the edge of those tried for {', '.join(edges)}: a better one may lie beyond."
    ]


def multiples(run: Run) -> dict[str, float]:
    """Return the multiple of the shared rate at which each case was trained, for those that had a choice."""
    chosen = {case.id: rates.chosen(case.typed, run.records) for case in run.manifest.cases}
    return {case: choice.multiple for case, choice in chosen.items() if choice is not None}
