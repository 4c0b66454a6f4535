"""What `benchsuite kernels check` and `predict` found, for the terminal and as Markdown pages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.table import Table

from benchsuite import format, terminal

RESOURCES = ("kernel", "on", "registers", "spills", "shared", "block", "occupancy")
EXECUTED = ("kernel", "verdict", "moved", "of each byte once", "sectors used", "bank conflicts")
PREDICTED = ("operator", "direction", "shape")


def _resource(row: dict[str, Any]) -> tuple[str, ...]:
    full = row["occupancy"]
    return (
        row["name"],
        row["arch"],
        str(row["registers"]),
        format.bytes_(row["spill_stores"] + row["spill_loads"]) if row["spill_stores"] + row["spill_loads"] else "0",
        format.bytes_(row["shared"]),
        str(row["threads"] or "not stated"),
        "unknown" if full is None else f"{full:.0%}",
    )


def _executed(row: dict[str, Any]) -> tuple[str, ...]:
    if row["fault"] or row["unknown"]:
        return row["name"], row["fault"] or f"not interpreted: {row['unknown']}", "", "", "", ""
    return (
        row["name"],
        "no fault",
        format.bytes_(row["moved"]),
        f"{row['moved'] / row['touched']:.2f}x" if row["touched"] else "",
        f"{row['sectors']:.0%}",
        str(row["conflicts"]),
    )


def _predicted(document: dict[str, Any]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """A row for each operator, direction and shape, with time, bound and fraction for each device."""
    devices = list(document["sources"])
    heads = PREDICTED + tuple(
        f"{name.removeprefix('NVIDIA ')}: {x}" for name in devices for x in ("time", "bound", "of peak")
    )
    found: dict[tuple[str, ...], dict[str, tuple[str, ...]]] = {}
    for row in document["rows"]:
        key = tuple(row[name] for name in PREDICTED)
        cells = (format.seconds(row["time_s"]), row["bound"], f"{row['fraction']:.0%}")
        found.setdefault(key, {})[row["device"]] = cells
    return heads, [(*key, *(cell for name in devices for cell in cells[name])) for key, cells in found.items()]


def _markdown(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def _show(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    table = Table(*heads, box=None, header_style="bold", pad_edge=False)
    for row in rows:
        table.add_row(*row)
    terminal.show(table)


def show_check(document: dict[str, Any]) -> None:
    _show(RESOURCES, [_resource(row) for row in document["kernels"]])
    if document["executed"]:
        terminal.console().print()
        _show(EXECUTED, [_executed(row) for row in document["executed"]])


def check_markdown(document: dict[str, Any]) -> str:
    kernels, launches = len({row["kernel"] for row in document["kernels"]}), len(document["executed"])
    return f"""# The CUDA kernels, checked without a GPU

`benchsuite kernels check -o FOLDER`. Kernels: {kernels}; compiled for an architecture with spilled registers:
{document["spilling"]}. Launches executed: {launches}; with a fault: {document["faults"]}.

## Executed

The PTX that nvcc emits, executed on the CPU at the shapes of the smallest model's block. *Moved* are the bytes of all
loads and stores in global memory; beside it how often each byte of a buffer was moved, where 1.00x is the least that is
possible and more comes from the caches: weights that all rows share, keys and values that each tile of queries reads
again, a row of a vocabulary that is read twice. *Sectors used*: of the 32-byte sectors that a warp's access touches.
The attention's bank conflicts are those of writing results out through shared memory; its loops have none (tests/ptx).

{_markdown(EXECUTED, [_executed(row) for row in document["executed"]])}
## Registers, shared memory and occupancy

As the compiler reports them. Occupancy is the share of a multiprocessor's threads that fit at once, by registers and
static shared memory, where the kernel states its block; the attention's tiles are asked for at launch and come on top.

{_markdown(RESOURCES, [_resource(row) for row in document["kernels"]])}"""


def show_predicted(document: dict[str, Any]) -> None:
    _show(*_predicted(document))
    terminal.console().print(
        "[bold]predicted[/bold], not measured: bounds from below, from executed instructions and published peaks"
    )


def predicted_markdown(document: dict[str, Any]) -> str:
    sources = "\n".join(f"* {name}: {source}" for name, source in document["sources"].items())
    shapes = ", ".join(
        f"{m['name']}: batch {m['batch']} × {m['seq']} tokens, width {m['width']}, {m['heads']} heads, "
        f"vocabulary {m['vocab']}"
        for m in document["models"]
    )
    return f"""# The CUDA kernels on GPUs that were not here: *predicted*

**Predicted, not measured.** `benchsuite kernels predict --dtype {document["dtype"]} -o FOLDER`.

The PTX of each kernel was executed on the CPU; bytes, tensor-core FLOPs and warp instructions were counted and held
against the maker's peaks. The time is that of the resource that needs longest, *of peak* the share of memory bandwidth
(or of the tensor cores, where they need longer) that this time reaches. It is a bound from below for these very
instructions: no launch overhead, no latency that is not hidden, no tail of blocks, each byte from memory once. A
measured time that is shorter would show that the model is wrong.

Shapes: {shapes}. Type: {document["dtype"]}.

Peaks:
{sources}

{_markdown(*_predicted(document))}"""
