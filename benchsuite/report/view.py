"""The report's tables as strings: what the page, the Markdown and the terminal all show.

Each function takes the document of `benchsuite.report.join` and returns plain dictionaries of text, so that the three
renderings cannot disagree and none of them formats a number.
"""

from __future__ import annotations

from typing import Any

from benchsuite import format
from benchsuite.report import effort, words

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
}


def several(document: Fields) -> bool:
    """Whether the document is of several runs, so that each line says of which."""
    return len(document["runs"]) > 1


def main_table(document: Fields) -> list[Fields]:
    """One group for each component of each run, with one line for each variant: the headline speed and the quality."""
    groups: dict[tuple[str, str], Fields] = {}
    rows = words.headline_rows(document["rows"])
    for row, apart in zip(rows, words.names_apart(rows), strict=True):
        key = (row["run"], row["component"])
        title = words.component_name(row["component"]) + (f", {row['run']}" if several(document) else "")
        group = groups.setdefault(key, {"title": title, "component": row["component"], "lines": []})
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
        "speed_reason": speed["reason"] or _flags(speed["flags"]),
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


def speed_table(document: Fields) -> list[Fields]:
    """Every speed comparison, with the absolute figures behind its ratio."""
    return [
        {
            "run": row["run"],
            "component": words.component_name(row["component"]),
            "variant": words.variant_name(row["component"], row["variant"]),
            "baseline": words.mid_sentence(words.variant_name(row["component"], row["baseline"])),
            "of": words.speed_of_what(row),
            "ratio": format.ratio(row["speed"]["ratio"], row["speed"]["low"], row["speed"]["high"]),
            "range": (row["speed"]["ratio"], row["speed"]["low"], row["speed"]["high"]),
            "verdict": row["speed"]["verdict"],
            "tokens_per_s": format.si(row["speed"]["tokens_per_s"], ""),
            "baseline_tokens_per_s": format.si(row["speed"]["baseline_tokens_per_s"], ""),
            "gb_per_s": format.number(row["speed"]["gb_per_s"]),
            "tflop_per_s": format.number(row["speed"]["tflop_per_s"]),
            "memory": format.ratio(row["memory"]["ratio"]),
            "peak": format.bytes_(row["memory"]["peak_bytes"]),
            "saved": format.bytes_(row["memory"]["saved_bytes"]),
            "time": format.seconds(row["speed"]["time_s"]),
            "error": format.scientific(row["speed"]["error"]),
            "fusion": "" if row["speed"]["fusion"] == row["implementation"] else row["speed"]["fusion"] or "",
            "note": row["speed"]["reason"] or _flags(row["speed"]["flags"]),
        }
        for row in document["rows"]
        if row["speed"]["verdict"] is not None
    ]


def implementations_table(document: Fields) -> list[Fields]:
    """Each implementation of a variant against the first one: what fusion buys, in time and in memory."""
    return [
        {
            "run": row["run"],
            "component": words.component_name(row["component"]),
            "variant": words.variant_name(row["component"], row["variant"]),
            "implementation": row["implementation"],
            "against": row["against"],
            "of": words.speed_of_what(row | {"implementation": None}),
            "ratio": format.ratio(row["speed"]["ratio"], row["speed"]["low"], row["speed"]["high"]),
            "verdict": row["speed"]["verdict"],
            "time": format.seconds(row["speed"]["time_s"]),
            "memory": format.ratio(row["memory"]["ratio"]),
            "note": row["speed"]["reason"] or _flags(row["speed"]["flags"]),
        }
        for row in document["implementations"]
    ]


def measurements_table(document: Fields) -> list[Fields]:
    """Every measurement by itself: its time over processes, its distance from the roofline, what autograd keeps."""
    rows = []
    for row in document["measurements"]:
        largest = row["largest_saved"]
        shape = " x ".join(str(size) for size in largest["shape"]) if largest else ""
        what = f"{largest['count']} of {shape} from {largest['made_by'].removesuffix('0')}" if largest else ""
        rows.append(
            {
                "run": row["run"],
                "label": row["label"],
                "mode": row["mode"] or format.UNKNOWN,
                "time": format.seconds(row["time_s"]),
                "between": f"{format.seconds(row['low_s'])} to {format.seconds(row['high_s'])}",
                "processes": row["processes"],
                "roofline": format.percent(row["roofline"]) if row["roofline"] is not None else format.UNKNOWN,
                "bound": row["roofline_note"] or _bound(row),
                "energy": format.si(row["energy_per_token_j"], "J"),
                "saved": format.bytes_(row["saved_bytes"]),
                "largest": what,
                "disturbed": row["disturbed"],
            }
        )
    return rows


def _bound(row: Fields) -> str:
    """What would take longest at peak, with the cache where it is one."""
    cache = f" ({row['level']})" if row["bound"] == "memory" and row["level"] not in (None, "memory") else ""
    return f"{row['bound'] or ''}{cache}"


def task_tables(document: Fields) -> list[Fields]:
    """One table for each run with tasks: a line for each task, a cell for each variant."""
    tables = []
    for run in document["runs"]:
        tasks = [task for task in document["tasks"] if task["run"] == run["name"]]
        rows = [
            row
            for row in words.headline_rows(document["rows"])
            if row["run"] == run["name"] and row["quality"]["tasks"]
        ]
        if not tasks:
            continue
        columns = [
            {"component": words.component_name(row["component"]), "name": name}
            for row, name in zip(rows, words.names_apart(rows), strict=True)
        ]
        lines = []
        for task in tasks:
            baseline = next(iter(task["baselines"].values()), {"acc": None, "half": None, "above_chance": None})
            lines.append(
                {
                    "name": task["name"],
                    "family": task["family"] or "",
                    "documents": str(task["n"]),
                    "random": format.percent(task["random_acc"]),
                    "baseline": format.percent(baseline["acc"]),
                    "baseline_half": "" if baseline["half"] is None else f"±{format.points_size(baseline['half'])}",
                    "at_chance": baseline["above_chance"] is False,
                    "cells": [_cell(row["quality"]["tasks"].get(task["name"])) for row in rows],
                }
            )
        sizes = {line["documents"] for line in lines}
        tables.append(
            {
                "run": run["name"],
                "columns": columns,
                "lines": lines,
                "note": _chance_note(lines),
                "documents": sizes.pop() if len(sizes) == 1 else "",
            }
        )
    return tables


def _chance_note(lines: list[Fields]) -> str:
    at_chance = sum(line["at_chance"] for line in lines)
    if not at_chance:
        return ""
    return (
        f"The baseline is at chance on {at_chance} of {len(lines)} tasks: unless a variant learns them, they add noise "
        "to the mean and nothing else."
    )


def _cell(task: Fields | None) -> Fields:
    if task is None:
        return {"delta": format.UNKNOWN, "half": "", "acc": "", "verdict": "", "leaning": False, "won": ""}
    half = None if task["low"] is None else (task["high"] - task["low"]) / 2
    covers_zero = task["low"] is None or task["low"] <= 0 <= task["high"]
    return {
        "delta": format.points(task["delta"]),
        "half": "" if half is None else f"±{format.points_size(half)}",
        "acc": format.percent(task["acc"]),
        "verdict": task["verdict"],
        "leaning": task["verdict"] == "unresolved" and not covers_zero,
        "won": f"{task['wins']} won, {task['losses']} lost; McNemar p {format.p_value(task['mcnemar_p_holm'])} (Holm)",
    }


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


def models_table(document: Fields) -> list[Fields]:
    """Every trained model: one line for each case, its seeds side by side."""
    lines: dict[tuple[str, str], Fields] = {}
    for model in document["training"]:
        line = lines.setdefault(
            (model["run"], model["case"]),
            {
                "run": model["run"],
                "name": model_name(model),
                "corpus": model["corpus"] or "not recorded",
                "parameters": format.si(model["parameters"], ""),
                "tokens": format.si(model["tokens"], ""),
                "losses": [],
                "accs": [],
                "bits": [],
            },
        )
        line["losses"].append(format.number(model["final_loss"]))
        line["accs"].append(format.percent(model["acc"]))
        line["bits"].append(format.number(model["bits_per_byte"]))
    return list(lines.values())


def model_name(model: Fields) -> str:
    """What a trained model is called beside the others of its run."""
    if model["role"] == "control":
        return words.control_name(model["name"])
    return words.variant_name(model["component"], model["name"])


def data_digests(run: Fields) -> list[tuple[str, str]]:
    """(name, digest) of the texts, tokenizers and tasks behind a run's models, each once."""
    found: dict[tuple[str, str], None] = {}
    for digests in run["how_to_reproduce"]["data_digests"].values():
        for name, digest in digests.items():
            found[name.replace("_", " "), str(digest)] = None
    return list(found)


def failures_table(document: Fields) -> list[Fields]:
    return [
        {
            "run": failure["run"],
            "label": failure["label"],
            "status": failure["status"],
            "replicates": ", ".join(str(r) for r in failure["replicates"]),
            "reason": failure["reason"] or "no reason recorded",
        }
        for failure in document["failures"]
    ]


def machine_lines(run: Fields) -> list[tuple[str, str]]:
    """The fingerprint of a run's machine, and how much of the wall time there was timed work."""
    spent = run["effort"]
    return hardware_lines(run["hardware"]) + ([("timed work", effort.sentence(spent))] if spent else [])


def hardware_lines(hardware: Fields, prefix: str = "") -> list[tuple[str, str]]:
    """The fingerprint as (name, value) pairs; nested names are joined, bytes and unknown values written out."""
    lines: list[tuple[str, str]] = []
    for key, value in hardware.items():
        name = f"{prefix}{key}".replace("_", " ")
        if isinstance(value, dict):
            lines += hardware_lines(value, "" if key in ("identity", "context") else f"{prefix}{key} ")
        elif value is None:
            lines.append((name, format.UNKNOWN))
        elif isinstance(value, bool):
            lines.append((name, "yes" if value else "no"))
        elif key.endswith("_bytes") and isinstance(value, int | float):
            lines.append((name.removesuffix(" bytes"), format.bytes_(value)))
        elif isinstance(value, list):
            items = [", ".join(v for _, v in hardware_lines(i)) if isinstance(i, dict) else str(i) for i in value]
            lines.append((name, "; ".join(items) or "none"))
        else:
            lines.append((name, str(value)))
    return lines


def noise_sentence(document: Fields) -> str:
    """What this report could have seen at all: the range of its minimum detectable deltas."""
    judged = [row["quality"] for row in document["rows"] if row["quality"]["delta"] is not None]
    if judged and not any(quality["covers_seeds"] for quality in judged):
        return "With one seed this run resolves no difference in quality, however large."
    found = [quality["minimum_detectable"] for quality in judged if quality["covers_seeds"]]
    sizes = sorted(size for size in found if size is not None)
    if not sizes:
        return "No quality was measured in this run."
    span = format.points_size(sizes[0])
    if sizes[-1] - sizes[0] > 0.0005:
        span += f" to {format.points_size(sizes[-1])}"
    return (
        f"This run finds a true difference of {span} points of accuracy four times in five; smaller ones it mostly "
        f"leaves unresolved.{_tokens_sentence(document)}"
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
    return f" It knows the tokens for equal quality to within {span}."


def _quality_note(quality: Fields) -> str:
    if quality["reason"]:
        return str(quality["reason"])
    if quality["covers_seeds"] is False:
        return "one seed: documents only"
    return ""


def _flags(flags: Fields) -> str:
    return ", ".join(f"{count} {status}" for status, count in flags.items())
