"""The report in a terminal: the findings, one compact table, the controls."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from benchsuite import format
from benchsuite.report import blocks, choice, effort, view
from benchsuite.report.join import join
from benchsuite.report.sections import machines, rules
from benchsuite.terminal import show

STYLES = {
    "faster": "green",
    "better": "green",
    "less": "green",
    "more": "red",
    "slower": "red",
    "worse": "red",
    "failed": "bold red",
    "passed": "green",
}


def terminal(run_dir: str | Path, console: Console) -> None:
    """Prints the findings of a run, its main table and its controls. Raises UserError where it is no run."""
    document = join([run_dir])
    groups = view.main_table(document)
    if groups:
        console.print(Text(f"{choice.headline(document)}.\n", style="bold"))
    for group in groups:
        console.print(Text(f"{group['title']} (against {group['against']})", style="bold"))
        for line in group["lines"]:
            console.print(Text(f"  {line['sentence']}"))
    if groups:
        show(_main(groups), console)
        console.print(
            Text("Tokens for equal quality, time to quality. -: not measured. Brackets: 95% intervals.", style="dim")
        )
    for text in (of_rules := rules.sentences(document)):
        console.print(Text(text))
    if not groups and not of_rules:
        console.print("The run compares nothing.")
    for control in view.controls_table(document):
        mark = view.MARKS.get(control["outcome"], "?")
        told = f"{control['observed']}, must be {control['expected']} ({control['delta']} points)"
        text = f"{mark} {control['name']}: {told}"
        console.print(Text(text, style=STYLES.get(control["outcome"], "yellow")))
    for notice in document["notices"]:
        console.print(Text(f"! {notice['text']} {notice['do']}".rstrip(), style="yellow"))
    counts = ", ".join(f"{count} {status}" for status, count in document["cases"].items())
    console.print(Text(f"{view.noise_sentence(document)}\nMeasurements: {counts or 'none'}.", style="dim"))
    for run in document["runs"]:
        if run["effort"]:
            console.print(Text(f"Timed work: {effort.sentence(run['effort'])}.", style="dim"))


def side_by_side(run_dirs: Sequence[str | Path], console: Console) -> None:
    """Print what each of several runs says to choose, and each variant's time to quality in all of them."""
    document = join(run_dirs)
    console.print(Text(choice.headline(document), style="bold"))
    for block in machines.blocks(document):
        if not isinstance(block, blocks.Table):
            continue
        table = Table(box=None, pad_edge=False, header_style="dim", show_edge=False)
        for column in block.columns:
            table.add_column(Text(column.name))
        for row in block.rows:
            table.add_row(*(Text(cell.text, style=STYLES.get(cell.verdict, "")) for cell in row))
        console.print()
        show(table, console)
    for notice in document["notices"]:
        console.print(Text(f"! {notice['text']}", style="yellow"))


def _main(groups: list[view.Fields]) -> Table:
    """The main table in 80 columns: verdicts as marks and colours, in words in the sentences above it."""
    table = Table(box=None, pad_edge=False, header_style="dim", show_edge=False)
    table.add_column("variant")
    for name in ("tokens", "time", "speed", "accuracy, points"):
        table.add_column(name, justify="right", no_wrap=True)
    for group in groups:
        for line in group["lines"]:
            table.add_row(
                Text(line["apart"]),
                _judged(line["tokens"], line["tokens_verdict"]),
                _judged(line["time"], line["time_verdict"]),
                _judged(line["speed"], line["speed_verdict"]),
                _judged(line["quality"], line["quality_verdict"]),
            )
    return table


def _judged(value: str, verdict: str) -> Text:
    return Text(f"{view.MARKS.get(verdict, '')} {_short(value)}".strip(), style=STYLES.get(verdict, ""))


def _short(value: str) -> str:
    return "-" if value == format.UNKNOWN else value
