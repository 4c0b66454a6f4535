"""How calmly models learn: final loss, spikes and skipped steps by learning rate."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from benchsuite import format
from benchsuite.records.case import Case
from benchsuite.records.load import Run
from benchsuite.records.results import Stability
from benchsuite.report import training, view
from benchsuite.report.blocks import Block, Cell, Column, Fields, Section, Table, Text, several

KEPT = 0.5  # of what its best learning rate learned: what a model must keep to have survived another


def collect(run: Run) -> list[Fields]:
    """One entry for each model and precision of a stability test, the baseline first.

    `rates` holds for every learning rate the mean final loss of the seeds that ended finite, how many diverged, and
    the mean spike scores and norms. `survives` is the largest rate up to which every seed ended finite and kept at
    least half of what the model's best rate learned. `sensitivity` is the mean over rates of min(final, first) - best
    loss (arXiv:2309.14322, section 2.2): what a wrong learning rate costs, in nats.
    """
    entries = []
    for precision in dict.fromkeys(_precision(case) for _, _, _, case in training.compared(run, "stability")):
        grouped: dict[tuple[str, str, str], list[Case]] = {}
        for role, component, name, case in training.compared(run, "stability"):
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
    return case.training.train.precision if case.training else ""


def _rate(run: Run, case: Case) -> Fields | None:
    found: list[Stability] = [r.stability for r in run.records.get(case.id, {}).values() if r.stability]
    if not found or case.training is None:
        return None
    finals = [s.last for s in found if s.last is not None]
    tails = [s.norm_p99 / s.norm_median for s in found if s.norm_p99 is not None and s.norm_median]
    return {
        "lr": case.training.train.lr,
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


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


NOTE = (
    "Final training loss in nats by peak learning rate. A model survives a rate where every seed ends finite and keeps "
    "at least half of what its best rate learned; ▲ marks the largest such rate. Sensitivity: what a wrong rate costs "
    "on average, in nats. Spikes, tail (the 99th percentile of the gradient norm over its median) and skipped "
    "steps are those at the largest rate."
)
NAMES = ("Survives", "Sensitivity", "Loss spikes", "Norm spikes", "Norm tail", "Skipped")


def blocks(document: Fields) -> list[Block]:
    found: list[Block] = []
    for run, precision in dict.fromkeys((entry["run"], entry["precision"]) for entry in document["stability"]):
        entries = [e for e in document["stability"] if (e["run"], e["precision"]) == (run, precision)]
        rates = sorted({rate["lr"] for entry in entries for rate in entry["rates"]})
        seeds = max(rate["seeds"] for entry in entries for rate in entry["rates"])
        title = f"Stability in {precision}" + (f", {run}" if several(document) else "")
        columns = [Column("Model"), *(Column(format.number(rate), numeric=True) for rate in rates)]
        columns += [Column(name, numeric=True) for name in NAMES]
        rows = [_row(entry, rates) for entry in entries]
        found += [Text(f"{title}, {seeds} seed{'s' if seeds > 1 else ''} each.", "lead"), Table(columns, rows, title)]
    return [Text(NOTE, "note"), *found] if found else []


def _row(entry: Fields, rates: list[float]) -> list[Cell]:
    by_rate = {rate["lr"]: rate for rate in entry["rates"]}
    last = entry["rates"][-1]
    return [
        Cell(view.model_name(entry)),
        *(_rate_cell(by_rate.get(rate), rate == entry["survives"]) for rate in rates),
        Cell(format.number(entry["survives"])),
        Cell(format.number(entry["sensitivity"])),
        Cell(format.percent(last["loss_spikes"])),
        Cell(format.percent(last["norm_spikes"])),
        Cell(format.number(last["norm_tail"])),
        Cell(format.percent(last["skipped"])),
    ]


def _rate_cell(rate: Fields | None, last: bool) -> Cell:
    if rate is None:
        return Cell(format.UNKNOWN)
    if rate["diverged"]:
        return Cell(f"{rate['diverged']} of {rate['seeds']} diverged", verdict="worse", chip=False)
    return Cell(format.number(rate["final"]) + (" ▲" if last else ""), verdict="better" if last else "", chip=False)


SECTION = Section(
    key="stability", title="Stability", blocks=blocks, collect=collect, absent="stability over learning rates"
)
