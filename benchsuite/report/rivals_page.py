"""Our code beside others' as tables of text: for the terminal and as a page of Markdown; see `report.rivals`."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from typing import Any

from benchsuite import format as fmt
from benchsuite import text
from benchsuite.records.load import Run
from benchsuite.report.rivals import Rival, headline, not_compared, rows, summaries, wrong

WAYS = {"fwd": "forward", "fwd+bwd": "forward and backward", "step": "a training step"}
HEAD = ("shapes", "eager's time over ours", "best rival's time over ours", "worst of the shapes")
_RATIO = re.compile(r"[\d.,x\[\] ]*")  # a number or an interval, which needs no escapes
RATIOS = (
    "Ratios are a rival's time over ours, so above 1 ours is faster; brackets hold 95% intervals over rounds of fresh"
    " processes that take turns."
)
FIGURES = (
    "Bandwidth: the least that must move, as a share of what the cache that holds it, or else memory, reaches here."
    " Arithmetic: of the best matrix product. A figure above a measured peak has no share. Memory: the peak of ours"
    " over that of eager, inputs and gradients included."
)


def summary_table(run: Run) -> list[list[str]]:
    """Return the summary as text, its head first: the table of the README."""
    described = {(WAYS.get(row.direction, row.direction), row.dtype) for row in rows(run) if row.direction == "fwd+bwd"}
    table = [[", ".join(["operator", *max(described, default=())]), *HEAD]]
    for one in summaries(run):
        ratios = [fmt.ratio(x.ratio, x.low, x.high) for x in (one.eager, one.best, one.worst)]
        table.append([one.name, str(one.shapes), *ratios])
    return table


def shapes_table(run: Run, direction: str) -> list[list[str]]:
    """Return every shape in one direction as text, its head first."""
    chosen = [row for row in rows(run) if row.direction == direction]
    rivals = list(dict.fromkeys(rival.name for row in chosen for rival in row.measured))
    table = [["operator", "ours", *rivals, "bandwidth", "arithmetic", "memory over eager's"]]
    for row in chosen:
        known = {rival.name: rival for rival in row.rivals}
        ratios = [_ratio(known[name]) if name in known else "" for name in rivals]
        memory = known["eager"].memory if "eager" in known else None
        figures = (fmt.percent(row.bandwidth), fmt.percent(row.arithmetic), fmt.ratio(memory))
        table.append([f"{row.name}/{row.shape}", fmt.seconds(row.time_s), *ratios, *figures])
    return table


def pairs_table(run: Run) -> list[list[str]]:
    """Return a line for each pair of ours and a peer as text, the head first."""
    table = [["what", "ours", "peer", "its time over ours", "verdict", "time of ours", "of the peer's"]]
    for row in rows(run):
        for rival in row.rivals:
            verdict = rival.verdict + (f" ({rival.reason})" if rival.reason else "")
            times = (fmt.seconds(row.time_s), fmt.seconds(rival.time_s))
            what = WAYS.get(row.direction, row.name) if row.name == "step" else row.name
            table.append([what, row.implementation, rival.name, _ratio(rival), verdict, *times])
    return table


def _ratio(rival: Rival) -> str:
    return fmt.ratio(rival.ratio, rival.low, rival.high)


def tables(run: Run) -> list[tuple[str, str, list[list[str]]]]:
    """Return what there is to show of a run: a title, a sentence and a table of text, the head first."""
    if not any(comparison.component == "operator" for comparison in run.manifest.comparisons):
        pairs = pairs_table(run)
        return [("Pairs", RATIOS, pairs)] if len(pairs) > 1 else []
    found = [("Summary", RATIOS, summary_table(run))]
    for direction in dict.fromkeys(row.direction for row in rows(run)):
        dtypes = ", ".join(dict.fromkeys(row.dtype for row in rows(run) if row.direction == direction))
        title = f"Every shape, {WAYS.get(direction, direction)}, {dtypes}"
        found.append((title, FIGURES, shapes_table(run, direction)))
    return [part for part in found if len(part[2]) > 1]


def markdown(run: Run) -> str:
    """Return everything as a page of Markdown, with the command that made it."""
    machine = run.manifest.hardware.identity
    parts = [f"# {run.manifest.suite}", f"`{shlex.join(run.manifest.command)}`", headline(run)]
    parts.append(f"On {machine.get('cpu')}, torch {machine.get('torch')}, device {run.manifest.device}.")
    parts += [f"* {text.markdown(one)}" for one in (*wrong(run), *not_compared(run))]
    for title, sentence, table in tables(run):
        parts += [f"## {title}", sentence, as_markdown(table)]
    return "\n\n".join(part for part in parts if part) + "\n"


def as_markdown(table: Sequence[Sequence[str]]) -> str:
    """Return a table of text, its head first, in Markdown."""
    head, *lines = table
    cells = (" | ".join(cell if _RATIO.fullmatch(cell) else text.markdown(cell) for cell in line) for line in lines)
    return "\n".join([f"| {' | '.join(head)} |", "|" + "---|" * len(head), *(f"| {line} |" for line in cells)])


def show(run: Run, console: Any) -> None:
    """Print everything to a rich console."""
    from rich.table import Table

    from benchsuite import terminal

    for sentence in filter(None, (headline(run), *wrong(run), *not_compared(run))):
        console.print(sentence, markup=False)
    for title, sentence, (head, *lines) in tables(run):
        table = Table(*head, box=None, header_style="bold", pad_edge=False, title=title, title_justify="left")
        for line in lines:
            table.add_row(*map(_literal, line))
        terminal.show(table, console)
        console.print(sentence, style="dim", markup=False)


def _literal(cell: str) -> Any:
    from rich.text import Text

    return Text(cell)
