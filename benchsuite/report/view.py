"""The report's tables as strings: what the page, the Markdown and the terminal all show.

Each function takes the document of `benchsuite.report.join` and returns plain dictionaries of text, so that the three
renderings cannot disagree and none of them formats a number.
"""

from __future__ import annotations

from typing import Any

from benchsuite import format
from benchsuite.report import words
from benchsuite.report.blocks import Cell, several

Fields = dict[str, Any]

MARKS = {
    "faster": "▲",
    "slower": "▼",
    "same": "=",
    "unclear": "?",
    "incomparable": "×",
    "better": "▲",
    "worse": "▼",
    "unresolved": "○",
    "less": "▲",
    "more": "▼",
    "passed": "✓",
    "failed": "✗",
    "clear": "●",
    "open": "○",
}


def main_table(document: Fields) -> list[Fields]:
    """One group for each component of each run, with one line for each variant: the headline speed and the quality."""
    groups: dict[tuple[str, str], Fields] = {}
    rows = words.headline_rows(document["rows"])
    for row, apart in zip(rows, words.names_apart(rows), strict=True):
        key = (row["run"], row["component"])
        title = words.component_name(row["component"]) + (f", {row['run']}" if several(document) else "")
        about = {"title": title, "component": row["component"], "run": row["run"], "lines": []}
        group = groups.setdefault(key, about)
        group["lines"].append(_line(row) | {"apart": apart})
    for group in groups.values():
        baselines = {line["baseline"] for line in group["lines"]}
        group["against"] = words.mid_sentence(min(baselines)) if len(baselines) == 1 else "what each line says"
        for line in group["lines"] if len(baselines) > 1 else ():
            line["against"] = f"against {words.mid_sentence(line['baseline'])}"
            line["sentence"] = f"{line['sentence'].removesuffix('.')}, {line['against']}."
        matchings = {line["matching"] for line in group["lines"]}
        group["matching"] = matchings.pop() if len(matchings) == 1 else ""
    return list(groups.values())


def _line(row: Fields) -> Fields:
    speed, memory, quality = row["speed"], row["memory"], row["quality"]
    bits = quality["bits_per_byte"]
    return {
        "name": words.variant_name(row["component"], row["variant"]),
        "variant": row["variant"],
        "base": row["baseline"],
        "baseline": words.variant_name(row["component"], row["baseline"]),
        "against": "",
        "matching": row["matching"] or "",
        "sentence": words.sentence(row),
        "tokens": format.bounded(quality["tokens"]),
        "tokens_verdict": (quality["tokens"] or {}).get("verdict") or "",
        "tokens_reason": (quality["tokens"] or {}).get("reason") or "",
        "tokens_range": _range(quality["tokens"]),
        "time": format.bounded(row["time"]),
        "time_verdict": row["time"]["verdict"] or "",
        "time_range": _range(row["time"]),
        "speed": format.ratio(speed["ratio"], speed["low"], speed["high"]),
        "speed_of": words.speed_of_what(row) if speed["verdict"] else "",
        "speed_verdict": speed["verdict"] or "",
        "speed_reason": speed["reason"] or told(speed["flags"]),
        "speed_range": (speed["ratio"], speed["low"], speed["high"]),
        "memory": format.ratio(memory["ratio"]),
        "quality": format.points(quality["delta"], quality["low"], quality["high"]),
        "quality_verdict": quality["verdict"] or "",
        "quality_reason": _quality_note(quality),
        "quality_range": (quality["delta"], quality["low"], quality["high"]),
        "detectable": format.points_size(quality["minimum_detectable"]),
        "bits": format.bits(bits["delta"], bits["low"], bits["high"]),
        "bits_verdict": bits["verdict"] or "",
        "source": quality["source"] or "",
    }


def _range(found: Fields | None) -> tuple[float | None, float | None, float | None]:
    return (found["ratio"], found["low"], found["high"]) if found else (None, None, None)


def controls_table(document: Fields) -> list[Fields]:
    return [
        {
            "run": control["run"],
            "name": words.control_name(control["name"]),
            "description": control["description"],
            "expected": control["expected"],
            "observed": control["observed"],
            "outcome": {True: "passed", False: "failed", None: "not measured"}[control["passed"]],
            "tokens": format.bounded(control["tokens"]),
            "delta": format.points(control["delta"], control["low"], control["high"]),
            "detectable": format.points_size(control["minimum_detectable"]),
            "reason": control["reason"] or "",
        }
        for control in document["controls"]
    ]


def model_name(model: Fields) -> str:
    """Return the name of a trained model beside the others of its run."""
    if model["role"] == "control":
        return words.control_name(model["name"])
    return words.variant_name(model["component"], model["name"])


def noise_sentence(document: Fields) -> str:
    """What this report could have seen at all: the range of its minimum detectable deltas."""
    judged = [row["quality"] for row in document["rows"] if row["quality"]["delta"] is not None]
    if judged and not any(quality["covers_seeds"] for quality in judged):
        return "With one seed this run resolves no difference in quality, however large."
    found = [quality["minimum_detectable"] for quality in judged if quality["covers_seeds"]]
    sizes = sorted(size for size in found if size is not None)
    if not sizes and document["rules"]:
        return "This run compares rules of learning on several architectures; it measured no language model's quality."
    if not sizes:
        return "No quality was measured in this run."
    span = format.points_size(sizes[0])
    if sizes[-1] - sizes[0] > 0.0005:
        span += f" to {format.points_size(sizes[-1])}"
    return (
        f"True differences in accuracy of {span} points are found four times in five, and smaller ones mostly stay "
        f"unresolved.{_tokens_sentence(document)}"
    )


def _tokens_sentence(document: Fields) -> str:
    """Return the precision of the token ratios, best and worst: half of the interval's width in logarithms."""
    found = [row["quality"]["tokens"] for row in document["rows"] if row["quality"]["tokens"]]
    known = [t for t in found if t["ratio"] is not None and not (t["low_open"] or t["high_open"])]
    if not known:
        return ""
    halves = sorted((t["high"] / t["low"]) ** 0.5 - 1 for t in known)
    least, most = format.percent(halves[0], 0), format.percent(halves[-1], 0)
    span = least if least == most else f"{least} to {most}"
    return f" Tokens for equal quality are known to within {span}."


def _quality_note(quality: Fields) -> str:
    if quality["reason"]:
        return str(quality["reason"])
    if quality["covers_seeds"] is False:
        return "one seed: documents only"
    return ""


def told(flags: Fields) -> str:
    """Return the flags of a speed with their counts: "2 disturbed"."""
    return ", ".join(f"{count} {status}" for status, count in flags.items())


def speed_cell(speed: Fields) -> Cell:
    """Return the cell of a speed ratio, with its interval, verdict and warning."""
    values = (speed["ratio"], speed["low"], speed["high"])
    warn = todo(speed["flags"])
    return Cell(
        format.ratio(*values), speed["reason"] or "", speed["verdict"], sort=speed["ratio"], bar=values, warn=warn
    )


def todo(flags: Fields) -> str:
    """Return what the flags of a speed mean and what to do about them; empty where there are none."""
    if not flags:
        return ""
    advice = "run again while nothing else uses the machine" if "disturbed" in flags else "run again"
    if "throttled" in flags:
        advice = "let the device cool, or cap its power, and run again"
    return f"{told(flags)}: {advice}"
