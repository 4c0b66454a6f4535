"""The pages of `benchsuite selftest`: what was wrong, how fast each operator is beside its rivals, and the summary."""

from __future__ import annotations

import math
import shlex
from typing import Any

from benchsuite import format

Fields = dict[str, Any]


def lines(document: Fields) -> list[Fields]:
    """One line for each timed operator: times in seconds, ratios over ours, fractions of the measured peaks."""
    return [
        {
            "operator": row["name"],
            "time": format.seconds(row["times_s"]["fused"]),
            "ratios": {name: format.ratio(*values) for name, values in row["speedup"].items()},
            "bandwidth": format.percent(row["bandwidth_fraction"]),
            "preallocated": format.percent(row["preallocated_fraction"]),
            "product": format.percent(row["product_fraction"]),
            "memory": format.ratio(_over(*_peaks(row, 0))),
            "memory_beyond": format.ratio(_over(*_peaks(row, row.get("needed_bytes")))),
        }
        for row in document.get("timings", [])
    ]


def summary(document: Fields) -> list[Fields]:
    """For each family the geometric mean of rival over ours: against eager, and against the best rival that computes
    the same at each shape, with the shape where we are worst."""
    families: dict[str, list[Fields]] = {}
    for row in document.get("timings", []):
        families.setdefault(row["family"], []).append(row)
    found = []
    for family, rows in families.items():
        best = {
            row["name"]: min(value[0] for name, value in row["speedup"].items() if "plain" not in name) for row in rows
        }
        worst = min(best, key=best.__getitem__)
        found.append(
            {
                "family": family,
                "shapes": str(len(rows)),
                "eager": format.ratio(_geometric_mean([row["speedup"]["eager"][0] for row in rows])),
                "best": format.ratio(_geometric_mean(list(best.values()))),
                "worst": format.ratio(best[worst]),
                "worst_shape": worst.partition("/")[2],
            }
        )
    return found


def wrong(document: Fields) -> list[str]:
    return [
        f"{row['name']} {row['dtype']}: {row['status']}, {row['reason']}"
        for row in document.get("checks", [])
        if row["status"] != "ok"
    ]


def headline(document: Fields) -> str:
    checks = document.get("checks", [])
    good = sum(row["status"] == "ok" for row in checks)
    text = f"{good} of {len(checks)} checks against float64 passed."
    if document.get("interrupted"):
        text += " Interrupted: what follows is what was measured before."
    measured = document.get("measured")
    if measured:
        text += (
            f" This machine copies {measured['copy_gb_per_s']:.3g} GB/s and multiplies"
            f" {measured['product_gflop_per_s']:.3g} GFLOP/s in "
            + ("bfloat16." if document.get("device") == "cuda" else f"float32 with {measured['threads']} threads.")
        )
    if document.get("note"):
        text += f" {document['note'].capitalize()}."
    for tool, said in document.get("sanitizer", {}).items():
        text += f" {tool}: {said}."
    return text


RIVALS = "Ratios are a rival's time over ours, so above 1 we are faster; 95% intervals over rounds in one process."
FRACTIONS = (
    "Bandwidth: the least that must move, as a share of what the cache that holds it reaches, or else memory. "
    "Preallocated: the same for the forward pass into memory that exists. Product: of the best matrix product. "
    "A figure above a measured peak has no share. "
    "Memory: ours at its peak over eager's, with the inputs and their gradients, and beyond these, which both need."
)
FIGURES = ("bandwidth", "preallocated", "product", "memory", "memory_beyond")


def markdown(document: Fields) -> str:
    """The document as Markdown, with the command that made it."""
    parts = ["# The operators, checked and timed", f"`{shlex.join(document['command'])}`", headline(document)]
    if document.get("hardware"):
        machine = document["hardware"]["identity"]
        where = f"On {machine['cpu']}, torch {machine['torch']}, instruction set {document['isa']}"
        parts.append(f"{where}, allocator: {document['allocator']}.")
    parts += [f"- {text}" for text in wrong(document)]
    if document.get("timings"):
        head: tuple[str, ...] = ("operator", "shapes", "eager / ours", "best rival / ours", "worst", "at")
        found = [tuple(row.values()) for row in summary(document)]
        parts += ["## Summary", RIVALS, _table(head, found)]
        rivals = list(dict.fromkeys(name for row in lines(document) for name in row["ratios"]))
        head = ("operator", "ours", *rivals, "bandwidth", "preallocated", "product")
        head += ("peak memory over eager's", "beyond inputs and gradients")
        every = []
        for row in lines(document):
            ratios = (row["ratios"].get(name, "") for name in rivals)
            every.append((row["operator"], row["time"], *ratios, *(row[name] for name in FIGURES)))
        parts += ["## Every shape, forward and backward, float32", FRACTIONS, _table(head, every)]
    return "\n\n".join(parts) + "\n"


def show(document: Fields, console: Any) -> None:
    """Prints the summary and every shape to a rich console."""
    from rich.table import Table

    from benchsuite import terminal

    console.print(headline(document))
    for text in wrong(document):
        console.print(f"[red]{text}[/red]")
    if not document.get("timings"):
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("operator", "ours", "rivals' time over ours", *(name.replace("_", " ") for name in FIGURES)):
        table.add_column(column)
    for row in lines(document):
        ratios = ", ".join(f"{name} {value}" for name, value in row["ratios"].items())
        table.add_row(row["operator"], row["time"], ratios, *(row[name] for name in FIGURES))
    terminal.show(table, console)
    for s in summary(document):
        console.print(
            f"{s['family']}: {s['eager']} eager, {s['best']} the best rival; at worst {s['worst']} ({s['worst_shape']})"
        )
    console.print(f"[dim]{RIVALS} {FRACTIONS}[/dim]")


def _peaks(row: Fields, less: int | None) -> tuple[int | None, int | None]:
    """Peak bytes of ours and of eager, each less so many; None where unknown."""
    found = (row["peak_bytes"].get(name) for name in ("fused", "eager"))
    ours, eager = (None if peak is None or less is None else peak - less for peak in found)
    return ours, eager


def _over(a: float | None, b: float | None) -> float | None:
    return a / b if a is not None and b else None


def _geometric_mean(values: list[float]) -> float:
    return math.exp(sum(map(math.log, values)) / len(values))


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, ("---",) * len(head), *rows))
