"""What a gate says: one document, and the same for a terminal and for a pull request."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from benchsuite import format as fmt

if TYPE_CHECKING:
    from rich.console import Console

Fields = dict[str, Any]

MARKER = "<!-- benchsuite gate -->"  # by it a comment is found again and updated in place
HEADINGS = {"fine": "no slowdown", "regression": "slower or worse", "unclear": "unclear"}
ORDER = ("slower", "unclear", "faster", "same")


def document(outcome: Any, rule: Any, about: Fields) -> Fields:
    """The whole as JSON; `outcome` is a benchsuite.runs.gate.Outcome, `rule` a benchsuite.stats.gate.Rule."""
    cases = [
        {
            "case": label,
            **asdict(decision),
            "base_time_s": outcome.times_s.get(label, (None, None))[0],
            "head_time_s": outcome.times_s.get(label, (None, None))[1],
        }
        for label, decision in outcome.decisions.items()
    ]
    cases.sort(key=lambda row: (ORDER.index(row["verdict"]), -(row["ratio"] or 1)))
    findings = [asdict(finding) for finding in outcome.findings]
    return {
        "schema_version": 1,
        **about,
        "rule": asdict(rule),
        "pairs": outcome.pairs,
        "cases": cases,
        "findings": findings,
    }


def summary(document: Fields) -> str:
    """One line: the verdict, and how many cases stand behind it."""
    counts = {verdict: sum(row["verdict"] == verdict for row in document["cases"]) for verdict in ORDER}
    told = ", ".join(f"{count} {verdict}" for verdict, count in counts.items() if count) or "nothing compared"
    return f"{HEADINGS[document['verdict']]}: {told}"


def promise(document: Fields) -> str:
    """What the verdict is worth."""
    rule = document["rule"]
    return (
        f"Time of head over base, from pairs of processes side by side, up to {document['pairs']} a case. A false "
        f"alarm in the whole suite has a chance of at most {fmt.percent(rule['false_alarm'], 0)}; slowdowns up to "
        f"{fmt.percent(rule['margin'], 0)} are accepted; one of {fmt.percent(rule['catch'], 0)} or more passes as same "
        f"with a chance of at most {fmt.percent(rule['miss'], 0)}. Each end of an interval holds with 95%, "
        f"whenever one looks."
    )


def rows(document: Fields) -> list[tuple[str, str, str, str, str]]:
    """Case, verdict, ratio with its interval, times, pairs."""
    return [
        (
            row["case"],
            row["verdict"],
            fmt.ratio(row["ratio"], row["low"], row["high"]),
            f"{fmt.seconds(row['base_time_s'])} → {fmt.seconds(row['head_time_s'])}",
            str(row["pairs"]),
        )
        for row in document["cases"]
    ]


def markdown(document: Fields) -> str:
    """For a pull request's comment: what matters first, what is the same folded away."""
    lines = [MARKER, f"### benchsuite: {summary(document)}", ""]
    lines.append(f"`{document['suite']}`, `{document['head']}` against `{document['base']}`")
    head = ["", "| case | verdict | time, head / base | times | pairs |", "|---|---|---|---|---|"]
    shown = [row for row in rows(document) if row[1] != "same"]
    quiet = [row for row in rows(document) if row[1] == "same"]
    if shown:
        lines += head + [_line(row) for row in shown]
    for finding in document["findings"]:
        lines += ["", f"* {'**' + finding['kind'] + '**' if finding['regression'] else finding['kind']}: "]
        lines[-1] += f"`{_cell(finding['case'])}`: {_cell(finding['text'])}"
    if quiet:
        lines += ["", f"<details><summary>{len(quiet)} the same</summary>", *head, *map(_line, quiet), "", "</details>"]
    return "\n".join([*lines, "", promise(document), ""])


def terminal(document: Fields, console: Console) -> None:
    """The same for people at a terminal."""
    from rich.markup import escape
    from rich.table import Table

    colours = {"slower": "red", "faster": "green", "unclear": "yellow", "same": "dim"}
    table = Table("case", "verdict", "time, head / base", "times", "pairs", box=None, pad_edge=False)
    table.columns[0].overflow = "fold"
    for case, verdict, *rest in rows(document):
        table.add_row(escape(case), f"[{colours[verdict]}]{verdict}[/]", *rest)
    console.print(table)
    for finding in document["findings"]:
        colour = "red" if finding["regression"] else "yellow"
        console.print(f"[{colour}]{finding['kind']}[/] {escape(finding['case'])}: {escape(finding['text'])}")
    console.print(f"[bold]{escape(summary(document))}[/] · {escape(document['run'])}")
    console.print(promise(document), style="dim")


def _line(row: tuple[str, ...]) -> str:
    return "| " + " | ".join(_cell(text) for text in row) + " |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
