"""Where memory goes: what autograd keeps between forward and backward, by the operation that made it."""

from __future__ import annotations

from collections import Counter

from benchsuite import format
from benchsuite.records.case import Case
from benchsuite.records.load import Run
from benchsuite.records.params import TimedParams
from benchsuite.report.blocks import Block, Cell, Column, Fields, Figure, Section, Table, run_of
from benchsuite.report.chart import CHARACTER, Axis, Chart, legend, series

CAPTION = (
    "What autograd keeps between the forward and the backward pass of one step or layer, by the operation that made "
    "it; the rest of peak memory is weights, gradients and what is freed at once."
)
COLUMNS = (Column("Case"), Column("Made by"), Column("Tensors"), Column("Type"), Column("Memory", numeric=True))
SHOWN, CASES = 5, 16  # operations with a colour of their own, cases that are drawn


def collect(run: Run) -> list[Fields]:
    """Return what each case keeps, the largest first, for those whose memory was looked into."""
    return [entry for case in run.manifest.cases if case.timed and (entry := _kept(run, case)) is not None]


def _kept(run: Run, case: Case) -> Fields | None:
    results = (record.speed for record in run.records.get(case.id, {}).values())
    saved = next((result.saved_by for result in results if result is not None and result.saved_by), None)
    if not saved or not sum(one.bytes for one in saved):
        return None
    kept = sorted(saved, key=lambda one: -one.bytes)
    step = isinstance(case.typed, TimedParams) and case.typed.scope == "step"
    return {"run": run.name, "label": case.label, "step": step, "tensors": [one.model_dump() for one in kept]}


def blocks(document: Fields) -> list[Block]:
    entries = document["memory"]
    steps = [entry for entry in entries if entry["step"]] or entries
    if not steps:
        return []
    rows = [
        (
            Cell(entry["label"], run_of(document, entry)),
            Cell(_operation(tensor["made_by"])),
            Cell(f"{tensor['count']} of {' x '.join(map(str, tensor['shape']))}"),
            Cell(tensor["dtype"]),
            Cell(format.bytes_(tensor["bytes"]), sort=tensor["bytes"]),
        )
        for entry in steps[:CASES]
        for tensor in entry["tensors"][:SHOWN]
    ]
    table = Table(COLUMNS, rows, "Tensors that autograd keeps", filter=True)
    alt = "Memory that autograd keeps in each case, by the operation that made it"
    return [Figure(lambda width: figure(steps[:CASES], width), alt, CAPTION, table)]


def figure(entries: list[Fields], width: int) -> str:
    """Return a bar for each case, cut into the operations that made what it keeps."""
    sums = [_by_operation(entry) for entry in entries]
    total: Counter[str] = Counter()
    for one in sums:
        total.update(one)
    operations = [name for name, _ in total.most_common(SHOWN)]
    most = max(sum(one.values()) for one in sums)
    left = 250 if width > 700 else 8
    row = 24 if left > 8 else 40
    chart = Chart(
        width,
        row * len(entries) + 34,
        Axis("", 0, most * 1.02, told=lambda v: format.bytes_(v) if v else "0", ticks=_ticks(most)),
        Axis("", len(entries) - 0.5, -0.5, ticks=()),
        left=left,
        right=20,
        top=4,
        bottom=28,
    )
    for place, (entry, one) in enumerate(zip(entries, sums, strict=True)):
        _, up = chart.at((0, place))
        if left > 8:
            chart.write(left - 8, up + 4, _tail(entry["label"], int((left - 10) / CHARACTER)), "tick row", "end")
        else:
            chart.write(left, up - 8, _tail(entry["label"], 46), "tick row")
        start = 0.0
        for name in [*operations, "other"]:
            size = one[name] if name != "other" else sum(v for key, v in one.items() if key not in operations)
            if size:
                cls = series(operations.index(name)) if name in operations else "baseline"
                told = f"{entry['label']}, {name}: {format.bytes_(size)}"
                chart.block(start, start + size, up - (7 if left > 8 else 2), cls, told)
                start += size
    named = [(series(number), name) for number, name in enumerate(operations)]
    return legend([*named, ("baseline", "other")]) + chart.svg()


def _by_operation(entry: Fields) -> Counter[str]:
    found: Counter[str] = Counter()
    for tensor in entry["tensors"]:
        found[_operation(tensor["made_by"])] += tensor["bytes"]
    return found


def _tail(label: str, fits: int) -> str:
    """Return the end of a label, where cases differ."""
    return label if len(label) <= fits else f"…{label[1 - fits :]}"


def _operation(made_by: str) -> str:
    """Return an operation's name without autograd's ending: "GeluBackward0" is "Gelu"."""
    return made_by.removesuffix("0").removesuffix("Backward") or made_by


def _ticks(most: float) -> list[float]:
    step = next(
        s * 2**20 for s in (0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1024, 10240, 102400) if most / (s * 2**20) <= 6
    )
    return [step * number for number in range(int(most / step) + 1)]


SECTION = Section(
    key="memory", title="Memory by tensor", blocks=blocks, collect=collect, absent="memory by tensor", fold=False
)
