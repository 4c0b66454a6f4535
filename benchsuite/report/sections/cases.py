"""The cases that ran, and those that did not with the reason."""

from __future__ import annotations

from benchsuite.records.case import Record
from benchsuite.records.load import Run
from benchsuite.report.blocks import Block, Cell, Column, Fields, Items, Section, Table, Text, run_of

COLUMNS = (Column("Case"), Column("Status"), Column("Reason"), Column("Replicates"))


def collect(run: Run) -> list[Fields]:
    """Return the planned (case, replicate) pairs that did not end `ok`, grouped by case, status and reason."""
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


def blocks(document: Fields) -> list[Block]:
    counts = ", ".join(f"{count} {status}" for status, count in document["cases"].items())
    found: list[Block] = [Text(f"Measurements: {counts}." if counts else "Nothing was planned.")]
    notes = [note for run in document["runs"] for note in run["notes"]]
    found += [Items(notes)] if notes else []
    rows = [
        (
            Cell(failure["label"], run_of(document, failure)),
            Cell(failure["status"]),
            Cell(failure["reason"] or "no reason recorded"),
            Cell(", ".join(str(replicate) for replicate in failure["replicates"])),
        )
        for failure in document["failures"]
    ]
    return found + ([Table(COLUMNS, rows, "What did not run", cards=True)] if rows else [])


SECTION = Section(key="failures", title="What ran, and what did not", blocks=blocks, collect=collect, fold=True)
