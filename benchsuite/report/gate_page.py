"""What a gate says: one document, and the same for a terminal and for a pull request."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from benchsuite import format as fmt
from benchsuite import text

if TYPE_CHECKING:
    from rich.console import Console

Fields = dict[str, Any]

MARKER = "<!-- benchsuite gate -->"  # by it a comment is found again and updated in place
HEADINGS = {"fine": "no slowdown", "regression": "slower or worse", "unclear": "unclear"}
NOTHING = "nothing was compared"  # instead of "no slowdown", where no case has a speed on both sides
ORDER = ("slower", "unclear", "faster", "same")
# How cases with a finding are counted; a kind that is not here is its own word.
COUNTED = {
    "fails": "newly failing",
    "memory": "with more memory",
    "changed": "measured otherwise",
    "unmeasured": "failing on both sides",
}


def document(outcome: Any, rule_of: Callable[[str], Any], rule: Any, about: Fields) -> Fields:
    """The whole as JSON, its texts harmless; `outcome` is a benchsuite.gating.session.Outcome, `rule` a
    benchsuite.stats.decisions.Rule, `rule_of` gives each case's own."""
    known: Fields = about.get("calibration") or {"cases": {}, "rule": {}}
    calibrated = {
        label: noise["catches"]
        for label, noise in known["cases"].items()
        if rule_of(label).margin == known["rule"]["margin"]
    }
    cases = [
        {
            "case": label,
            **asdict(decision),
            "margin": rule_of(label).margin,
            "catch": rule_of(label).catch,
            "floor_s": rule_of(label).floor_s,
            "catches_here": calibrated.get(label),
            "base_time_s": outcome.times_s.get(label, (None, None))[0],
            "head_time_s": outcome.times_s.get(label, (None, None))[1],
        }
        for label, decision in outcome.decisions.items()
    ]
    cases.sort(key=lambda row: (ORDER.index(row["verdict"]), -(row["ratio"] or 1)))
    findings = [asdict(finding) for finding in outcome.findings]
    whole: Fields = text.tree(
        {
            "schema_version": 1,
            **about,
            "rule": asdict(rule),
            "pairs": outcome.pairs,
            "time_s": round(outcome.time_s, 1),
            "stopped": outcome.stopped,
            "cases": cases,
            "findings": findings,
        }
    )
    return whole


def summary(document: Fields) -> str:
    """One line: the verdict, and how many cases stand behind it."""
    verdicts = Counter(row["verdict"] for row in document["cases"])
    kinds = Counter(COUNTED.get(finding["kind"], finding["kind"]) for finding in document["findings"])
    counted = [*((verdict, verdicts[verdict]) for verdict in ORDER), *kinds.items()]
    told = ", ".join(f"{count} {what}" for what, count in counted if count)
    heading = NOTHING if document["verdict"] == "fine" and not verdicts else HEADINGS[document["verdict"]]
    return f"{heading}: {told}" if told else heading


def promise(document: Fields) -> str:
    """What the verdict is worth."""
    rule = document["rule"]
    if not document["pairs"]:
        return "No case was measured on both sides, so nothing is said of their speed."
    return (
        f"Time of head over base, from pairs of processes side by side, up to {document['pairs']} a case. If the sides "
        f"of equal programs can be exchanged in each pair, with no lean that stays for a whole run, a false alarm in "
        f"the whole suite has a chance of at most {fmt.percent(rule['false_alarm'], 0)}; slowdowns up to "
        f"{fmt.percent(rule['margin'], 0)} are accepted; one of {fmt.percent(rule['catch'], 0)} or more passes as same "
        f"with a chance of at most {fmt.percent(rule['miss'], 0)}. Each end of an interval holds with 95%, "
        f"whenever one looks."
    )


def notes(document: Fields) -> list[str]:
    """What else to know: what was said before, how it ended, and what a calibration says of this machine."""
    lines = [f"Note: {note}." for note in document["notes"]]
    dependent = [row for row in document["cases"] if row.get("reason")]
    if dependent:
        lines.append(f"{len(dependent)} unclear for their order, as {dependent[0]['case']}: {dependent[0]['reason']}.")
    if document["stopped"]:
        lines.append(f"Not all was decided: {document['stopped']} after {fmt.seconds(document['time_s'])}.")
    known = document["calibration"]
    if not document["pairs"]:
        return lines
    if known is None:
        return [*lines, "What this machine can find is not known; `benchsuite calibrate` measures it."]
    share = f"{fmt.percent(known['low'])} to {fmt.percent(known['high'])}"
    blind = [row["case"] for row in document["cases"] if (row["catches_here"] or 9.0) > row["catch"]]
    told = f"Calibrated on this machine: suites without a slowdown alarm in {share} (95%)"
    if not blind:
        return [*lines, f"{told}, and every case's --catch is found with 95% power in {known['pairs']} pairs."]
    return [
        *lines,
        f"{told}; in {known['pairs']} pairs --catch is not surely found in {len(blind)} cases, as {blind[0]}.",
    ]


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
    suite, head, base = (text.markdown(document[name]) for name in ("suite", "head", "base"))
    lines.append(f"**{suite}**, **{head}** against **{base}**")
    top = ["", "| case | verdict | time, head / base | times | pairs |", "|---|---|---|---|---|"]
    shown = [row for row in rows(document) if row[1] != "same"]
    quiet = [row for row in rows(document) if row[1] == "same"]
    if shown:
        lines += top + [_line(row) for row in shown]
    for finding in document["findings"]:
        lines += ["", f"* {'**' + finding['kind'] + '**' if finding['regression'] else finding['kind']}: "]
        lines[-1] += f"{text.markdown(finding['case'])}: {text.markdown(finding['text'])}"
    if quiet:
        lines += ["", f"<details><summary>{len(quiet)} the same</summary>", *top, *map(_line, quiet), "", "</details>"]
    return "\n".join([*lines, "", promise(document), "", *map(text.markdown, notes(document)), ""])


def junit(document: Fields) -> str:
    """JUnit's XML, one test case for each benchmark: slower or worse fails, unclear and unsupported are skipped."""
    document = text.tree(document)
    suite = ElementTree.Element("testsuite", name=f"benchsuite gate {document['suite']}")
    counts = {"failure": 0, "skipped": 0, "error": 0}

    def add(case: str, outcome: str | None, message: str, time_s: float | None) -> None:
        test = ElementTree.SubElement(suite, "testcase", classname=document["suite"], name=case)
        test.set("time", f"{time_s or 0:.9f}")
        if outcome is None:
            ElementTree.SubElement(test, "system-out").text = message
            return
        counts[outcome] += 1
        ElementTree.SubElement(test, outcome, message=message)

    for row, (case, verdict, ratio, times, pairs) in zip(document["cases"], rows(document), strict=True):
        found = [finding for finding in document["findings"] if finding["case"] == case]
        bad = verdict == "slower" or any(finding["regression"] for finding in found)
        told = "; ".join([f"{verdict}: {ratio} ({times}, {pairs} pairs)", *(finding["text"] for finding in found)])
        add(case, "failure" if bad else "skipped" if verdict == "unclear" else None, told, row["head_time_s"])
    compared = {row["case"] for row in document["cases"]}
    for finding in [finding for finding in document["findings"] if finding["case"] not in compared]:
        kind = "failure" if finding["regression"] else "error" if finding["kind"] == "unmeasured" else "skipped"
        add(finding["case"], kind, f"{finding['kind']}: {finding['text']}", None)
    suite.set("tests", str(len(suite)))
    suite.set("failures", str(counts["failure"]))
    suite.set("errors", str(counts["error"]))
    suite.set("skipped", str(counts["skipped"]))
    ElementTree.indent(suite)
    return f'<?xml version="1.0" encoding="utf-8"?>\n{ElementTree.tostring(suite, encoding="unicode")}\n'


def github(document: Fields) -> Iterator[str]:
    """GitHub's workflow commands: an error for each regression, a warning for what is unclear or new to know."""
    for case, verdict, ratio, times, _ in rows(document):
        if verdict in ("slower", "unclear"):
            yield _command("error" if verdict == "slower" else "warning", f"{verdict}: {case}", f"{ratio}, {times}")
    for finding in document["findings"]:
        level = "error" if finding["regression"] else "notice"
        yield _command(level, f"{finding['kind']}: {finding['case']}", finding["text"])


def _command(level: str, title: str, told: str) -> str:
    """As GitHub wants its commands escaped: the title's colons and commas too."""
    title, told = text.line(title), text.plain(told)
    for sign, code in (("%", "%25"), ("\n", "%0A")):
        title, told = title.replace(sign, code), told.replace(sign, code)
    title = title.replace(":", "%3A").replace(",", "%2C")
    return f"::{level} title=benchsuite {title}::{told}"


def terminal(document: Fields, console: Console) -> None:
    """The same for people at a terminal."""
    from rich.markup import escape
    from rich.table import Table

    from benchsuite import terminal as widths

    colours = {"slower": "red", "faster": "green", "unclear": "yellow", "same": "dim"}
    table = Table("case", "verdict", "time, head / base", "times", "pairs", box=None, pad_edge=False)
    for case, verdict, *rest in rows(document):
        table.add_row(escape(text.line(case)), f"[{colours[verdict]}]{verdict}[/]", *rest)
    widths.show(table, console)
    for finding in document["findings"]:
        colour = "red" if finding["regression"] else "yellow"
        told = finding["text"].replace("\n", "\n  | ")  # no line of another's text may begin like a command of GitHub's
        console.print(f"[{colour}]{finding['kind']}[/] {escape(text.line(finding['case']))}: {escape(told)}")
    console.print(f"[bold]{escape(summary(document))}[/] · {escape(document['run'])}")
    console.print(promise(document), style="dim")
    for note in notes(document):
        console.print(note, style="dim", markup=False)


def _line(row: tuple[str, ...]) -> str:
    return "| " + " | ".join(map(text.markdown, row)) + " |"
